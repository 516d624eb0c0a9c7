/* SPDX-License-Identifier: Apache-2.0 */
/* The transport and the rings, as virtio-blk shows them: interfaces, features, interrupts,
 * malformed rings. */
#include "blk_test.h"

#include <string.h>

static const uint64_t combinations[] = {
    0,
    EVENT_IDX,
    INDIRECT,
    INDIRECT | EVENT_IDX | IN_ORDER,
    PACKED,
    PACKED | EVENT_IDX,
    PACKED | INDIRECT | EVENT_IDX,
    PACKED | INDIRECT | EVENT_IDX | IN_ORDER,
};

#define OPTIONS "packed = true; in_order = true; "

/* Several reads at once, which the backend ends in order or backwards. */
static void
read_some(struct rig *rig, uint32_t first, uint32_t many, int reverse)
{
    uint32_t slots[5], id, length;

    for (uint32_t k = 0; k < many; k++) {
        slots[k] = send(rig, 0, BLK_T_IN, first + k, DATA_GPA + k * 4096u, 512 | TO_GUEST);
    }
    th_run(rig->th);
    th_block_release(rig->disk, 100, reverse);
    th_run(rig->th);
    for (uint32_t k = 0; k < many; k++) {
        assert_int_equal(status_of(rig, slots[k]), BLK_S_OK);
        assert_memory_equal(th_ram(rig->th, DATA_GPA + k * 4096u, 512),
                            th_block_data(rig->disk) + (size_t)(first + k) * 512, 512);
        assert_true(used(rig, 0, &id, &length));
        assert_int_equal(length, 513);
    }
    assert_false(used(rig, 0, &id, &length));
}

/* Often enough that every ring wraps. */
static void
test_every_combination_of_ring_features_works(void **state)
{
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(combinations) * 2; i++) {
        struct rig rig;

        rig_plug(&rig, OPTIONS);
        bring_up(&rig, combinations[i / 2] | BLK_F_FLUSH, 1, 16);
        rig.indirect = (combinations[i / 2] & INDIRECT) != 0;
        th_block_hold(rig.disk, 1);
        for (uint32_t round = 0; round < 200; round++) {
            read_some(&rig, round, 1 + round % 5, i % 2);
        }
        rig_free(&rig);
    }
}

static void
test_in_order_rings_use_in_the_order_of_offering(void **state)
{
    struct rig rig;
    uint32_t id, length, heads[4];

    rig_plug(&rig, OPTIONS);
    bring_up(&rig, IN_ORDER, 1, 64);
    th_block_hold(rig.disk, 1);
    for (uint32_t i = 0; i < 4; i++) {
        heads[i] = rig.q[0].next_desc;
        (void)send(&rig, 0, BLK_T_IN, i, DATA_GPA + i * 512, 512 | TO_GUEST);
    }
    th_run(rig.th);
    th_block_release(rig.disk, 3, 1);
    th_run(rig.th);
    assert_false(used(&rig, 0, &id, &length));
    th_block_release(rig.disk, 1, 1);
    th_run(rig.th);
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(used(&rig, 0, &id, &length));
        assert_int_equal(id, heads[i]);
    }
    rig_free(&rig);
}

static void
test_a_legacy_driver_works_with_intx_and_with_messages(void **state)
{
    struct rig rig;

    for (uint32_t messages = 0; messages < 2; messages++) {
        rig_plug(&rig, "queue_size = 1024;");
        assert_int_equal(in(&rig, 0x0c, 2), 256);
        assert_int_equal(in(&rig, 0, 4) & BLK_F_SECURE_ERASE, 0);
        bring_up_legacy(&rig, (uint32_t)in(&rig, 0, 4) & ~(uint32_t)EVENT_IDX);
        if (messages) {
            th_msix_enable(rig.dev);
            out(&rig, 0x14, 2, 0);
            assert_int_equal(in(&rig, 0x14, 2), 0);
            out(&rig, 0x16, 2, 9);
            assert_int_equal(in(&rig, 0x16, 2), 0xffff);
            out(&rig, 0x16, 2, 1);
        }
        assert_int_equal(in(&rig, messages ? 0x18 : 0x14, 4), DISK_BYTES / 512);
        th_irq_log_clear(rig.th);
        assert_int_equal(transfer(&rig, BLK_T_IN, 1, DATA_GPA, 512, 1), BLK_S_OK);
        assert_int_equal(th_message_count(rig.dev, 1), messages);
        assert_int_equal(th_intx_level(rig.dev), !messages);
        assert_int_equal(in(&rig, 0x13, 1), messages ? 0 : 1);
        assert_int_equal(th_intx_level(rig.dev), 0);
        assert_int_equal(in(&rig, 0x13, 1), 0);
        out(&rig, 8, 4, 0);
        assert_int_equal(in(&rig, 8, 4), 0);
        rig_free(&rig);
    }
}

