/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupts into a sleeping guest: lines, messages, NMI, split irqchip. */
#include "harness.h"

#include <poll.h>
#include <stdatomic.h>

#define MSI_ADDRESS UINT64_C(0xfee00000)
#define MSI_LEVEL   0xc000u            /* level-triggered, asserted (Intel SDM vol. 3, 11.11.2) */
#define EOI_TIMEOUT UINT64_C(10000000) /* us */

/* Enough of everything that a lost wake-up would show. */
#define ROUNDS 50u

static void
check_line(const char *routine, uint32_t vector)
{
    GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = routine});
    IrqSource *source = irq_source_new(machine->irqs, 4);

    guest_machine_start(machine);
    guest_machine_expect(machine, REPORT_READY);
    for (unsigned i = 0; i < ROUNDS; i++) {
        irq_source_set(source, true);
        guest_machine_expect(machine, REPORT_INTERRUPT + vector);
        irq_source_set(source, false);
    }
    assert_false(guest_machine_has_report(machine));
    irq_source_free(source);
    guest_machine_free(machine);
}

static void
test_a_line_wakes_the_guest_through_the_8259_in_virtual_wire_mode(void **state)
{
    check_line("pic", VECTOR_PIC_IRQ4);
}

static void
test_a_line_wakes_the_guest_through_the_ioapic(void **state)
{
    check_line("ioapic", VECTOR_MSI);
}

typedef struct {
    GuestMachine *machine;
    const MsiOps *ops;
    void *opaque;
    MsiVector *vector;
} MsiTest;

static void
msi_setup(MsiTest *test)
{
    GError *error = NULL;

    test->machine = guest_machine_new(&(GuestArgs){.routine = "msi"});
    test->ops = vm_msi(test->machine->vm)->ops;
    test->opaque = vm_msi(test->machine->vm)->opaque;
    test->vector = test->ops->vector_new(test->opaque, &error);
    assert_non_null(test->vector);
    guest_machine_start(test->machine);
    guest_machine_expect(test->machine, REPORT_READY);
}

static void
msi_teardown(MsiTest *test)
{
    test->ops->vector_free(test->opaque, test->vector);
    guest_machine_free(test->machine);
}

static void
msi_set(const MsiTest *test, bool enabled)
{
    test->ops->vector_set(test->opaque, test->vector, enabled, MSI_ADDRESS, VECTOR_MSI);
}

static void
test_a_message_wakes_the_guest(void **state)
{
    MsiTest test;

    msi_setup(&test);
    msi_set(&test, true);
    for (unsigned i = 0; i < ROUNDS; i++) {
        test.ops->vector_fire(test.opaque, test.vector);
        guest_machine_expect(test.machine, REPORT_INTERRUPT + VECTOR_MSI);
    }
    assert_false(test.ops->vector_take_pending(test.opaque, test.vector));
    msi_teardown(&test);
}

static void
test_a_masked_message_is_pending_and_not_delivered(void **state)
{
    MsiTest test;

    msi_setup(&test);
    int fd = test.ops->vector_eventfd(test.opaque, test.vector);
    for (unsigned i = 0; i < ROUNDS; i++) {
        msi_set(&test, true);
        test.ops->vector_fire(test.opaque, test.vector);
        guest_machine_expect(test.machine, REPORT_INTERRUPT + VECTOR_MSI);
        msi_set(&test, false);
        assert_false(test.ops->vector_take_pending(test.opaque, test.vector));
        test.ops->vector_fire(test.opaque, test.vector);
        test.ops->vector_fire(test.opaque, test.vector);
        assert_true(test.ops->vector_take_pending(test.opaque, test.vector));
        assert_false(test.ops->vector_take_pending(test.opaque, test.vector));
    }
    assert_false(guest_machine_has_report(test.machine));
    assert_int_equal(test.ops->vector_eventfd(test.opaque, test.vector), fd);
    msi_teardown(&test);
}

static void
test_what_fires_while_masked_survives_the_unmasking(void **state)
{
    MsiTest test;

    msi_setup(&test);
    for (unsigned i = 0; i < ROUNDS; i++) {
        msi_set(&test, false);
        test.ops->vector_fire(test.opaque, test.vector);
        msi_set(&test, true);
        assert_true(test.ops->vector_take_pending(test.opaque, test.vector));
        test.ops->vector_fire(test.opaque, test.vector); /* as the bus does */
        guest_machine_expect(test.machine, REPORT_INTERRUPT + VECTOR_MSI);
        assert_false(guest_machine_has_report(test.machine));
    }
    msi_teardown(&test);
}

typedef struct {
    const MsiTest *test;
    atomic_uint fired;
    atomic_bool stop;
} Shooter;

static void *
shoot(void *opaque)
{
    Shooter *shooter = opaque;
    const MsiTest *test = shooter->test;

    while (!atomic_load(&shooter->stop)) {
        test->ops->vector_fire(test->opaque, test->vector);
        atomic_fetch_add(&shooter->fired, 1);
        g_usleep(100);
    }
    return NULL;
}

