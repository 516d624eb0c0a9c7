/* SPDX-License-Identifier: Apache-2.0 */
/* A PC's serial port: an NS16550A at eight ports of the ISA bus, its interrupt, and a char backend
 * as the line. SERIAL: every callback comes under the instance's lock. */
#include "ns16550.h"

#include <stdlib.h>

#define SERIAL_REGION        0u
#define SERIAL_IRQ           0u
#define SERIAL_TIMER_TIMEOUT 0u
#define SERIAL_TIMER_SHIFT   1u
#define CREDIT_STEP          8u /* room from which it is worth telling the backend */
#define LINES_ALWAYS         (BP_CHAR_CTS | BP_CHAR_DSR | BP_CHAR_DCD)

/* --- what the chip asks of its surroundings -------------------------------------------------- */

uint32_t
line_send(struct serial *serial, const uint8_t *data, uint32_t count)
{
    int32_t taken;

    if (serial->backend == NULL) {
        return count; /* an open plug takes everything */
    }
    taken = serial->backend->write(serial->backend_self, data, count);
    return taken < 0 ? count : (uint32_t)taken;
}

void
line_send_break(struct serial *serial)
{
    if (serial->backend != NULL && BP_HAS(serial->backend, send_break)) {
        serial->backend->send_break(serial->backend_self);
    }
}

void
line_set_outputs(struct serial *serial, uint32_t dtr, uint32_t rts)
{
    if (serial->backend != NULL && BP_HAS(serial->backend, set_lines)) {
        serial->backend->set_lines(serial->backend_self,
                                   (dtr ? BP_CHAR_DTR : 0) | (rts ? BP_CHAR_RTS : 0));
    }
}

void
line_set_parameters(struct serial *serial)
{
    const struct uart *uart = &serial->uart;
    uint32_t divisor = uart->divisor == 0 ? 1 : uart->divisor;
    uint32_t rate = 115200 / divisor, data_bits = 5u + (uart->lcr & 3u);
    /* LCR bits 3-5: parity enable, even, stick; a stuck parity bit is the inverse of "even". */
    static const uint8_t parities[8] = {0, 1, 0, 2, 0, 3, 0, 4};
    uint32_t parity = parities[uart->lcr >> 3 & 7], stop_bits = uart->lcr & 4 ? 2 : 1;

    if (rate == serial->rate && data_bits == serial->data_bits && parity == serial->parity &&
        stop_bits == serial->stop_bits) {
        return;
    }
    serial->rate = rate;
    serial->data_bits = data_bits;
    serial->parity = parity;
    serial->stop_bits = stop_bits;
    if (serial->backend != NULL && BP_HAS(serial->backend, set_parameters)) {
        serial->backend->set_parameters(serial->backend_self, rate, data_bits, parity, stop_bits);
    }
}

void
line_give_credit(struct serial *serial)
{
    uint32_t room;
    int32_t byte;

    while (uart_room(serial) > 0 && (byte = bp_fifo_pop(&serial->late)) >= 0) {
        uart_receive(serial, (uint8_t)byte, 0);
        line_arm_timeout(serial);
    }
    room = uart_room(serial);
    if (serial->backend == NULL || room == serial->credit) {
        return;
    }
    /* A read of each character is no reason to wake the backend each time. */
    if (room > serial->credit && room < CREDIT_STEP && serial->uart.rx_count > 0) {
        return;
    }
    serial->credit = room;
    serial->backend->credit(serial->backend_self, room);
}

void
line_arm_timeout(struct serial *serial)
{
    const struct bp_services *host = &serial->host;

    if ((serial->uart.fcr & 1) != 0) {
        host->timer->arm(host->instance, SERIAL_TIMER_TIMEOUT,
                         host->timer->now(host->instance, BP_CLOCK_VIRTUAL) +
                             4 * uart_character_ns(serial));
    }
}

void
line_arm_shift(struct serial *serial)
{
    const struct bp_services *host = &serial->host;

    host->timer->arm(host->instance, SERIAL_TIMER_SHIFT,
                     host->timer->now(host->instance, BP_CLOCK_VIRTUAL) +
                         uart_character_ns(serial));
}