static void
test_interfaces_show_the_ids_of_the_specification(void **state)
{
    static const struct {
        const char *options;
        uint32_t device, revision, subsystem, io;
    } expected[] = {
        {"", 0x1001, 0, 2, 1},
        {"interface = \"legacy\";", 0x1001, 0, 2, 1},
        {"interface = \"modern\";", 0x1042, 1, 0x1100, 0},
    };

    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(expected); i++) {
        struct rig rig;

        rig_plug(&rig, expected[i].options);
        assert_int_equal(th_pci_read(rig.dev, 0, 4), 0x1af4 | expected[i].device << 16);
        assert_int_equal(th_pci_read(rig.dev, 8, 4), 0x01000000 | expected[i].revision);
        assert_int_equal(th_pci_read(rig.dev, 0x2e, 2), expected[i].subsystem);
        assert_int_equal(th_pci_read(rig.dev, 0x10, 4) & 1, expected[i].io);
        assert_int_equal(th_pci_find_capability(rig.dev, 9) != 0, i != 1);
        rig_free(&rig);
    }
}

static void
test_features_that_were_not_offered_are_refused(void **state)
{
    struct rig rig;

    rig_plug(&rig, "");
    assert_true(negotiate(&rig, 0));
    assert_false(negotiate(&rig, PACKED));
    assert_false(negotiate(&rig, UINT64_C(1) << 7)); /* SCSI of 0.9.5 */
    assert_false(negotiate(&rig, UINT64_C(1) << 63));
    assert_false(negotiate(&rig, BP_VIRTIO_F_NOTIFY_ON_EMPTY));
    put(&rig, COMMON(0x14), 1, 0);
    put(&rig, COMMON(8), 4, 1);
    put(&rig, COMMON(12), 4, 0); /* without VERSION_1 */
    put(&rig, COMMON(0x14), 1, 11);
    assert_int_equal(status(&rig) & BP_VIRTIO_FEATURES_OK, 0);
    rig_free(&rig);
}

static void
test_messages_go_to_the_vector_of_the_queue(void **state)
{
    struct rig rig;
    uint32_t id, length;

    rig_plug(&rig, "queues = 4; queue_loops = (0, 1);");
    bring_up(&rig, BLK_F_MQ, 4, 32);
    th_msix_enable(rig.dev);
    th_irq_log_clear(rig.th);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t slot = send(&rig, i, BLK_T_IN, i, DATA_GPA, 512 | TO_GUEST);
        th_run(rig.th);
        assert_true(used(&rig, i, &id, &length));
        assert_int_equal(status_of(&rig, slot), BLK_S_OK);
        for (uint32_t k = 0; k < 5; k++) {
            assert_int_equal(th_message_count(rig.dev, k), k >= 1 && k <= i + 1);
        }
    }
    put(&rig, COMMON(0x16), 2, 0);
    put(&rig, COMMON(0x1a), 2, 5); /* there are 5 vectors: 0 to 4 */
    assert_int_equal(get(&rig, COMMON(0x1a), 2), 0xffff);
    rig_free(&rig);
}

static void
test_a_batch_is_one_interrupt(void **state)
{
    struct rig rig;

    rig_plug(&rig, "");
    bring_up(&rig, 0, 1, 128);
    th_msix_enable(rig.dev);
    th_irq_log_clear(rig.th);
    rig.silent = 1;
    for (uint32_t i = 0; i < 20; i++) {
        (void)send(&rig, 0, BLK_T_GET_ID, 0, DATA_GPA, 20 | TO_GUEST);
    }
    notify(&rig, 0);
    th_run(rig.th);
    assert_int_equal(th_message_count(rig.dev, 1), 1);
    for (uint32_t i = 0; i < 20; i++) {
        (void)send(&rig, 0, BLK_T_IN, i, DATA_GPA, 512 | TO_GUEST);
    }
    notify(&rig, 0);
    th_run(rig.th);
    assert_int_equal(th_block_submits(rig.disk), 1);
    rig_free(&rig);
}

