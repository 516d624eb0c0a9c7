/* SPDX-License-Identifier: Apache-2.0 */
/* The registers of a National Semiconductor NS16550A. Section numbers are those of the PC16550D
 * data sheet (June 1995). Where a character stream differs from a wire: characters have eight bits
 * whatever LCR says, except in loopback, where the receiver sees what the transmitter would have
 * sent. */
#include "ns16550.h"

#include <string.h>

#define IER_RX     0x01u
#define IER_THRE   0x02u
#define IER_STATUS 0x04u
#define IER_MODEM  0x08u

#define IIR_NONE    0x01u
#define IIR_MODEM   0x00u
#define IIR_THRE    0x02u
#define IIR_RX      0x04u
#define IIR_STATUS  0x06u
#define IIR_TIMEOUT 0x0cu
#define IIR_FIFO    0xc0u

#define FCR_ENABLE   0x01u
#define FCR_CLEAR_RX 0x02u
#define FCR_CLEAR_TX 0x04u

#define MCR_DTR  0x01u
#define MCR_RTS  0x02u
#define MCR_OUT1 0x04u
#define MCR_OUT2 0x08u
#define MCR_LOOP 0x10u

#define LSR_DR     0x01u
#define LSR_OE     0x02u
#define LSR_FE     0x08u
#define LSR_BI     0x10u
#define LSR_THRE   0x20u
#define LSR_TEMT   0x40u
#define LSR_FIFO   0x80u
#define LSR_ERRORS 0x1eu

#define MSR_CTS 0x10u
#define MSR_DSR 0x20u
#define MSR_RI  0x40u
#define MSR_DCD 0x80u

#define CLOCK_HZ         UINT64_C(1843200)
#define DIVISOR_POWER_ON 12u /* undefined in the data sheet; 9600 bit/s as PC firmware sets */
#define NS_PER_S         UINT64_C(1000000000)

static uint32_t
fifo_on(const struct uart *uart)
{
    return (uart->fcr & FCR_ENABLE) != 0;
}

static uint32_t
fifo_bytes(const struct uart *uart)
{
    return fifo_on(uart) ? UART_FIFO_BYTES : 1;
}

static uint32_t
in_loopback(const struct uart *uart)
{
    return (uart->mcr & MCR_LOOP) != 0;
}

/* 8.4: received characters that make an interrupt. */
static uint32_t
rx_trigger(const struct uart *uart)
{
    static const uint8_t levels[4] = {1, 4, 8, 14};

    return fifo_on(uart) ? levels[uart->fcr >> 6] : 1;
}

uint64_t
uart_character_ns(const struct serial *serial)
{
    const struct uart *uart = &serial->uart;
    uint32_t divisor = uart->divisor == 0 ? 1 : uart->divisor;
    /* Start, 5 to 8 data bits, parity, stop. One and a half stop bits count as two. */
    uint32_t bits = 1 + 5 + (uart->lcr & 3) + ((uart->lcr >> 3) & 1) + 1 + ((uart->lcr >> 2) & 1);

    return bits * NS_PER_S * 16 * divisor / CLOCK_HZ;
}

/* --- interrupts ------------------------------------------------------------------------------ */

/* 8.5, table III: the pending interrupt of the highest priority. */
static uint8_t
pending_interrupt(const struct uart *uart)
{
    if ((uart->ier & IER_STATUS) && uart->lsr_errors) {
        return IIR_STATUS;
    }
    if ((uart->ier & IER_RX) && uart->rx_count >= rx_trigger(uart)) {
        return IIR_RX;
    }
    if ((uart->ier & IER_RX) && uart->rx_timeout) {
        return IIR_TIMEOUT;
    }
    if ((uart->ier & IER_THRE) && uart->thre_interrupt) {
        return IIR_THRE;
    }
    if ((uart->ier & IER_MODEM) && uart->msr_delta) {
        return IIR_MODEM;
    }
    return IIR_NONE;
}

void
uart_update(struct serial *serial)
{
    const struct uart *uart = &serial->uart;
    uint32_t level = pending_interrupt(uart) != IIR_NONE;

    if (serial->irq_gate && !(uart->mcr & MCR_OUT2)) {
        level = 0;
    }
    if (level != serial->irq_level) {
        serial->irq_level = level;
        line_set_irq(serial, level);
    }
}

static uint8_t
read_iir(struct serial *serial)
{
    struct uart *uart = &serial->uart;
    uint8_t iir = pending_interrupt(uart);

    /* Reading IIR resets the THRE interrupt if that is what it shows (8.5, table III). */
    if (iir == IIR_THRE) {
        uart->thre_interrupt = 0;
        uart_update(serial);
    }
    return (uint8_t)(iir | (fifo_on(uart) ? IIR_FIFO : 0));
}