void
line_set_irq(struct serial *serial, uint32_t level)
{
    serial->host.irq->set(serial->host.instance, SERIAL_IRQ, level);
}

/* --- the backend's side ---------------------------------------------------------------------- */

static void
serial_receive(void *opaque, const uint8_t *data, uint32_t length)
{
    struct serial *serial = opaque;
    uint32_t room = uart_room(serial), i;

    serial->credit -= length < serial->credit ? length : serial->credit;
    for (i = 0; i < length; i++) {
        if (i < room && serial->late.count == 0) {
            uart_receive(serial, data[i], 0);
        } else {
            (void)bp_fifo_push(&serial->late, data[i]);
        }
    }
    line_arm_timeout(serial);
    uart_update(serial);
}

static void
serial_writable(void *opaque)
{
    uart_line_ready(opaque);
}

static void
serial_event(void *opaque, uint32_t event)
{
    if (event == BP_CHAR_EVENT_BREAK) {
        uart_receive_break(opaque);
    }
}

static void
serial_lines(void *opaque, uint32_t lines)
{
    uint32_t inputs = (lines & BP_CHAR_CTS ? 0x10 : 0) | (lines & BP_CHAR_DSR ? 0x20 : 0) |
                      (lines & BP_CHAR_RI ? 0x40 : 0) | (lines & BP_CHAR_DCD ? 0x80 : 0);

    uart_set_inputs(opaque, (uint8_t)inputs);
}

static void
serial_timeout(void *opaque)
{
    uart_timeout(opaque);
}

static void
serial_shifted(void *opaque)
{
    uart_shifted(opaque);
}

/* --- the guest's side ------------------------------------------------------------------------ */

static uint64_t
serial_port_read(void *opaque, uint64_t offset, uint32_t width)
{
    return uart_read(opaque, (uint32_t)offset);
}

static void
serial_port_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
    uart_write(opaque, (uint32_t)offset, (uint8_t)value);
}

static void
serial_port_write_block(void *opaque, uint64_t offset, uint32_t width, uint32_t count,
                        const void *data)
{
    struct serial *serial = opaque;
    const uint8_t *bytes = data;
    uint32_t i;

    if (offset == 0 && !(serial->uart.lcr & UART_LCR_DLAB)) {
        uart_write_many(serial, bytes, count);
        return;
    }
    for (i = 0; i < count; i++) {
        uart_write(serial, (uint32_t)offset, bytes[i]);
    }
}

static const struct bp_region_ops serial_port_ops = {
    .size = sizeof(serial_port_ops),
    .read = serial_port_read,
    .write = serial_port_write,
    .write_block = serial_port_write_block,
};

/* --- life ------------------------------------------------------------------------------------ */

static int32_t
serial_attach(void *self, uint32_t slot, uint32_t use, const struct bp_peer *peer)
{
    static const struct bp_char_client client = {
        .size = sizeof(client),
        .receive = serial_receive,
        .writable = serial_writable,
        .event = serial_event,
        .lines = serial_lines,
    };
    struct serial *serial = self;
    const struct bp_char_ops *ops = peer->table;
    const struct bp_char_connect args = {
        .size = sizeof(args),
        .loop = serial->host.loop->home(serial->host.instance),
        .client = &client,
        .opaque = serial,
    };
    int32_t status = ops->connect(peer->self, &args);

    if (status < 0) {
        return bp_fail(&serial->host, status, NULL, "backend '%s' cannot be used: %s", peer->id,
                       status == -EBUSY ? "another device has it" : "it refused the connection");
    }
    serial->backend = ops;
    serial->backend_self = peer->self;
    serial->credit = 0;
    serial_lines(serial, BP_HAS(ops, get_lines) ? ops->get_lines(peer->self) : LINES_ALWAYS);
    line_set_outputs(serial, serial->uart.mcr & 1, serial->uart.mcr & 2);
    line_give_credit(serial);
    return 0;
}

