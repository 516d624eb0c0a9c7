/* SPDX-License-Identifier: Apache-2.0 */
/* Starting, pausing, resetting and ending machines; several processors; guests that die. */
#include "harness.h"

#include <stdatomic.h>
#include <string.h>

#define RESETS 10u
#define PAUSES 50u

typedef struct {
    GMutex lock;
    GCond moved;
    uint64_t writes; /* under lock */
    atomic_uint inside;
} LoadDevice;

static uint64_t
load_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void
load_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    LoadDevice *device = opaque;

    atomic_fetch_add(&device->inside, 1);
    g_mutex_lock(&device->lock);
    device->writes++;
    g_cond_signal(&device->moved);
    g_mutex_unlock(&device->lock);
    atomic_fetch_sub(&device->inside, 1);
}

static const RegionOps load_ops = {
    .read = load_read,
    .write = load_write,
    .widths = 4,
};

static uint64_t
load_count(LoadDevice *device)
{
    g_mutex_lock(&device->lock);
    uint64_t writes = device->writes;
    g_mutex_unlock(&device->lock);
    return writes;
}

static void
load_wait_beyond(LoadDevice *device, uint64_t writes)
{
    gint64 deadline = g_get_monotonic_time() + INT64_C(10) * G_USEC_PER_SEC;

    g_mutex_lock(&device->lock);
    while (device->writes <= writes && g_cond_wait_until(&device->moved, &device->lock, deadline)) {
    }
    bool moved = device->writes > writes;
    g_mutex_unlock(&device->lock);
    assert_true(moved);
}

static void
test_pause_under_load_stops_every_access(void **state)
{
    LoadDevice device = {0};
    GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = "load"});
    uint64_t seen = 0;

    guest_machine_add(machine, machine->pio, PORT_LOAD, 4, &load_ops, &device);
    guest_machine_start(machine);
    for (unsigned i = 0; i < PAUSES; i++) {
        load_wait_beyond(&device, seen);
        vm_pause(machine->vm);
        assert_false(vm_is_running(machine->vm));
        assert_int_equal(atomic_load(&device.inside), 0);
        seen = load_count(&device);
        g_usleep(200); /* dozens of exits long, were it running */
        assert_int_equal(load_count(&device), seen);
        vm_pause(machine->vm); /* twice is once */
        vm_resume(machine->vm);
        assert_true(vm_is_running(machine->vm));
    }
    guest_machine_free(machine);
}

static void
test_a_machine_ends_while_its_guest_runs(void **state)
{
    for (unsigned i = 0; i < RESETS; i++) {
        LoadDevice device = {0};
        GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = "load", .cpus = 2});

        guest_machine_add(machine, machine->pio, PORT_LOAD, 4, &load_ops, &device);
        guest_machine_start(machine);
        load_wait_beyond(&device, i);
        guest_machine_free(machine);
    }
}

static void
test_a_machine_starts_paused_and_ends_without_running(void **state)
{
    GError *error = NULL;
    GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = "hello"});

    assert_true(vm_start(machine->vm, true, &error));
    vm_pause(machine->vm);
    assert_false(vm_is_running(machine->vm));
    assert_false(guest_machine_has_report(machine));
    guest_machine_free(machine);
}

static void
test_reset_starts_the_guest_anew_each_time(void **state)
{
    GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = "pic"});
    IrqSource *source = irq_source_new(machine->irqs, 4);

    guest_machine_start(machine);
    for (unsigned i = 0; i < RESETS; i++) {
        guest_machine_expect(machine, REPORT_READY);
        irq_source_set(source, true);
        guest_machine_expect(machine, REPORT_INTERRUPT + VECTOR_PIC_IRQ4);
        irq_source_set(source, false);
        guest_machine_reset(machine);
    }
    guest_machine_expect(machine, REPORT_READY);
    irq_source_free(source);
    guest_machine_free(machine);
}

static void
test_reset_under_load_starts_at_the_beginning(void **state)
{
    LoadDevice device = {0};
    GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = "load"});

    guest_machine_add(machine, machine->pio, PORT_LOAD, 4, &load_ops, &device);
    guest_machine_start(machine);
    for (unsigned i = 0; i < RESETS; i++) {
        load_wait_beyond(&device, load_count(&device) + 10);
        guest_machine_reset(machine);
    }
    load_wait_beyond(&device, load_count(&device) + 10);
    guest_machine_free(machine);
}