static void
test_event_indices_hold_interrupts_back(void **state)
{
    for (uint32_t packed = 0; packed < 2; packed++) {
        struct rig rig;
        uint64_t event;
        uint32_t id, length;

        rig_plug(&rig, OPTIONS);
        bring_up(&rig, EVENT_IDX | (packed ? PACKED : 0), 1, 128);
        th_msix_enable(rig.dev);
        th_irq_log_clear(rig.th);
        /* after the third one: descriptor 6 of the packed ring is in its chain */
        event = packed ? rig.q[0].avail : rig.q[0].avail + 260;
        th_write(rig.th, event, 2, packed ? 0x8000 | 6 : 2);
        if (packed) {
            th_write(rig.th, event + 2, 2, 2);
        }
        for (uint32_t i = 0; i < 4; i++) {
            (void)send(&rig, 0, BLK_T_IN, i, DATA_GPA, 512 | TO_GUEST);
            th_run(rig.th);
            assert_true(used(&rig, 0, &id, &length));
            assert_int_equal(th_message_count(rig.dev, 1), i >= 2);
        }
        rig_free(&rig);
    }
}

static void
test_suppressed_interrupts_do_not_come(void **state)
{
    struct rig rig;

    rig_plug(&rig, OPTIONS);
    bring_up(&rig, 0, 1, 128);
    th_write(rig.th, rig.q[0].avail, 2, 1);
    assert_int_equal(transfer(&rig, BLK_T_IN, 0, DATA_GPA, 512, 1), BLK_S_OK);
    assert_int_equal(th_intx_level(rig.dev), 0);
    bring_up(&rig, PACKED, 1, 128);
    th_write(rig.th, rig.q[0].avail + 2, 2, 1);
    assert_int_equal(transfer(&rig, BLK_T_IN, 0, DATA_GPA, 512, 1), BLK_S_OK);
    assert_int_equal(th_intx_level(rig.dev), 0);
    th_write(rig.th, rig.q[0].avail + 2, 2, 0);
    assert_int_equal(transfer(&rig, BLK_T_IN, 0, DATA_GPA, 512, 1), BLK_S_OK);
    assert_int_equal(th_intx_level(rig.dev), 1);
    assert_int_equal(get(&rig, ISR_OFFSET, 1), 1);
    assert_int_equal(th_intx_level(rig.dev), 0);
    rig_free(&rig);
}

static void
test_a_queue_can_be_reset_alone(void **state)
{
    struct rig rig;
    uint32_t id, length, slot;

    rig_plug(&rig, "queues = 2;");
    bring_up(&rig, BP_VIRTIO_F_RING_RESET | BLK_F_MQ, 2, 64);
    th_block_hold(rig.disk, 1);
    (void)send(&rig, 0, BLK_T_IN, 0, DATA_GPA, 512 | TO_GUEST);
    th_run(rig.th);
    put(&rig, COMMON(0x16), 2, 0);
    put(&rig, COMMON(0x3a), 2, 1);
    assert_int_equal(get(&rig, COMMON(0x3a), 2), 1);
    th_block_release(rig.disk, 10, 0);
    th_block_hold(rig.disk, 0);
    th_run(rig.th);
    assert_int_equal(get(&rig, COMMON(0x3a), 2), 0);
    assert_int_equal(get(&rig, COMMON(0x1c), 2), 0);
    slot = send(&rig, 1, BLK_T_IN, 1, DATA_GPA, 512 | TO_GUEST);
    th_run(rig.th);
    assert_true(used(&rig, 1, &id, &length));
    assert_int_equal(status_of(&rig, slot), BLK_S_OK);
    set_up_queue(&rig, 0, 32);
    th_run(rig.th);
    assert_int_equal(transfer(&rig, BLK_T_IN, 0, DATA_GPA, 512, 1), BLK_S_OK);
    rig_free(&rig);
}

/* --- malformed rings ---------------------------------------------------------------------------
 */

static void
expect_broken(struct rig *rig, const char *what)
{
    notify(rig, 0);
    th_run(rig->th);
    if (!(status(rig) & BP_VIRTIO_NEEDS_RESET)) {
        fail_msg("not noticed: %s", what);
    }
    bring_up(rig, rig->features, 1, 64);
    assert_int_equal(transfer(rig, BLK_T_IN, 0, DATA_GPA, 512, 1), BLK_S_OK);
}

struct bad_chain {
    const char *what;
    struct {
        uint64_t gpa;
        uint32_t length;
        uint16_t flags, next;
    } desc[3];
};

