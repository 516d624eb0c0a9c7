/* SPDX-License-Identifier: Apache-2.0 */
/* A virtqueue of sdk/virtio on a real loop, with a driver on a thread of its own: no notification
 * and no interrupt may be lost, whether the loop looks around before it sleeps or not. Threads: the
 * test's is the driver's. BACKPLANE_STRESS=N: N times as many buffers. */
#include "loop/loop.h"
#include "virtio_internal.h"
#include "virtqueue_driver.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define RAM_BYTES   ((size_t)64 * 1024)
#define DESC_GPA    0x1000u
#define DRIVER_GPA  0x3000u
#define DEVICE_GPA  0x4000u
#define BUFFERS_GPA 0x6000u
#define SIZE        64u
#define PATIENCE_MS 20000
#define BUFFERS     60000u
#define LATER_MAX   SIZE

typedef enum {
    AT_ONCE, /* used inside run */
    LATER,   /* by a deferred call, like a disk */
    FULL,    /* the backend takes a few, then run waits: like a network's queue */
} Manner;

typedef struct {
    struct bp_services services;
    struct bp_virtio *virtio;
    VirtualClock *clock;
    Loop *loop;
    LoopFd *source;
    int doorbell, interrupt;
    struct bp_doorbell_args bell;
    uint8_t *ram;
    struct bp_ram_range range;
    struct bp_ram_view view;
    Manner manner;
    uint32_t budget; /* FULL */
    struct bp_virtio_chain *later[LATER_MAX];
    uint32_t later_count;
    Driver driver;
    uint32_t random;
} Rig;

/* struct bp_instance is the core's to define: here it is the rig. */
static Rig *
rig_of(struct bp_instance *instance)
{
    return (Rig *)(void *)instance;
}

/* --- what the library asks of a core ------------------------------------------------------------
 */

static int32_t
log_enabled(struct bp_instance *instance, uint32_t level)
{
    return level <= BP_LOG_WARN;
}

static void
log_write(struct bp_instance *instance, uint32_t level, const char *text, uint64_t length)
{
    print_message("%.*s\n", (int)length, text);
}

static void
log_error_text(struct bp_instance *instance, int32_t code, const struct bp_node *node,
               const char *text)
{
    print_message("%s\n", text);
}

static const struct bp_ram_view *
memory_view(struct bp_instance *instance)
{
    return &rig_of(instance)->view;
}

static int32_t
pci_function(struct bp_instance *instance, const struct bp_pci_args *args)
{
    return 0;
}

static int32_t
pci_capability(struct bp_instance *instance, uint32_t id, uint32_t offset, uint32_t length,
               const uint8_t *data, const uint8_t *write_mask)
{
    return 0x40;
}

static int32_t
pci_mode(struct bp_instance *instance)
{
    return 2; /* MSI-X */
}

static int32_t
irq_line(struct bp_instance *instance, const struct bp_irq_args *args)
{
    return 0;
}

static void
irq_set(struct bp_instance *instance, uint32_t id, uint32_t level)
{
}

static int32_t
msix_enable(struct bp_instance *instance, uint32_t vectors, uint32_t bar, uint32_t table,
            uint32_t pending)
{
    return 0;
}

static void
msix_fire(struct bp_instance *instance, uint32_t vector)
{
    (void)eventfd_write(rig_of(instance)->interrupt, 1);
}

static int32_t
region_create(struct bp_instance *instance, const struct bp_region_args *args)
{
    return 0;
}

static int32_t
region_doorbell(struct bp_instance *instance, const struct bp_doorbell_args *args)
{
    rig_of(instance)->bell = *args;
    return 0;
}

static uint32_t
loop_number(struct bp_instance *instance)
{
    return 1;
}

static uint32_t
loop_home(struct bp_instance *instance)
{
    return 0;
}

static int32_t
loop_run_later(struct bp_instance *instance, uint32_t loop, void (*func)(void *opaque),
               void *opaque)
{
    loop_defer_owned(rig_of(instance)->loop, instance, NULL, func, opaque);
    return 0;
}