static void
write_ier(struct serial *serial, uint8_t value)
{
    struct uart *uart = &serial->uart;
    uint8_t before = uart->ier;

    uart->ier = value & 0x0f;
    /* Enabling the THRE interrupt while THR is empty makes one at once; Linux and Windows tell a
     * good chip from a bad one by it. */
    if ((uart->ier & ~before & IER_THRE) && uart->tx_count == 0) {
        uart->thre_interrupt = 1;
    }
    uart_update(serial);
}

/* --- receiver -------------------------------------------------------------------------------- */

/* The errors of a character show in LSR when it is the next to be read (8.6). */
static void
show_errors(struct uart *uart)
{
    if (uart->rx_count > 0) {
        uart->lsr_errors |= uart->rx_error[uart->rx_head];
        uart->rx_error[uart->rx_head] = 0;
    }
}

static void
clear_receiver(struct uart *uart)
{
    uart->rx_head = 0;
    uart->rx_count = 0;
    uart->rx_timeout = 0;
    memset(uart->rx_error, 0, sizeof(uart->rx_error));
}

uint32_t
uart_room(const struct serial *serial)
{
    const struct uart *uart = &serial->uart;

    return in_loopback(uart) ? 0 : fifo_bytes(uart) - uart->rx_count;
}

void
uart_receive(struct serial *serial, uint8_t data, uint8_t errors)
{
    struct uart *uart = &serial->uart;
    uint32_t at;

    if (uart->rx_count == fifo_bytes(uart)) {
        /* 8.6: a full FIFO keeps what it has; without one the new character destroys the old. */
        uart->lsr_errors |= LSR_OE;
        if (!fifo_on(uart)) {
            uart->rx[uart->rx_head] = data;
            uart->lsr_errors |= errors;
        }
        return;
    }
    at = (uart->rx_head + uart->rx_count) % UART_FIFO_BYTES;
    uart->rx[at] = data;
    uart->rx_error[at] = errors;
    uart->rx_count++;
    if (uart->rx_count == 1) {
        show_errors(uart);
    }
}

void
uart_receive_break(struct serial *serial)
{
    if (in_loopback(&serial->uart)) {
        return;
    }
    /* 8.6: one zero character, and no stop bit was seen. */
    uart_receive(serial, 0, LSR_BI | LSR_FE);
    line_arm_timeout(serial);
    uart_update(serial);
}

void
uart_timeout(struct serial *serial)
{
    struct uart *uart = &serial->uart;

    if (fifo_on(uart) && uart->rx_count > 0) {
        uart->rx_timeout = 1;
        uart_update(serial);
    }
}

static uint8_t
read_rbr(struct serial *serial)
{
    struct uart *uart = &serial->uart;

    if (uart->rx_count > 0) {
        uart->rx_last = uart->rx[uart->rx_head];
        uart->rx_head = (uint8_t)((uart->rx_head + 1) % UART_FIFO_BYTES);
        uart->rx_count--;
        uart->rx_timeout = 0;
        show_errors(uart);
        line_give_credit(serial);
        if (uart->rx_count > 0) {
            line_arm_timeout(serial);
        }
        uart_update(serial);
    }
    return uart->rx_last;
}

static uint8_t
read_lsr(struct serial *serial)
{
    struct uart *uart = &serial->uart;
    uint8_t lsr = uart->lsr_errors;
    uint32_t i, bad = uart->lsr_errors & ~LSR_OE;

    lsr |= uart->rx_count > 0 ? LSR_DR : 0;
    if (uart->tx_count == 0) {
        lsr |= (uint8_t)(uart->shifting ? LSR_THRE : LSR_THRE | LSR_TEMT);
    }
    for (i = 0; i < UART_FIFO_BYTES; i++) {
        bad |= uart->rx_error[i];
    }
    if (fifo_on(uart) && bad) {
        lsr |= LSR_FIFO;
    }
    if (uart->lsr_errors) {
        uart->lsr_errors = 0;
        uart_update(serial);
    }
    return lsr;
}

/* --- transmitter ----------------------------------------------------------------------------- */

/* What the receiver of a chip in loopback sees: as many bits as LCR says. */
static void
loop_back(struct serial *serial, uint8_t data)
{
    uart_receive(serial, data & (0xffu >> (3 - (serial->uart.lcr & 3))), 0);
    line_arm_timeout(serial);
}