/* Flags: 1 next, 2 write, 4 indirect. */
static const struct bad_chain bad_chains[] = {
    {"a chain in a circle", {{HEADERS_GPA, 16, 1, 1}, {DATA_GPA, 16, 1, 0}}},
    {"a chain into itself", {{HEADERS_GPA, 16, 1, 0}}},
    {"a next beyond the table", {{HEADERS_GPA, 16, 1, 64}}},
    {"a buffer beyond RAM",
     {{HEADERS_GPA, 16, 1, 1}, {UINT64_MAX - 8, 512, 3, 2}, {STATUS_GPA, 1, 2, 0}}},
    {"a buffer that runs out of RAM",
     {{HEADERS_GPA, 16, 1, 1}, {TH_LOW_RAM_BYTES - 100, 512, 3, 2}, {STATUS_GPA, 1, 2, 0}}},
    {"a buffer around the end of the address space",
     {{HEADERS_GPA, 16, 1, 1}, {UINT64_MAX - 1, 0xffffffff, 3, 2}, {STATUS_GPA, 1, 2, 0}}},
    {"to read after to write", {{STATUS_GPA, 1, 3, 1}, {HEADERS_GPA, 16, 0, 0}}},
    {"no status", {{HEADERS_GPA, 16, 0, 0}}},
    {"half a header", {{HEADERS_GPA, 15, 1, 1}, {STATUS_GPA, 1, 2, 0}}},
    {"an empty chain", {{HEADERS_GPA, 0, 0, 0}}},
    {"a table with a next", {{TABLES_GPA, 32, 5, 1}, {STATUS_GPA, 1, 2, 0}}},
    {"a table of 17 bytes", {{TABLES_GPA, 17, 4, 0}}},
    {"a table of no bytes", {{TABLES_GPA, 0, 4, 0}}},
    {"a table of 4 GiB", {{TABLES_GPA, 0xfffffff0, 4, 0}}},
    {"a table outside RAM", {{UINT64_C(1) << 40, 32, 4, 0}}},
};

static void
test_bad_chains_of_a_split_ring_need_a_reset(void **state)
{
    struct rig rig;

    rig_plug(&rig, "");
    bring_up(&rig, INDIRECT, 1, 64);
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(bad_chains); i++) {
        for (uint32_t k = 0; k < 3; k++) {
            write_desc(&rig, 0, k, bad_chains[i].desc[k].gpa, bad_chains[i].desc[k].length,
                       bad_chains[i].desc[k].flags | (uint32_t)bad_chains[i].desc[k].next << 16);
        }
        offer(&rig, 0, 0);
        expect_broken(&rig, bad_chains[i].what);
    }
    assert_true(th_log_count(rig.th, BP_LOG_WARN) <= 8);
    rig_free(&rig);
}

static void
test_bad_tables_need_a_reset(void **state)
{
    static const struct {
        const char *what;
        uint16_t flags, next;
    } bad[] = {{"a table in a table", 4, 0}, {"a circle", 1, 0}, {"a next beyond it", 1, 2}};
    struct rig rig;

    rig_plug(&rig, "");
    bring_up(&rig, INDIRECT, 1, 64);
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(bad); i++) {
        th_write(rig.th, TABLES_GPA, 8, HEADERS_GPA);
        th_write(rig.th, TABLES_GPA + 8, 4, 16);
        th_write(rig.th, TABLES_GPA + 12, 4, bad[i].flags | (uint32_t)bad[i].next << 16);
        write_desc(&rig, 0, 0, TABLES_GPA, 32, 4 | 0u << 16);
        offer(&rig, 0, 0);
        expect_broken(&rig, bad[i].what);
    }
    bring_up(&rig, 0, 1, 64);
    write_desc(&rig, 0, 0, TABLES_GPA, 32, 4 | 0u << 16);
    offer(&rig, 0, 0);
    expect_broken(&rig, "a table without the feature");
    rig_free(&rig);
}

static void
test_bad_indices_need_a_reset(void **state)
{
    struct rig rig;

    rig_plug(&rig, "");
    bring_up(&rig, 0, 1, 64);
    offer(&rig, 0, 64);
    expect_broken(&rig, "a head beyond the table");
    th_write(rig.th, rig.q[0].avail + 2, 2, 1 + 65);
    expect_broken(&rig, "an index that leaps");
    th_block_hold(rig.disk, 1);
    rig.silent = 1;
    for (uint32_t i = 0; i < 65; i++) { /* the same chain, over and over */
        write_desc(&rig, 0, 0, HEADERS_GPA, 16, 1 | 1u << 16);
        write_desc(&rig, 0, 1, STATUS_GPA, 1, 2 | 0u << 16);
        bp_store_le(th_ram(rig.th, HEADERS_GPA, 16), 4, BLK_T_FLUSH);
        offer(&rig, 0, 0);
        notify(&rig, 0);
        th_run(rig.th);
    }
    th_block_release(rig.disk, 1000, 0);
    th_block_hold(rig.disk, 0);
    rig_free(&rig);
}