static const struct bp_log_host log_host = {
    .size = sizeof(log_host),
    .enabled = log_enabled,
    .write = log_write,
    .error = log_error_text,
};
static const struct bp_memory_host memory_host = {.size = sizeof(memory_host), .view = memory_view};
static const struct bp_pci_host pci_host = {
    .size = sizeof(pci_host),
    .function = pci_function,
    .add_capability = pci_capability,
    .message_mode = pci_mode,
};
static const struct bp_irq_host irq_host = {
    .size = sizeof(irq_host), .line = irq_line, .set = irq_set};
static const struct bp_msix_host msix_host = {
    .size = sizeof(msix_host), .enable = msix_enable, .fire = msix_fire};
static const struct bp_region_host region_host = {
    .size = sizeof(region_host), .create = region_create, .doorbell = region_doorbell};
static const struct bp_loop_host loop_host = {
    .size = sizeof(loop_host), .count = loop_number, .home = loop_home, .defer = loop_run_later};

/* --- the device --------------------------------------------------------------------------------
 */

static void
use_later(void *opaque)
{
    Rig *rig = opaque;
    struct bp_virtqueue *queue = bp_virtio_queue(rig->virtio, 0);

    bp_virtqueue_enter(queue);
    for (uint32_t i = 0; i < rig->later_count; i++) {
        bp_virtqueue_push(rig->later[i], 0);
    }
    rig->later_count = 0;
    rig->budget = 5;
    if (rig->manner == FULL) {
        bp_virtqueue_kick(queue);
    }
    bp_virtqueue_leave(queue);
}

/* The queue's lock is held; the loop's thread is the only one that comes here. */
static void
run(void *device, struct bp_virtqueue *queue)
{
    Rig *rig = device;
    struct bp_virtio_chain *chain;

    while ((chain = bp_virtqueue_pop(queue)) != NULL) {
        if (rig->manner == AT_ONCE) {
            bp_virtqueue_push(chain, 0);
            continue;
        }
        if (rig->manner == FULL && rig->budget == 0) {
            bp_virtqueue_unpop(chain);
            bp_virtqueue_wait(queue);
            return;
        }
        rig->budget -= rig->manner == FULL;
        rig->later[rig->later_count++] = chain;
        if (rig->later_count == 1) {
            loop_defer_owned(rig->loop, rig, NULL, use_later, rig);
        }
    }
}

static void
bell_ready(void *opaque, int fd, uint32_t events)
{
    Rig *rig = opaque;
    eventfd_t count;

    if (events == LOOP_EVENT_POLLED || eventfd_read(fd, &count) == 0) {
        rig->bell.ring(rig->bell.opaque);
    }
}

static bool
bell_poll(void *opaque, LoopPollPhase phase)
{
    Rig *rig = opaque;

    return rig->bell.poll(rig->bell.opaque, phase) > 0;
}

static void
set_up_queue(Rig *rig, uint64_t features)
{
    struct bp_virtio *virtio = rig->virtio;

    virtio->transport_features |= features;
    virtio_set_master(virtio, 1);
    modern_write(virtio, 0x14, 1, BP_VIRTIO_ACKNOWLEDGE | BP_VIRTIO_DRIVER);
    modern_write(virtio, 0x08, 4, 0);
    modern_write(virtio, 0x0c, 4, (uint32_t)features);
    modern_write(virtio, 0x08, 4, 1);
    modern_write(virtio, 0x0c, 4, (uint32_t)(features >> 32));
    modern_write(virtio, 0x14, 1, 11);
    modern_write(virtio, 0x16, 2, 0);
    modern_write(virtio, 0x18, 2, SIZE);
    modern_write(virtio, 0x1a, 2, 0);
    modern_write(virtio, 0x20, 4, DESC_GPA);
    modern_write(virtio, 0x28, 4, DRIVER_GPA);
    modern_write(virtio, 0x30, 4, DEVICE_GPA);
    modern_write(virtio, 0x1c, 2, 1);
    modern_write(virtio, 0x14, 1, 15);
    assert_int_equal(virtio_read_status(virtio), 15);
}

static const struct bp_virtio_ops device_ops = {.run = run};