/* After the last shot the guest must have seen an interrupt, whatever the mask did meanwhile. */
static void
test_masking_under_fire_loses_nothing(void **state)
{
    MsiTest test;
    Shooter shooter = {.test = &test};

    msi_setup(&test);
    msi_set(&test, true);
    GThread *thread = g_thread_new("shooter", shoot, &shooter);
    while (atomic_load(&shooter.fired) == 0) { /* a busy host starts it late */
        g_usleep(100);
    }
    for (unsigned i = 0; i < ROUNDS * 4; i++) {
        msi_set(&test, false);
        msi_set(&test, true);
        if (test.ops->vector_take_pending(test.opaque, test.vector)) {
            test.ops->vector_fire(test.opaque, test.vector);
        }
    }
    atomic_store(&shooter.stop, true);
    g_thread_join(thread);
    msi_set(&test, false);
    bool pending = test.ops->vector_take_pending(test.opaque, test.vector);
    assert_false(pending); /* enabled all the time since the last unmask */
    msi_set(&test, true);
    guest_machine_expect(test.machine, REPORT_INTERRUPT + VECTOR_MSI);
    msi_teardown(&test);
}

static void
test_a_moved_message_goes_to_its_new_vector(void **state)
{
    MsiTest test;

    msi_setup(&test);
    msi_set(&test, true);
    test.ops->vector_fire(test.opaque, test.vector);
    guest_machine_expect(test.machine, REPORT_INTERRUPT + VECTOR_MSI);
    test.ops->vector_set(test.opaque, test.vector, true, MSI_ADDRESS, VECTOR_LEVEL);
    test.ops->vector_fire(test.opaque, test.vector);
    guest_machine_expect(test.machine, REPORT_INTERRUPT + VECTOR_LEVEL);
    msi_teardown(&test);
}

static void
test_an_nmi_wakes_the_guest_with_interrupts_off(void **state)
{
    GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = "nmi"});

    guest_machine_start(machine);
    for (unsigned i = 0; i < 3; i++) {
        guest_machine_expect(machine, REPORT_READY);
        vm_inject_nmi(machine->vm);
        guest_machine_expect(machine, REPORT_INTERRUPT + VECTOR_NMI);
        guest_machine_reset(machine); /* the guest cannot IRET out of it everywhere */
    }
    guest_machine_free(machine);
}

static void
test_split_irqchip_delivers_the_boards_8259(void **state)
{
    GuestMachine *machine =
        guest_machine_new(&(GuestArgs){.routine = "extint", .irqchip = VM_IRQCHIP_SPLIT});

    guest_machine_start(machine);
    guest_machine_expect(machine, REPORT_READY);
    for (unsigned i = 0; i < ROUNDS; i++) {
        atomic_store(&machine->pic_vector, VECTOR_PIC);
        vm_set_extint(machine->vm, true);
        guest_machine_expect(machine, REPORT_INTERRUPT + VECTOR_PIC);
    }
    assert_false(guest_machine_has_report(machine));
    guest_machine_free(machine);
}

static void
test_split_irqchip_reports_the_eoi_of_level_interrupts(void **state)
{
    GError *error = NULL;
    GuestMachine *machine =
        guest_machine_new(&(GuestArgs){.routine = "level", .irqchip = VM_IRQCHIP_SPLIT});
    const MsiOps *ops = vm_msi(machine->vm)->ops;
    void *opaque = vm_msi(machine->vm)->opaque;
    MsiVector *vector = ops->vector_new(opaque, &error);

    assert_non_null(vector);
    guest_machine_start(machine);
    guest_machine_expect(machine, REPORT_READY);
    ops->vector_set(opaque, vector, true, MSI_ADDRESS, VECTOR_LEVEL | MSI_LEVEL);
    for (unsigned i = 0; i < ROUNDS; i++) {
        ops->vector_fire(opaque, vector);
        guest_machine_expect(machine, REPORT_INTERRUPT + VECTOR_LEVEL);
        void *eoi = g_async_queue_timeout_pop(machine->eois, EOI_TIMEOUT);
        assert_int_equal(GPOINTER_TO_SIZE(eoi), VECTOR_LEVEL + 1);
    }
    ops->vector_free(opaque, vector);
    guest_machine_free(machine);
}

static void
test_direct_boot_sets_the_trigger_modes_of_kvms_8259s(void **state)
{
    GuestMachine *machine = guest_machine_new(&(GuestArgs){.routine = "elcr"});

    vm_set_elcr(machine->vm, 0x0c20);
    guest_machine_start(machine);
    guest_machine_expect(machine, 0x0c20);
    guest_machine_reset(machine);
    guest_machine_expect(machine, 0x0c20);
    guest_machine_free(machine);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_wakes_the_guest_through_the_8259_in_virtual_wire_mode),
        cmocka_unit_test(test_a_line_wakes_the_guest_through_the_ioapic),
        cmocka_unit_test(test_a_message_wakes_the_guest),
        cmocka_unit_test(test_a_masked_message_is_pending_and_not_delivered),
        cmocka_unit_test(test_what_fires_while_masked_survives_the_unmasking),
        cmocka_unit_test(test_masking_under_fire_loses_nothing),
        cmocka_unit_test(test_a_moved_message_goes_to_its_new_vector),
        cmocka_unit_test(test_an_nmi_wakes_the_guest_with_interrupts_off),
        cmocka_unit_test(test_split_irqchip_delivers_the_boards_8259),
        cmocka_unit_test(test_split_irqchip_reports_the_eoi_of_level_interrupts),
        cmocka_unit_test(test_direct_boot_sets_the_trigger_modes_of_kvms_8259s),
    };
    return guest_tests_skipped() ? 0 : cmocka_run_group_tests(tests, NULL, NULL);
}