static void
test_bad_packed_rings_need_a_reset(void **state)
{
    struct rig rig;

    rig_plug(&rig, OPTIONS);
    for (uint32_t i = 0; i < 4; i++) {
        bring_up(&rig, PACKED | INDIRECT, 1, 64);
        for (uint32_t k = 0; k < 64; k++) { /* never ends */
            write_desc(&rig, 0, k, HEADERS_GPA, 16, 0 | 0x81u << 16);
        }
        if (i == 1) {
            write_desc(&rig, 0, 1, TABLES_GPA, 32, 0 | 0x84u << 16);
        } else if (i == 2) {
            write_desc(&rig, 0, 0, TABLES_GPA, 32, 0 | 0x85u << 16);
        } else if (i == 3) {
            write_desc(&rig, 0, 0, UINT64_C(1) << 50, 32, 0 | 0x80u << 16);
        }
        expect_broken(&rig, "packed");
    }
    rig_free(&rig);
}

/* field: 0 descriptors, 1 driver's part, 2 device's part. */
static void
expect_bad_place(struct rig *rig, uint32_t field, uint64_t place)
{
    const uint64_t places[3] = {QUEUE_GPA(0), QUEUE_GPA(0) + 0x1000, QUEUE_GPA(0) + 0x2000};

    assert_true(negotiate(rig, 0));
    put(rig, COMMON(0x16), 2, 0);
    put(rig, COMMON(0x18), 2, 64);
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t gpa = i == field ? place : places[i];
        put(rig, COMMON(0x20 + i * 8), 4, (uint32_t)gpa);
        put(rig, COMMON(0x24 + i * 8), 4, gpa >> 32);
    }
    put(rig, COMMON(0x1c), 2, 1);
    driver_ok(rig);
    assert_true(status(rig) & BP_VIRTIO_NEEDS_RESET);
}

static void
test_rings_outside_ram_or_crooked_need_a_reset(void **state)
{
    struct rig rig;

    rig_plug(&rig, "");
    for (uint32_t field = 0; field < 3; field++) {
        expect_bad_place(&rig, field, UINT64_C(1) << 45);
        expect_bad_place(&rig, field, TH_LOW_RAM_BYTES - 16);
        expect_bad_place(&rig, field, 0x100001);
    }
    expect_bad_place(&rig, 0, 0x100008);
    bring_up(&rig, 0, 1, 64);
    assert_int_equal(transfer(&rig, BLK_T_IN, 0, DATA_GPA, 512, 1), BLK_S_OK);
    rig_free(&rig);
}

static void
test_registers_take_no_nonsense(void **state)
{
    struct rig rig;

    rig_plug(&rig, "");
    assert_true(negotiate(&rig, 0));
    put(&rig, COMMON(0x16), 2, 1); /* there is one queue */
    assert_int_equal(get(&rig, COMMON(0x18), 2), 0);
    put(&rig, COMMON(0x1c), 2, 1);
    put(&rig, COMMON(0x16), 2, 0);
    assert_int_equal(get(&rig, COMMON(0x18), 2), 256);
    put(&rig, COMMON(0x18), 2, 100); /* no power of two */
    assert_int_equal(get(&rig, COMMON(0x18), 2), 256);
    put(&rig, COMMON(0x18), 2, 512);
    put(&rig, COMMON(0x18), 2, 0);
    assert_int_equal(get(&rig, COMMON(0x18), 2), 256);
    set_up_queue(&rig, 0, 64);
    put(&rig, COMMON(0x20), 4, 0x999000); /* enabled: not the driver's any more */
    assert_int_equal(get(&rig, COMMON(0x20), 4), rig.q[0].desc);
    put(&rig, COMMON(0x1c), 2, 0);
    assert_int_equal(get(&rig, COMMON(0x1c), 2), 1);
    assert_int_equal(get(&rig, COMMON(0x12), 2), 1);
    for (uint32_t offset = 0; offset < 0x3000; offset += 4) {
        (void)get(&rig, offset, 4);
    }
    rig_free(&rig);
}

