/* SPDX-License-Identifier: Apache-2.0 */
/* core/plugin: what a plugin watches on a loop that runs. */
#include "plugin/instance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define ID     7u
#define ROUNDS 500

typedef struct {
    Services services;
    Instance instance;
    int fd;
    int calls; /* atomic */
} Fixture;

/* Tells the loop at once that it need not come again. */
static void
pause_watching(void *opaque, uint32_t events)
{
    Fixture *fixture = opaque;

    host_loop.fd_modify(&fixture->instance, ID, 0);
    g_atomic_int_inc(&fixture->calls);
}

/* The callback may run before fd_add() returns; for it the descriptor is there. */
static void
test_callback_may_come_before_the_registration_returns(void **state)
{
    const LoopEngine engines[] = {LOOP_ENGINE_AUTO, LOOP_ENGINE_EPOLL};

    for (unsigned i = 0; i < G_N_ELEMENTS(engines); i++) {
        g_autoptr(VirtualClock) clock = virtual_clock_new(true);
        Loop *loop = loop_new("loop0", engines[i], clock, NULL);
        Fixture fixture = {.fd = eventfd(1, EFD_CLOEXEC)};
        const struct bp_fd_args args = {.size = sizeof(args),
                                        .id = ID,
                                        .fd = fixture.fd,
                                        .events = BP_FD_IN,
                                        .ready = pause_watching,
                                        .opaque = &fixture};

        fixture.services.loops = g_ptr_array_new();
        g_ptr_array_add(fixture.services.loops, loop);
        fixture.instance.services = &fixture.services;
        id_table_init(&fixture.instance.fds);
        assert_true(loop_start_thread(loop, NULL));
        for (int round = 1; round <= ROUNDS; round++) {
            assert_int_equal(host_loop.fd_add(&fixture.instance, &args), 0);
            while (g_atomic_int_get(&fixture.calls) < round) {
                g_thread_yield();
            }
            host_loop.fd_del(&fixture.instance, ID);
        }
        assert_int_equal(fixture.calls, ROUNDS); /* each asked for no more */
        loop_free(loop);
        id_table_done(&fixture.instance.fds, NULL);
        g_ptr_array_unref(fixture.services.loops);
        (void)close(fixture.fd);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_callback_may_come_before_the_registration_returns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