/* Takes the next character to the line, when paced. */
static void
start_shifting(struct serial *serial)
{
    struct uart *uart = &serial->uart;

    if (uart->shifting || uart->tx_count == 0) {
        return;
    }
    uart->shift = uart->tx[uart->tx_head];
    uart->tx_head = (uint8_t)((uart->tx_head + 1) % UART_FIFO_BYTES);
    uart->tx_count--;
    uart->shifting = 1;
    if (uart->tx_count == 0) {
        uart->thre_interrupt = 1;
    }
    line_arm_shift(serial);
}

void
uart_shifted(struct serial *serial)
{
    struct uart *uart = &serial->uart;

    if (!uart->shifting) {
        return;
    }
    if (in_loopback(uart)) {
        loop_back(serial, uart->shift);
    } else if (line_send(serial, &uart->shift, 1) == 0) {
        return; /* uart_line_ready() tries again */
    }
    uart->shifting = 0;
    start_shifting(serial);
    uart_update(serial);
}

/* Sends what waits, as far as the line takes it, when not paced. */
static void
send_waiting(struct serial *serial)
{
    struct uart *uart = &serial->uart;

    while (uart->tx_count > 0) {
        uint32_t run = UART_FIFO_BYTES - uart->tx_head, taken;
        run = run < uart->tx_count ? run : uart->tx_count;
        if (in_loopback(uart)) {
            loop_back(serial, uart->tx[uart->tx_head]);
            taken = run = 1;
        } else {
            taken = line_send(serial, &uart->tx[uart->tx_head], run);
        }
        uart->tx_head = (uint8_t)((uart->tx_head + taken) % UART_FIFO_BYTES);
        uart->tx_count = (uint8_t)(uart->tx_count - taken);
        if (taken < run) {
            return;
        }
    }
    uart->thre_interrupt = 1;
}

void
uart_line_ready(struct serial *serial)
{
    if (serial->uart.shifting) {
        uart_shifted(serial);
    } else if (serial->uart.tx_count > 0) {
        send_waiting(serial);
        uart_update(serial);
    }
}

static void
queue_tx(struct uart *uart, uint8_t data)
{
    if (uart->tx_count == fifo_bytes(uart)) {
        /* The guest did not look at THRE: THR is overwritten, a full FIFO drops the character. */
        if (!fifo_on(uart)) {
            uart->tx[uart->tx_head] = data;
        }
        return;
    }
    uart->tx[(uart->tx_head + uart->tx_count) % UART_FIFO_BYTES] = data;
    uart->tx_count++;
}

void
uart_write_many(struct serial *serial, const uint8_t *data, uint32_t count)
{
    struct uart *uart = &serial->uart;

    /* Writing THR resets the interrupt (8.5, table III); the line must be seen low before the next
     * one, or an edge-triggered controller misses that. */
    uart->thre_interrupt = 0;
    uart_update(serial);
    if (!serial->pace && !in_loopback(uart) && uart->tx_count == 0) {
        uint32_t taken = line_send(serial, data, count);
        data += taken;
        count -= taken;
    }
    while (count-- > 0) {
        queue_tx(uart, *data++);
        if (serial->pace) {
            start_shifting(serial);
        } else if (in_loopback(uart)) {
            send_waiting(serial);
        }
    }
    if (uart->tx_count == 0) {
        uart->thre_interrupt = 1;
    }
    uart_update(serial);
}

/* --- control --------------------------------------------------------------------------------- */

static void
write_fcr(struct serial *serial, uint8_t value)
{
    struct uart *uart = &serial->uart;
    uint8_t clear = value & (FCR_CLEAR_RX | FCR_CLEAR_TX);

    /* 8.4: a change of bit 0 empties both; the other bits count only while it is written as 1. */
    if ((value ^ uart->fcr) & FCR_ENABLE) {
        clear = FCR_CLEAR_RX | FCR_CLEAR_TX;
    } else if (!(value & FCR_ENABLE)) {
        clear = 0;
    }
    uart->fcr = value & FCR_ENABLE ? value & 0xc9 : 0;
    if (clear & FCR_CLEAR_RX) {
        clear_receiver(uart);
        line_give_credit(serial);
    }
    if ((clear & FCR_CLEAR_TX) && uart->tx_count > 0) {
        uart->tx_count = 0;
        uart->thre_interrupt = 1;
    }
    uart_update(serial);
}

static void
write_lcr(struct serial *serial, uint8_t value)
{
    uint8_t before = serial->uart.lcr;

    serial->uart.lcr = value;
    if ((value & ~before & UART_LCR_BREAK) && !in_loopback(&serial->uart)) {
        line_send_break(serial);
    }
    if ((value & UART_LCR_DLAB) == 0) {
        line_set_parameters(serial);
    }
}