/* Each AP reports its APIC id once, the BSP that it has sent the messages. */
static void
expect_all_processors(GuestMachine *machine, unsigned cpus)
{
    uint32_t seen = 0;

    for (unsigned i = 0; i < cpus; i++) {
        uint32_t report = guest_machine_next_report(machine);
        assert_true(report == REPORT_READY || report - REPORT_AP < cpus);
        uint32_t bit = report == REPORT_READY ? 1u : 1u << (report - REPORT_AP);
        assert_int_equal(seen & bit, 0);
        seen |= bit;
    }
    assert_int_equal(seen, (1u << cpus) - 1);
    assert_false(guest_machine_has_report(machine));
}

static void
check_smp(unsigned cpus)
{
    GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = "smp", .cpus = cpus});

    guest_machine_start(machine);
    for (unsigned round = 0; round < 3; round++) {
        expect_all_processors(machine, cpus);
        guest_machine_reset(machine);
    }
    guest_machine_free(machine);
}

static void
test_the_second_processor_starts_by_init_and_sipi_after_each_reset(void **state)
{
    check_smp(2);
}

static void
test_every_processor_has_an_apic_id_of_its_own(void **state)
{
    check_smp(8);
}

static void
test_a_triple_fault_is_reported_and_survives_a_reset(void **state)
{
    GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = "triple-fault"});

    guest_machine_start(machine);
    for (unsigned i = 0; i < 3; i++) {
        g_autofree char *text = NULL;
        assert_int_equal(guest_machine_next_event(machine, &text), VM_EVENT_SHUTDOWN);
        assert_non_null(strstr(text, "triple fault"));
        guest_machine_reset(machine);
    }
    guest_machine_free(machine);
}

static void
test_what_kvm_cannot_run_is_reported_with_its_place(void **state)
{
    g_autofree char *text = NULL;
    GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = "undefined"});

    guest_machine_start(machine);
    assert_int_equal(guest_machine_next_event(machine, &text), VM_EVENT_INTERNAL_ERROR);
    assert_non_null(strstr(text, "rip 0xe0000000"));
    guest_machine_free(machine);
}

static void
test_too_many_processors_are_refused_with_the_limit(void **state)
{
    g_autoptr(GError) error = NULL;
    GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = "hello"});
    const VmArgs args = {.cpus = 256, .bus = &machine->bus};

    assert_null(vm_new(&args, &error));
    assert_non_null(strstr(error->message, "256 vCPUs are not possible"));
    guest_machine_free(machine);
}

static void
test_the_cpu_option_is_checked_when_the_machine_is_made(void **state)
{
    g_autoptr(GError) error = NULL;
    GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = "hello"});
    const VmArgs args = {.cpus = 1, .cpu = "host,-avx51f", .bus = &machine->bus};

    assert_null(vm_new(&args, &error));
    assert_non_null(strstr(error->message, "did you mean \"avx512f\"?"));
    guest_machine_free(machine);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pause_under_load_stops_every_access),
        cmocka_unit_test(test_a_machine_ends_while_its_guest_runs),
        cmocka_unit_test(test_a_machine_starts_paused_and_ends_without_running),
        cmocka_unit_test(test_reset_starts_the_guest_anew_each_time),
        cmocka_unit_test(test_reset_under_load_starts_at_the_beginning),
        cmocka_unit_test(test_the_second_processor_starts_by_init_and_sipi_after_each_reset),
        cmocka_unit_test(test_every_processor_has_an_apic_id_of_its_own),
        cmocka_unit_test(test_a_triple_fault_is_reported_and_survives_a_reset),
        cmocka_unit_test(test_what_kvm_cannot_run_is_reported_with_its_place),
        cmocka_unit_test(test_too_many_processors_are_refused_with_the_limit),
        cmocka_unit_test(test_the_cpu_option_is_checked_when_the_machine_is_made),
    };
    return guest_tests_skipped() ? 0 : cmocka_run_group_tests(tests, NULL, NULL);
}