static void
serial_detach(void *self, uint32_t slot, uint32_t use)
{
    struct serial *serial = self;
    const struct bp_char_ops *ops = serial->backend;

    /* First forget it: disconnect() lets callbacks through while it waits for the last ones. */
    serial->backend = NULL;
    serial->credit = 0;
    ops->disconnect(serial->backend_self);
    serial_lines(serial, LINES_ALWAYS);
    uart_line_ready(serial); /* nobody will ever take what waits */
}

static void
serial_reset(void *self, uint32_t kind)
{
    struct serial *serial = self;

    serial->irq_level = 0; /* the core lowered it */
    serial->host.timer->cancel(serial->host.instance, SERIAL_TIMER_TIMEOUT);
    serial->host.timer->cancel(serial->host.instance, SERIAL_TIMER_SHIFT);
    uart_reset(serial, kind == BP_RESET_POWER_ON);
}

static const struct bp_life_ops serial_life = {
    .size = sizeof(serial_life),
    .reset = serial_reset,
    .attach = serial_attach,
    .detach = serial_detach,
};

/* --- state ----------------------------------------------------------------------------------- */

static const struct bp_state_field serial_fields[] = {
    BP_STATE_FIELD(1, struct serial, uart.ier, BP_FIELD_REQUIRED, 0x0f),
    BP_STATE_FIELD(2, struct serial, uart.fcr, BP_FIELD_REQUIRED, 0),
    BP_STATE_FIELD(3, struct serial, uart.lcr, BP_FIELD_REQUIRED, 0),
    BP_STATE_FIELD(4, struct serial, uart.mcr, BP_FIELD_REQUIRED, 0x1f),
    BP_STATE_FIELD(5, struct serial, uart.scr, BP_FIELD_REQUIRED, 0),
    BP_STATE_FIELD(6, struct serial, uart.divisor, BP_FIELD_REQUIRED, 0),
    BP_STATE_FIELD(7, struct serial, uart.lsr_errors, 0, 0x1e),
    BP_STATE_FIELD(8, struct serial, uart.msr_delta, 0, 0x0f),
    BP_STATE_FIELD(9, struct serial, uart.msr_level, 0, 0),
    BP_STATE_FIELD(10, struct serial, uart.thre_interrupt, 0, 1),
    BP_STATE_FIELD(11, struct serial, uart.rx_timeout, 0, 1),
    BP_STATE_ARRAY(12, struct serial, uart.rx, 0),
    BP_STATE_ARRAY(13, struct serial, uart.rx_error, 0),
    BP_STATE_FIELD(14, struct serial, uart.rx_head, 0, UART_FIFO_BYTES - 1),
    BP_STATE_FIELD(15, struct serial, uart.rx_count, 0, UART_FIFO_BYTES),
    BP_STATE_FIELD(16, struct serial, uart.rx_last, 0, 0),
    BP_STATE_ARRAY(17, struct serial, uart.tx, 0),
    BP_STATE_FIELD(18, struct serial, uart.tx_head, 0, UART_FIFO_BYTES - 1),
    BP_STATE_FIELD(19, struct serial, uart.tx_count, 0, UART_FIFO_BYTES),
    BP_STATE_FIELD(20, struct serial, uart.shift, 0, 0),
    BP_STATE_FIELD(21, struct serial, uart.shifting, 0, 1),
    BP_STATE_ARRAY(22, struct serial, late_data, 0),
    BP_STATE_FIELD(23, struct serial, late.head, 0, UART_FIFO_BYTES - 1),
    BP_STATE_FIELD(24, struct serial, late.count, 0, UART_FIFO_BYTES),
};

static int32_t
serial_save(void *self, const struct bp_state_sink *sink)
{
    return bp_state_save(serial_fields, BP_ARRAY_LENGTH(serial_fields), self, sink);
}

static int32_t
serial_validate(void *self, uint32_t version, const void *data, uint64_t length)
{
    struct serial trial = *(const struct serial *)self;
    int32_t status =
        bp_state_restore(serial_fields, BP_ARRAY_LENGTH(serial_fields), &trial, data, length);

    /* Without FIFO there is one place in each direction. */
    if (status == 0 && !(trial.uart.fcr & 1) &&
        (trial.uart.rx_count > 1 || trial.uart.tx_count > 1)) {
        return -EINVAL;
    }
    return status;
}