/* 8.8: bits 0-3 tell what changed since MSR was read; RI only when it ends. */
static void
set_modem_level(struct serial *serial, uint8_t level)
{
    struct uart *uart = &serial->uart;
    uint8_t changed = level ^ uart->msr_level;

    uart->msr_delta |= (changed & (MSR_CTS | MSR_DSR | MSR_DCD)) >> 4;
    uart->msr_delta |= (changed & uart->msr_level & MSR_RI) >> 4;
    uart->msr_level = level;
    uart_update(serial);
}

/* 8.7: in loopback the four outputs are the four inputs. */
static uint8_t
modem_level(const struct uart *uart)
{
    uint8_t level = 0;

    if (!in_loopback(uart)) {
        return uart->inputs;
    }
    level |= uart->mcr & MCR_RTS ? MSR_CTS : 0;
    level |= uart->mcr & MCR_DTR ? MSR_DSR : 0;
    level |= uart->mcr & MCR_OUT1 ? MSR_RI : 0;
    level |= uart->mcr & MCR_OUT2 ? MSR_DCD : 0;
    return level;
}

static void
write_mcr(struct serial *serial, uint8_t value)
{
    struct uart *uart = &serial->uart;
    uint8_t before = uart->mcr;

    uart->mcr = value & 0x1f;
    if ((before ^ uart->mcr) & (MCR_DTR | MCR_RTS | MCR_LOOP)) {
        uint32_t outside = !in_loopback(uart);
        line_set_outputs(serial, outside && (uart->mcr & MCR_DTR),
                         outside && (uart->mcr & MCR_RTS));
    }
    if ((before ^ uart->mcr) & MCR_LOOP) {
        line_give_credit(serial);
    }
    set_modem_level(serial, modem_level(uart));
}

void
uart_set_inputs(struct serial *serial, uint8_t inputs)
{
    serial->uart.inputs = inputs & 0xf0;
    set_modem_level(serial, modem_level(&serial->uart));
}

static uint8_t
read_msr(struct serial *serial)
{
    struct uart *uart = &serial->uart;
    uint8_t msr = uart->msr_level | uart->msr_delta;

    if (uart->msr_delta) {
        uart->msr_delta = 0;
        uart_update(serial);
    }
    return msr;
}

/* --- registers ------------------------------------------------------------------------------- */

uint8_t
uart_read(struct serial *serial, uint32_t offset)
{
    struct uart *uart = &serial->uart;

    switch (offset) {
    case 0:
        return uart->lcr & UART_LCR_DLAB ? (uint8_t)uart->divisor : read_rbr(serial);
    case 1:
        return uart->lcr & UART_LCR_DLAB ? (uint8_t)(uart->divisor >> 8) : uart->ier;
    case 2:
        return read_iir(serial);
    case 3:
        return uart->lcr;
    case 4:
        return uart->mcr;
    case 5:
        return read_lsr(serial);
    case 6:
        return read_msr(serial);
    default:
        return uart->scr;
    }
}

static void
write_divisor(struct serial *serial, uint16_t mask, uint16_t value)
{
    serial->uart.divisor = (uint16_t)((serial->uart.divisor & ~mask) | value);
}

void
uart_write(struct serial *serial, uint32_t offset, uint8_t value)
{
    struct uart *uart = &serial->uart;

    switch (offset) {
    case 0:
        if (uart->lcr & UART_LCR_DLAB) {
            write_divisor(serial, 0x00ff, value);
        } else {
            uart_write_many(serial, &value, 1);
        }
        break;
    case 1:
        if (uart->lcr & UART_LCR_DLAB) {
            write_divisor(serial, 0xff00, (uint16_t)(value << 8));
        } else {
            write_ier(serial, value);
        }
        break;
    case 2:
        write_fcr(serial, value);
        break;
    case 3:
        write_lcr(serial, value);
        break;
    case 4:
        write_mcr(serial, value);
        break;
    case 7:
        uart->scr = value;
        break;
    default:
        break; /* LSR and MSR: writing is for the factory's tests (8.6) */
    }
}

void
uart_reset(struct serial *serial, uint32_t power_on)
{
    struct uart *uart = &serial->uart;
    uint8_t inputs = uart->inputs;
    uint8_t scr = uart->scr;
    uint16_t divisor = uart->divisor;

    /* Table I: MR leaves the divisor latch and the scratch register alone. */
    memset(uart, 0, sizeof(*uart));
    uart->divisor = power_on ? DIVISOR_POWER_ON : divisor;
    uart->scr = power_on ? 0 : scr;
    uart->inputs = inputs;
    uart->msr_level = inputs;
    line_set_outputs(serial, 0, 0);
    uart_update(serial);
    line_give_credit(serial);
}
