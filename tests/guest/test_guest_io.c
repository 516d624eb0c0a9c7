/* SPDX-License-Identifier: Apache-2.0 */
/* Exits for port and memory accesses, seen by a real guest. */
#include "harness.h"

#include <sys/eventfd.h>
#include <unistd.h>

#define LOG_MAX 1024u

typedef struct {
    bool is_write;
    uint64_t offset, value;
    unsigned size;
} Access;

typedef struct {
    Access accesses[LOG_MAX];
    unsigned count;
} Device;

static void
log_access(Device *device, bool is_write, uint64_t offset, unsigned size, uint64_t value)
{
    if (device->count < LOG_MAX) {
        device->accesses[device->count++] = (Access){is_write, offset, value, size};
    }
}

static uint64_t
device_read(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t value = PATTERN & (UINT32_MAX >> (32 - 8 * size));
    log_access(opaque, false, offset, size, value);
    return value;
}

static void
device_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    log_access(opaque, true, offset, size, value);
}

static const RegionOps device_ops = {
    .read = device_read,
    .write = device_write,
    .widths = 1 | 2 | 4 | 8,
};

static void
expect_access(const Device *device, unsigned index, Access expected)
{
    assert_true(index < device->count);
    assert_int_equal(device->accesses[index].is_write, expected.is_write);
    assert_int_equal(device->accesses[index].offset, expected.offset);
    assert_int_equal(device->accesses[index].size, expected.size);
    assert_int_equal(device->accesses[index].value, expected.value);
}

static void
test_guest_writes_a_byte_to_a_port(void **state)
{
    Device device = {0};
    GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = "hello"});

    guest_machine_add(machine, machine->pio, PORT_HELLO, 1, &device_ops, &device);
    guest_machine_start(machine);
    guest_machine_expect(machine, REPORT_DONE);
    guest_machine_free(machine);
    assert_int_equal(device.count, 1);
    expect_access(&device, 0, (Access){true, 0, 'B', 1});
}

static void
test_accesses_arrive_with_their_widths(void **state)
{
    Device ports = {0};
    Device registers = {0};
    GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = "widths"});

    guest_machine_add(machine, machine->pio, PORT_WIDTHS, 8, &device_ops, &ports);
    guest_machine_add(machine, machine->mmio, MMIO_BASE, MMIO_SIZE, &device_ops, &registers);
    guest_machine_start(machine);
    for (unsigned i = 0; i < 2; i++) {
        guest_machine_expect(machine, 0x11);
        guest_machine_expect(machine, 0x2211);
        guest_machine_expect(machine, PATTERN);
    }
    guest_machine_expect(machine, UINT32_MAX); /* nobody at the port */
    guest_machine_expect(machine, UINT32_MAX); /* nor at the address */
    guest_machine_expect(machine, REPORT_DONE);
    guest_machine_free(machine);
    const Device *devices[] = {&ports, &registers};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(devices[i]->count, 6);
        for (unsigned j = 0; j < 2; j++) {
            expect_access(devices[i], 3 * j, (Access){j == 0, 0, 0x11, 1});
            expect_access(devices[i], 3 * j + 1, (Access){j == 0, 2, 0x2211, 2});
            expect_access(devices[i], 3 * j + 2, (Access){j == 0, 4, PATTERN, 4});
        }
    }
}

/* A FIFO: what REP OUTS wrote, REP INS reads. KVM passes REP INS as blocks and takes REP OUTS
 * apart; both ways must keep order and number. */
typedef struct {
    uint8_t data[BLOCK_COUNT * 4];
    size_t written, taken;
    unsigned blocks;
    bool overrun;
} Fifo;

static void
fifo_write_block(void *opaque, uint64_t offset, unsigned size, uint32_t count, const void *data)
{
    Fifo *fifo = opaque;
    size_t length = (size_t)size * count;

    if (length > sizeof(fifo->data) - fifo->written) {
        fifo->overrun = true; /* no assert here: this is the vCPU's thread */
        return;
    }
    memcpy(fifo->data + fifo->written, data, length);
    fifo->written += length;
}

static void
fifo_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    fifo_write_block(opaque, offset, size, 1, &value);
}

static void
fifo_read_block(void *opaque, uint64_t offset, unsigned size, uint32_t count, void *data)
{
    Fifo *fifo = opaque;
    size_t length = (size_t)size * count;

    if (length > fifo->written - fifo->taken) {
        fifo->overrun = true;
        return;
    }
    memcpy(data, fifo->data + fifo->taken, length);
    fifo->taken += length;
    fifo->blocks++;
    if (fifo->taken == fifo->written) {
        fifo->taken = fifo->written = 0;
    }
}

static uint64_t
fifo_read(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    fifo_read_block(opaque, offset, size, 1, &value);
    return value;
}