static int32_t
serial_restore(void *self, uint32_t version, const void *data, uint64_t length)
{
    return bp_state_restore(serial_fields, BP_ARRAY_LENGTH(serial_fields), self, data, length);
}

static int32_t
serial_after_restore(void *self)
{
    struct serial *serial = self;

    serial->irq_level = 2; /* whatever the core has: tell it */
    uart_update(serial);
    uart_set_inputs(serial, serial->uart.inputs); /* the line here may be another */
    line_set_outputs(serial, serial->uart.mcr & 1, serial->uart.mcr & 2);
    line_set_parameters(serial);
    serial->credit = 0;
    line_give_credit(serial);
    uart_line_ready(serial);
    return 0;
}

static const struct bp_state_ops serial_state = {
    .size = sizeof(serial_state),
    .save = serial_save,
    .validate = serial_validate,
    .restore = serial_restore,
    .after_restore = serial_after_restore,
};

/* --- creation -------------------------------------------------------------------------------- */

static int32_t
serial_timers(struct serial *serial)
{
    struct bp_timer_args args = {
        .size = sizeof(args),
        .id = SERIAL_TIMER_TIMEOUT,
        .clock = BP_CLOCK_VIRTUAL,
        .loop = serial->host.loop->home(serial->host.instance),
        .expired = serial_timeout,
        .opaque = serial,
    };
    int32_t status = serial->host.timer->create(serial->host.instance, &args);

    if (status == 0) {
        args.id = SERIAL_TIMER_SHIFT;
        args.expired = serial_shifted;
        status = serial->host.timer->create(serial->host.instance, &args);
    }
    return status < 0 ? bp_fail(&serial->host, status, NULL, "cannot make a timer") : 0;
}

/* COM1 to COM4 have the numbers people expect; others are told apart by their port. */
static uint32_t
acpi_uid(uint16_t port)
{
    static const uint16_t usual[4] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};
    uint32_t i;

    for (i = 0; i < 4; i++) {
        if (usual[i] == port) {
            return i + 1;
        }
    }
    return port;
}

static int32_t
serial_acpi(struct serial *serial, uint16_t port, uint32_t irq)
{
    const struct bp_isa_resource resource = {
        .size = sizeof(resource),
        .hid = "PNP0501", /* 16550A-compatible COM port */
        .uid = acpi_uid(port),
        .io_base = {port},
        .io_length = {8},
        .irq = (int32_t)irq,
        .dma = -1,
    };
    int32_t status = serial->host.core->isa_resource(serial->host.instance, &resource);

    return status < 0 ? bp_fail(&serial->host, status, NULL, "cannot be described to ACPI") : 0;
}

static int32_t
serial_claim(struct serial *serial, const struct bp_node *config)
{
    const struct bp_services *host = &serial->host;
    uint64_t port = bp_option_u64(host, config, "port", 0x3f8);
    uint64_t irq = bp_option_u64(host, config, "irq", 4);
    const struct bp_region_args region = {
        .size = sizeof(region),
        .id = SERIAL_REGION,
        .space = BP_SPACE_PIO,
        .base = port,
        .length = 8,
        .ops = &serial_port_ops,
        .opaque = serial,
    };
    const struct bp_irq_args line = {
        .size = sizeof(line),
        .flags = BP_IRQ_SHARED,
        .id = SERIAL_IRQ,
        .kind = BP_IRQ_ISA,
        .number = (uint32_t)irq,
    };
    int32_t status = host->region->create(host->instance, &region);

    if (status < 0) {
        return bp_fail(host, status, bp_option(host, config, "port"),
                       "cannot have ports 0x%x to 0x%x: %s", (unsigned)port, (unsigned)port + 7,
                       status == -EBUSY ? "another device has some of them"
                                        : "the core refused them");
    }
    status = host->irq->line(host->instance, &line);
    if (status < 0) {
        return bp_fail(
            host, status, bp_option(host, config, "irq"), "cannot have IRQ %u: %s", (unsigned)irq,
            status == -EBUSY ? "another device has it and does not share" : "the core refused it");
    }
    status = serial_timers(serial);
    return status < 0 ? status : serial_acpi(serial, (uint16_t)port, (uint32_t)irq);
}