static Rig *
rig_new(uint64_t features, Manner manner, LoopEngine engine, uint64_t poll_ns)
{
    Rig *rig = g_new0(Rig, 1);
    struct bp_virtio_args args = {
        .services = &rig->services, .ops = &device_ops, .device = rig, .type = 2, .queues = 1};

    rig->clock = virtual_clock_new(false);
    rig->loop = loop_new("test", engine, rig->clock, NULL);
    if (rig->loop == NULL) {
        virtual_clock_free(rig->clock);
        g_free(rig);
        return NULL;
    }
    rig->ram = aligned_alloc(4096, RAM_BYTES);
    memset(rig->ram, 0, RAM_BYTES);
    rig->services = (struct bp_services){
        .instance = (struct bp_instance *)(void *)rig,
        .log = &log_host,
        .memory = &memory_host,
        .region = &region_host,
        .irq = &irq_host,
        .pci = &pci_host,
        .msix = &msix_host,
        .loop = &loop_host,
    };
    rig->range = (struct bp_ram_range){.length = RAM_BYTES, .hva = rig->ram};
    rig->view =
        (struct bp_ram_view){.size = sizeof(rig->view), .range_count = 1, .ranges = &rig->range};
    rig->manner = manner;
    rig->budget = 5;
    rig->random = 12345;
    rig->interrupt = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rig->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rig->driver = (Driver){
        .packed = (features & BP_VIRTIO_F_RING_PACKED) != 0,
        .events = (features & BP_VIRTIO_F_EVENT_IDX) != 0,
        .desc = rig->ram + DESC_GPA,
        .driver = rig->ram + DRIVER_GPA,
        .device = rig->ram + DEVICE_GPA,
        .buffers_gpa = BUFFERS_GPA,
    };
    driver_init(&rig->driver, SIZE);
    loop_set_poll_limit(rig->loop, poll_ns);
    assert_int_equal(bp_virtio_new(&args, &rig->virtio), 0);
    rig->source = loop_fd_add(rig->loop, rig->doorbell, EPOLLIN, NULL, bell_ready, rig);
    loop_fd_set_poll(rig->source, bell_poll);
    assert_true(loop_start_thread(rig->loop, NULL));
    bp_virtio_start(rig->virtio);
    set_up_queue(rig, features | BP_VIRTIO_F_VERSION_1);
    return rig;
}

static void
rig_free(Rig *rig)
{
    loop_free(rig->loop);
    bp_virtio_free(rig->virtio);
    virtual_clock_free(rig->clock);
    (void)close(rig->interrupt);
    (void)close(rig->doorbell);
    free(rig->ram);
    g_free(rig);
}

/* --- the driver's habits -----------------------------------------------------------------------
 */

static uint32_t
chance(Rig *rig, uint32_t of)
{
    rig->random = rig->random * 1664525u + 1013904223u;
    return (rig->random >> 8) % of;
}

static void
notify(Rig *rig)
{
    if (driver_must_notify(&rig->driver)) {
        (void)eventfd_write(rig->doorbell, 1);
    }
}

static void
explain(const Rig *rig)
{
    const struct bp_virtqueue *queue = bp_virtio_queue(rig->virtio, 0);
    const uint16_t *event = (const uint16_t *)(const void *)rig->driver.device;

    print_message("sent %lu used %lu; driver next %u used %u; device last_avail %u used %u "
                  "waiting %u kicked %u; device event %u %u, by index %u\n",
                  (unsigned long)rig->driver.sent, (unsigned long)rig->driver.used,
                  rig->driver.next, rig->driver.last_used, queue->last_avail, queue->used,
                  queue->waiting, atomic_load(&queue->kicked), event[0], event[1],
                  event[2 + SIZE * 4]);
}

/* Sleeps until the device has used `more` buffers, or until it should have. */
static void
sleep_until_used(Rig *rig, uint16_t more)
{
    struct pollfd request = {.fd = rig->interrupt, .events = POLLIN};
    eventfd_t count;
    int result;

    driver_disable_interrupt(&rig->driver);
    (void)driver_collect(&rig->driver);
    if (driver_in_flight(&rig->driver) < more) {
        return;
    }
    if (driver_enable_interrupt(&rig->driver, more)) {
        result = poll(&request, 1, PATIENCE_MS);
        if (result <= 0) {
            explain(rig);
        }
        assert_int_equal(result, 1);
        (void)eventfd_read(rig->interrupt, &count);
    }
    driver_disable_interrupt(&rig->driver);
    (void)driver_collect(&rig->driver);
}