static void
test_a_system_reset_with_requests_in_flight_drains_them(void **state)
{
    struct rig rig;

    rig_plug(&rig, "");
    bring_up(&rig, 0, 1, 64);
    (void)send(&rig, 0, BLK_T_IN, 0, DATA_GPA, 512 | TO_GUEST);
    th_reset(rig.dev, BP_RESET_SYSTEM);
    th_pci_place(rig.dev);
    assert_int_equal(status(&rig), 0);
    assert_int_equal(th_block_in_flight(rig.disk), 0);
    rig_free(&rig);
}

static void
test_a_function_that_is_no_bus_master_leaves_memory_alone(void **state)
{
    struct rig rig;
    uint32_t slot, id, length;

    rig_plug(&rig, "");
    bring_up(&rig, 0, 1, 64);
    th_pci_write(rig.dev, 4, 2, 3);
    slot = send(&rig, 0, BLK_T_IN, 0, DATA_GPA, 512 | TO_GUEST);
    th_run(rig.th);
    assert_int_equal(status_of(&rig, slot), 0xee);
    th_pci_write(rig.dev, 4, 2, 7);
    th_run(rig.th);
    assert_int_equal(status_of(&rig, slot), BLK_S_OK);
    assert_true(used(&rig, 0, &id, &length));
    rig_free(&rig);
}

static void
test_the_backend_may_go_with_requests_in_flight(void **state)
{
    struct rig rig;
    uint32_t slot;

    rig_plug(&rig, "");
    bring_up(&rig, 0, 1, 64);
    slot = send(&rig, 0, BLK_T_IN, 0, DATA_GPA, 512 | TO_GUEST);
    th_stop(rig.dev);
    th_destroy(rig.dev);
    assert_int_equal(status_of(&rig, slot), 0xee);
    assert_int_equal(th_block_in_flight(rig.disk), 0);
    rig_free(&rig);
}

static void
test_registers_are_reached_through_configuration_space(void **state)
{
    struct rig rig;
    uint32_t cap;

    rig_plug(&rig, "");
    bring_up(&rig, 0, 1, 64);
    for (cap = th_pci_find_capability(rig.dev, 9); th_pci_read(rig.dev, cap + 3, 1) != 5;) {
        cap = th_pci_read(rig.dev, cap + 1, 1);
        assert_int_not_equal(cap, 0);
    }
    th_pci_write(rig.dev, cap + 4, 1, 1);
    th_pci_write(rig.dev, cap + 8, 4, 0x14);
    th_pci_write(rig.dev, cap + 12, 4, 1);
    assert_int_equal(th_pci_read(rig.dev, cap + 16, 1), 15);
    put(&rig, COMMON(0x14), 1, 0);
    assert_int_equal(th_pci_read(rig.dev, cap + 16, 1), 0);
    th_pci_write(rig.dev, cap + 12, 4, 3);
    th_pci_write(rig.dev, cap + 8, 4, 0xfffffffc);
    (void)th_pci_read(rig.dev, cap + 16, 4);
    rig_free(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_combination_of_ring_features_works),
        cmocka_unit_test(test_in_order_rings_use_in_the_order_of_offering),
        cmocka_unit_test(test_a_legacy_driver_works_with_intx_and_with_messages),
        cmocka_unit_test(test_interfaces_show_the_ids_of_the_specification),
        cmocka_unit_test(test_features_that_were_not_offered_are_refused),
        cmocka_unit_test(test_messages_go_to_the_vector_of_the_queue),
        cmocka_unit_test(test_a_batch_is_one_interrupt),
        cmocka_unit_test(test_event_indices_hold_interrupts_back),
        cmocka_unit_test(test_suppressed_interrupts_do_not_come),
        cmocka_unit_test(test_a_queue_can_be_reset_alone),
        cmocka_unit_test(test_bad_chains_of_a_split_ring_need_a_reset),
        cmocka_unit_test(test_bad_tables_need_a_reset),
        cmocka_unit_test(test_bad_indices_need_a_reset),
        cmocka_unit_test(test_bad_packed_rings_need_a_reset),
        cmocka_unit_test(test_rings_outside_ram_or_crooked_need_a_reset),
        cmocka_unit_test(test_registers_take_no_nonsense),
        cmocka_unit_test(test_a_function_that_is_no_bus_master_leaves_memory_alone),
        cmocka_unit_test(test_the_backend_may_go_with_requests_in_flight),
        cmocka_unit_test(test_registers_are_reached_through_configuration_space),
        cmocka_unit_test(test_a_system_reset_with_requests_in_flight_drains_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