static const RegionOps fifo_ops = {
    .read = fifo_read,
    .write = fifo_write,
    .read_block = fifo_read_block,
    .write_block = fifo_write_block,
    .widths = 1 | 2 | 4,
};

static uint32_t
block_sum(unsigned size)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < BLOCK_COUNT * size; i++) {
        sum += (uint8_t)i * (i + 1);
    }
    return sum;
}

static void
test_string_io_keeps_order_and_number(void **state)
{
    Fifo fifo = {0};
    GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = "blocks"});

    guest_machine_add(machine, machine->pio, PORT_BLOCK, 4, &fifo_ops, &fifo);
    guest_machine_start(machine);
    guest_machine_expect(machine, block_sum(1));
    guest_machine_expect(machine, block_sum(2));
    guest_machine_expect(machine, block_sum(4));
    guest_machine_expect(machine, REPORT_DONE);
    guest_machine_free(machine);
    assert_false(fifo.overrun);
    assert_int_equal(fifo.written, 0);
    assert_in_range(fifo.blocks, 3, 3 * BLOCK_COUNT);
}

static uint64_t
doorbell_count(int fd)
{
    uint64_t count = 0;
    return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count) ? count : 0;
}

static void
test_doorbells_count_without_an_exit(void **state)
{
    Device ports = {0};
    Device registers = {0};
    GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = "doorbells"});
    Vm *vm = machine->vm;
    int matched = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int any = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    guest_machine_add(machine, machine->pio, PORT_DOORBELL, 4, &device_ops, &ports);
    guest_machine_add(machine, machine->mmio, MMIO_DOORBELL, 4, &device_ops, &registers);
    const VmIoeventfd pio_bell = {.is_pio = true,
                                  .address = PORT_DOORBELL,
                                  .width = 4,
                                  .has_match = true,
                                  .match = 7,
                                  .fd = matched};
    const VmIoeventfd mmio_bell = {.address = MMIO_DOORBELL, .fd = any};
    assert_int_equal(vm_ioeventfd(vm, true, &pio_bell), 0);
    assert_int_equal(vm_ioeventfd(vm, true, &mmio_bell), 0);
    guest_machine_start(machine);
    guest_machine_expect(machine, REPORT_DONE);
    assert_int_equal(doorbell_count(matched), 1);
    assert_int_equal(doorbell_count(any), 2);
    assert_int_equal(registers.count, 0);
    assert_int_equal(ports.count, 2); /* another value, another width */
    expect_access(&ports, 0, (Access){true, 0, 8, 4});
    expect_access(&ports, 1, (Access){true, 0, 7, 2});

    /* Removed, the same writes reach the device. */
    assert_int_equal(vm_ioeventfd(vm, false, &pio_bell), 0);
    assert_int_equal(vm_ioeventfd(vm, false, &mmio_bell), 0);
    guest_machine_reset(machine);
    guest_machine_expect(machine, REPORT_DONE);
    assert_int_equal(ports.count, 5);
    assert_int_equal(registers.count, 2);
    assert_int_equal(doorbell_count(any), 0);
    guest_machine_free(machine);
    (void)close(matched);
    (void)close(any);
}

static void
test_writes_to_rom_are_lost(void **state)
{
    uint8_t rom[0x10000];
    GError *error = NULL;
    GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = "rom"});

    memset(rom, 0x5a, sizeof(rom));
    assert_true(guest_memory_add_rom(machine->memory, 0xffff0000, rom, sizeof(rom), &error));
    guest_machine_start(machine);
    guest_machine_expect(machine, 0x5a5a5a5a);
    guest_machine_expect(machine, 0x5a5a5a5a);
    guest_machine_expect(machine, REPORT_DONE);
    guest_machine_free(machine);
}

static void
test_exits_are_counted(void **state)
{
    VmStats stats;
    GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = "widths"});

    guest_machine_start(machine);
    while (guest_machine_next_report(machine) != REPORT_DONE) {
    }
    vm_pause(machine->vm);
    vm_stats(machine->vm, 0, &stats);
    assert_int_equal(stats.pio_exits, 3 + 3 + 1 + 9);
    assert_int_equal(stats.mmio_exits, 3 + 3 + 1);
    guest_machine_free(machine);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guest_writes_a_byte_to_a_port),
        cmocka_unit_test(test_accesses_arrive_with_their_widths),
        cmocka_unit_test(test_string_io_keeps_order_and_number),
        cmocka_unit_test(test_doorbells_count_without_an_exit),
        cmocka_unit_test(test_writes_to_rom_are_lost),
        cmocka_unit_test(test_exits_are_counted),
    };
    return guest_tests_skipped() ? 0 : cmocka_run_group_tests(tests, NULL, NULL);
}