static void
pause_a_little(Rig *rig)
{
    for (volatile uint32_t i = chance(rig, 3000); i > 0; i--) {
    }
    if (chance(rig, 50) == 0) {
        g_usleep(chance(rig, 100));
    }
}

static void
send_burst(Rig *rig)
{
    uint32_t burst = 1 + chance(rig, chance(rig, 4) == 0 ? SIZE : 4);
    bool each = chance(rig, 2) == 0;

    for (uint32_t i = 0; i < burst && rig->driver.free_count > 0; i++) {
        driver_add(&rig->driver);
        if (each) {
            notify(rig);
        }
    }
    if (!each) {
        notify(rig);
    }
}

/* Now and then the driver waits for the last of them, so that the device has nothing to do. */
static void
wait_at_times(Rig *rig)
{
    if (rig->driver.free_count == 0) {
        sleep_until_used(rig, (uint16_t)(1 + chance(rig, SIZE)));
    } else if (chance(rig, 3) == 0) {
        do {
            sleep_until_used(rig, 1);
        } while (chance(rig, 4) != 0 && driver_in_flight(&rig->driver) > 0);
    } else if (chance(rig, 2) == 0) {
        (void)driver_collect(&rig->driver);
    }
}

static void
storm(uint64_t features, Manner manner, LoopEngine engine, uint64_t poll_ns)
{
    const char *factor = getenv("BACKPLANE_STRESS");
    uint64_t total = (uint64_t)BUFFERS * (factor != NULL ? strtoull(factor, NULL, 10) : 1);
    Rig *rig = rig_new(features, manner, engine, poll_ns);

    if (rig == NULL) {
        skip(); /* io_uring is refused here */
    }
    while (rig->driver.sent < total) {
        send_burst(rig);
        wait_at_times(rig);
        pause_a_little(rig);
    }
    while (driver_in_flight(&rig->driver) > 0) {
        sleep_until_used(rig, (uint16_t)driver_in_flight(&rig->driver));
    }
    assert_int_equal(rig->driver.used, rig->driver.sent);
    assert_int_equal(rig->driver.strange, 0);
    rig_free(rig);
}

static void
all_manners(uint64_t features, LoopEngine engine, uint64_t poll_ns)
{
    storm(features, AT_ONCE, engine, poll_ns);
    storm(features, LATER, engine, poll_ns);
    storm(features, FULL, engine, poll_ns);
}

#define POLL_NS 32000u

#define STORM(name, features)                                                                      \
    static void test_##name##_loses_nothing(void **state)                                          \
    {                                                                                              \
        all_manners(features, LOOP_ENGINE_AUTO, 0);                                                \
    }                                                                                              \
    static void test_##name##_loses_nothing_while_the_loop_looks(void **state)                     \
    {                                                                                              \
        all_manners(features, LOOP_ENGINE_AUTO, POLL_NS);                                          \
    }                                                                                              \
    static void test_##name##_loses_nothing_while_the_loop_looks_by_epoll(void **state)            \
    {                                                                                              \
        all_manners(features, LOOP_ENGINE_EPOLL, POLL_NS);                                         \
    }

STORM(split_by_flags, 0)
STORM(split_by_index, BP_VIRTIO_F_EVENT_IDX)
STORM(packed_by_flags, BP_VIRTIO_F_RING_PACKED)
STORM(packed_by_index, BP_VIRTIO_F_RING_PACKED | BP_VIRTIO_F_EVENT_IDX)

#define TESTS(name)                                                                                \
    cmocka_unit_test(test_##name##_loses_nothing),                                                 \
        cmocka_unit_test(test_##name##_loses_nothing_while_the_loop_looks),                        \
        cmocka_unit_test(test_##name##_loses_nothing_while_the_loop_looks_by_epoll)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TESTS(split_by_flags),
        TESTS(split_by_index),
        TESTS(packed_by_flags),
        TESTS(packed_by_index),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