static int32_t
serial_create(const struct bp_create *args, void **self)
{
    struct serial *serial = calloc(1, sizeof(*serial));
    struct bp_services host;
    int32_t status;

    bp_services_init(&host, args->host, args->instance);
    if (serial == NULL) {
        return bp_fail(&host, -ENOMEM, NULL, "out of memory");
    }
    serial->host = host;
    serial->pace = bp_option_bool(&host, args->config, "pace", 0);
    serial->irq_gate = bp_option_bool(&host, args->config, "irq_gate", 0);
    bp_fifo_init(&serial->late, serial->late_data, sizeof(serial->late_data));
    status = serial_claim(serial, args->config);
    if (status < 0) {
        free(serial);
        return status;
    }
    serial_lines(serial, LINES_ALWAYS);
    *self = serial;
    return 0;
}

static void
serial_destroy(void *self)
{
    free(self);
}

static const void *
serial_query(void *self, const char *interface_id)
{
    if (bp_same_id(interface_id, BP_LIFE_ID)) {
        return &serial_life;
    }
    return bp_same_id(interface_id, BP_STATE_ID) ? &serial_state : NULL;
}

static const struct bp_prop serial_props[] = {
    {.name = "backend", .type = BP_PROP_BACKEND, .help = "the line; without one it leads nowhere"},
    {.name = "port",
     .type = BP_PROP_UINT,
     .flags = BP_PROP_PER_INSTANCE,
     .def = "0x3f8,0x2f8,0x3e8,0x2e8",
     .max = 0xfff8,
     .help = "first of eight ports"},
    {.name = "irq",
     .type = BP_PROP_UINT,
     .flags = BP_PROP_PER_INSTANCE,
     .def = "4,3,4,3",
     .max = 15,
     .help = "ISA interrupt; several ports may share one"},
    {.name = "pace",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "characters take as long as the programmed speed says"},
    {.name = "irq_gate",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "interrupts need MCR's OUT2, as on a PC's adapter"},
    {.name = NULL},
};

static const struct bp_slot serial_slots[] = {
    {.name = "backend", .interface_id = BP_CHAR_ID, .max = 1, .flags = BP_SLOT_HOTPLUG},
    {.name = NULL},
};

#define SERIAL_PROMISES (BP_PROMISE_SANDBOX | BP_PROMISE_UPGRADE | BP_PROMISE_DIRTY_TRACKED)

static const struct bp_class serial_class = {
    .size = sizeof(serial_class),
    .kind = BP_KIND_DEVICE,
    .name = "serial",
    .thread_model = BP_THREADS_SERIAL,
    .promises = SERIAL_PROMISES,
    .state_version = 1,
    .state_min = 1,
    .bus = BP_BUS_ISA,
    .help = "16550A serial port",
    .props = serial_props,
    .slots = serial_slots,
    .create = serial_create,
    .destroy = serial_destroy,
    .query = serial_query,
};

static const struct bp_class *const serial_classes[] = {&serial_class, NULL};

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "serial",
    .version = "1.0",
    .license = "Apache-2.0",
    .help = "a PC's serial port (16550A)",
    .classes = serial_classes,
};

BP_PLUGIN_NOTE(.id = "serial", .version = "1.0",
               .classes = {{"serial", BP_KIND_DEVICE, BP_THREADS_SERIAL, SERIAL_PROMISES, 1, 1, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_REGION_ID, struct bp_region_host),
                         BP_NEED(BP_IRQ_ID, struct bp_irq_host),
                         BP_NEED(BP_TIMER_ID, struct bp_timer_host),
                         BP_NEED(BP_LOOP_ID, struct bp_loop_host),
                         BP_NEED(BP_CORE_ID, struct bp_core_host)});
