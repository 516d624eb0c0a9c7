/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/block-nbd against nbdkit and qemu-nbd. */
#include <backplane/testhost.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE (8u << 20)

static char place[256]; /* prefix of every path */
static unsigned port;   /* of a server by TCP */

struct rig {
    struct th_host *th;
    struct bp_instance *nbd;
    const struct bp_block_ops *ops;
    struct th_queue *queue;
    pid_t server;
};

/* Runs a command line as a process that does not outlive us. */
static pid_t
start(const char *command)
{
    pid_t child = fork();

    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    return child;
}

/* One that nobody uses at this moment. */
static unsigned
free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (const struct sockaddr *)&address, length), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

/* The socket's name is there before it listens: try until it takes a connection. */
static void
wait_for_socket(uint32_t is_tcp)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct sockaddr_in tcp = {.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr = {htonl(INADDR_LOOPBACK)}};
    uint32_t tries;

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.90s.sock", place);
    for (tries = 0; tries < 1000; tries++) {
        int fd = socket(is_tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int result = is_tcp ? connect(fd, (const struct sockaddr *)&tcp, sizeof(tcp))
                            : connect(fd, (const struct sockaddr *)&address, sizeof(address));

        (void)close(fd);
        if (result == 0) {
            return;
        }
        (void)usleep(10000);
    }
    fail_msg("no server listens at %s", address.sun_path);
}

static pid_t
start_server(const char *command)
{
    char path[320], line[1100];
    pid_t server;

    (void)snprintf(path, sizeof(path), "%s.sock", place);
    (void)unlink(path);
    (void)snprintf(line, sizeof(line), "exec %s", command);
    server = start(line);
    wait_for_socket(strstr(command, " -p ") != NULL);
    return server;
}

static void
stop_server(pid_t server)
{
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
}

static char *
text(const char *format)
{
    static char buffers[4][2048];
    static unsigned next;
    char *out = buffers[next++ % 4];
    size_t used = 0;

    for (; *format != '\0' && used < 1900; format++) {
        if (*format == '@') {
            used += (size_t)snprintf(out + used, 2048 - used, "%s", place);
        } else if (*format == '#') {
            used += (size_t)snprintf(out + used, 2048 - used, "%u", port);
        } else {
            out[used++] = *format;
        }
    }
    out[used] = '\0';
    return out;
}

static void
rig_init(struct rig *rig, const char *server, const char *options)
{
    memset(rig, 0, sizeof(*rig));
    port = free_port();
    rig->server = start_server(text(server));
    rig->th = th_new();
    rig->nbd = th_plug(rig->th, &backplane_plugin_v1, "nbd", text(options));
    if (rig->nbd == NULL) {
        stop_server(rig->server);
        fail_msg("%s", th_error_text(rig->th));
    }
    rig->ops = th_table(rig->nbd, BP_BLOCK_ID);
    rig->queue = th_queue_open(rig->nbd, 64);
    assert_non_null(rig->queue);
}

static void
rig_done(struct rig *rig)
{
    th_queue_close(rig->queue);
    th_free(rig->th);
    stop_server(rig->server);
}

static const char plain[] = "uri = \"nbd+unix:///?socket=@.sock\";";

static void
random_requests(struct rig *rig, uint32_t count, uint32_t flags)
{
    uint8_t *data = malloc(65536), *shadow = calloc(1, SIZE);
    uint32_t i;

    for (i = 0; i < count; i++) {
        uint32_t op = (uint32_t[]){BP_BLOCK_READ, BP_BLOCK_WRITE, BP_BLOCK_WRITE_ZEROES,
                                   BP_BLOCK_FLUSH}[random() % 4];
        uint64_t length = 512 * (1 + (uint64_t)random() % 128);
        uint64_t offset = 512 * ((uint64_t)random() % ((SIZE - length) / 512 + 1));

        memset(data, (int)random() & 0xff, length);
        if (op == BP_BLOCK_FLUSH) {
            offset = length = 0;
        }
        assert_int_equal(th_queue_io(rig->queue, op,
                                     op == BP_BLOCK_WRITE || op == BP_BLOCK_WRITE_ZEROES
                                         ? flags & BP_BLOCK_FUA
                                         : 0,
                                     offset, data, length),
                         0);
        if (op == BP_BLOCK_READ) {
            assert_memory_equal(data, shadow + offset, length);
        } else if (op == BP_BLOCK_WRITE) {
            memcpy(shadow + offset, data, length);
        } else {
            memset(shadow + offset, 0, length);
        }
    }
    free(data);
    free(shadow);
}

static void
test_random_requests_on_nbdkit(void **state)
{
    static const char *const servers[] = {
        "nbdkit -f -U @.sock memory 8M", "nbdkit -f -U @.sock --filter=nozero memory 8M",
        "nbdkit -f -U @.sock --no-sr memory 8M",
        "nbdkit -f -U @.sock --filter=fua memory 8M fuamode=emulate"};
    uint32_t i;

    for (i = 0; i < 4; i++) {
        struct rig rig;
        struct bp_block_info info = {.size = sizeof(info)};

        rig_init(&rig, servers[i], plain);
        assert_int_equal(rig.ops->info(th_self(rig.nbd), &info), 0);
        assert_int_equal(info.capacity, SIZE);
        assert_int_equal((info.flags & BP_BLOCK_CAN_ZERO) == 0, i == 1);
        random_requests(&rig, 500, info.flags & BP_BLOCK_CAN_FUA ? BP_BLOCK_FUA : 0);
        if ((info.flags & BP_BLOCK_CAN_DISCARD) != 0) {
            assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_DISCARD, 0, 0, NULL, 1 << 20), 0);
        }
        rig_done(&rig);
    }
}

static void
test_several_buffers_make_one_request(void **state)
{
    struct bp_iovec iov[3];
    struct bp_block_request request = {.user = 5,
                                       .op = BP_BLOCK_WRITE,
                                       .offset = 4096,
                                       .length = 2048,
                                       .iov = iov,
                                       .iov_count = 3};
    uint8_t back[2048];
    struct rig rig;

    rig_init(&rig, "nbdkit -f -U @.sock memory 8M", plain);
    iov[0] = (struct bp_iovec){th_arena(rig.th, 512), 512};
    iov[1] = (struct bp_iovec){th_arena(rig.th, 1024), 1024};
    iov[2] = (struct bp_iovec){th_arena(rig.th, 512), 512};
    memset(iov[0].base, 1, 512);
    memset(iov[1].base, 2, 1024);
    memset(iov[2].base, 3, 512);
    assert_int_equal(th_queue_submit(rig.queue, &request, 1), 1);
    assert_true(th_queue_wait(rig.queue, 1, 10000));
    assert_int_equal(th_queue_completion(rig.queue, 0)->status, 0);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, 4096, back, 2048), 0);
    assert_int_equal(back[511], 1);
    assert_int_equal(back[512], 2);
    assert_int_equal(back[2047], 3);
    rig_done(&rig);
}

static void
test_errors_of_the_server_reach_the_guest(void **state)
{
    uint8_t data[512] = {0};
    struct rig rig;

    rig_init(&rig,
             "nbdkit -f -U @.sock --filter=error memory 8M error=ENOSPC error-pwrite-rate=100%",
             plain);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, 0, data, 512), -ENOSPC);
    assert_int_equal(th_queue_completion(rig.queue, 0)->flags, BP_BLOCK_RECOVERABLE);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, 0, data, 512), 0);
    rig_done(&rig);
    rig_init(&rig, "nbdkit -f -r -U @.sock memory 8M", plain);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, 0, data, 512), -EROFS);
    rig_done(&rig);
}

static void
make_file(void)
{
    int fd = open(text("@.img"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    (void)close(fd);
}

static const char qemu_nbd[] = "qemu-nbd -t -e 4 -k @.sock -f raw --discard=unmap @.img";

static void
test_random_requests_on_qemu_nbd(void **state)
{
    struct rig rig;

    make_file();
    rig_init(&rig, qemu_nbd, plain);
    random_requests(&rig, 500, BP_BLOCK_FUA);
    rig_done(&rig);
}

/* Writes with many in flight while the server is killed and started again; every one of them must
 * end well, and be there. */
static void
server_dies_under_load(const char *server, uint32_t kills)
{
    static uint64_t numbers[2048];
    struct bp_iovec iov[32];
    struct bp_block_request request = {.op = BP_BLOCK_WRITE, .length = 4096, .iov_count = 1};
    uint32_t i, submitted = 0, round, k;
    uint8_t data[4096];
    struct rig rig;

    make_file();
    memset(numbers, 0, sizeof(numbers));
    rig_init(&rig, server, "uri = \"nbd+unix:///?socket=@.sock\"; reconnect_ms = 20;");
    for (i = 0; i < 32; i++) {
        iov[i] = (struct bp_iovec){th_arena(rig.th, 4096), 4096};
    }
    for (round = 0; round < kills; round++) {
        for (k = 0; k < 10; k++) {
            uint32_t before = submitted;
            for (i = 0; i < 32; i++) {
                uint64_t slot = submitted % 2048;
                request.user = submitted;
                request.offset = slot * 4096;
                request.iov = &iov[i];
                numbers[slot] = UINT64_C(1) + submitted;
                memset(iov[i].base, 0, 4096);
                memcpy(iov[i].base, &numbers[slot], 8);
                assert_int_equal(th_queue_submit(rig.queue, &request, 1), 1);
                submitted++;
            }
            request.op = BP_BLOCK_FLUSH; /* with writes on their way, too */
            request.user = submitted++;
            request.offset = request.length = request.iov_count = 0;
            assert_int_equal(th_queue_submit(rig.queue, &request, 1), 1);
            request.op = BP_BLOCK_WRITE;
            request.length = 4096;
            request.iov_count = 1;
            if (k == 5) {
                stop_server(rig.server); /* with up to 32 on their way */
                th_run(rig.th);
                rig.server = start_server(text(server));
            }
            while (!th_queue_wait(rig.queue, before + 33, 20)) {
                th_clock_step(rig.th, UINT64_C(20000000));
            }
        }
    }
    for (i = 0; i < th_queue_completed(rig.queue); i++) {
        assert_int_equal(th_queue_completion(rig.queue, i)->status, 0);
    }
    assert_true(th_logged(rig.th, "lost the connection"));
    (void)printf("# %u kills, %u requests\n", kills, submitted);
    for (i = 0; i < 2048; i++) {
        uint64_t number;
        assert_int_equal(
            th_queue_io(rig.queue, BP_BLOCK_READ, 0, UINT64_C(4096) * i, data, sizeof(data)), 0);
        memcpy(&number, data, 8);
        assert_int_equal(number, numbers[i]);
    }
    rig_done(&rig);
}

/* BLOCK_NBD_KILLS=N: for a long run. */
static uint32_t
kills_wanted(void)
{
    const char *wanted = getenv("BLOCK_NBD_KILLS");

    return wanted != NULL ? (uint32_t)strtoul(wanted, NULL, 10) : 8;
}

static void
test_nothing_is_lost_when_qemu_nbd_is_killed_under_load(void **state)
{
    server_dies_under_load(qemu_nbd, kills_wanted());
}

static void
test_nothing_is_lost_when_nbdkit_is_killed_under_load(void **state)
{
    server_dies_under_load("nbdkit -f -U @.sock file @.img", kills_wanted());
}

static void
test_requests_fail_when_patience_is_over_and_work_when_the_server_is_back(void **state)
{
    struct bp_iovec iov;
    struct bp_block_request request = {
        .user = 1, .op = BP_BLOCK_READ, .length = 512, .iov = &iov, .iov_count = 1};
    uint8_t data[512];
    uint32_t i;
    struct rig rig;

    rig_init(&rig, "nbdkit -f -U @.sock memory 8M",
             "uri = \"nbd+unix:///?socket=@.sock\"; reconnect_ms = 100; patience = 2;");
    iov = (struct bp_iovec){th_arena(rig.th, 512), 512};
    stop_server(rig.server);
    assert_int_equal(th_queue_submit(rig.queue, &request, 1), 1);
    assert_false(th_queue_wait(rig.queue, 1, 100));
    for (i = 0; i < 30; i++) {
        th_clock_step(rig.th, UINT64_C(100000000));
        (void)th_queue_wait(rig.queue, 1, 1);
    }
    assert_int_equal(th_queue_completed(rig.queue), 1);
    assert_int_equal(th_queue_completion(rig.queue, 0)->status, -ENOTCONN);
    assert_int_equal(th_queue_completion(rig.queue, 0)->flags, BP_BLOCK_RECOVERABLE);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, 0, data, 512), -ENOTCONN);
    rig.server = start_server(text("nbdkit -f -U @.sock memory 8M"));
    for (i = 0; i < 50 && !th_logged(rig.th, "again"); i++) {
        th_clock_step(rig.th, UINT64_C(100000000));
        (void)th_queue_wait(rig.queue, 1000, 20);
    }
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, 0, data, 512), 0);
    rig_done(&rig);
}

static void
test_a_drain_does_not_wait_for_a_server_that_is_gone(void **state)
{
    struct bp_iovec iov;
    struct bp_block_request request = {
        .user = 1, .op = BP_BLOCK_READ, .length = 512, .iov = &iov, .iov_count = 1};
    struct rig rig;

    rig_init(&rig, "nbdkit -f -U @.sock memory 8M", plain);
    iov = (struct bp_iovec){th_arena(rig.th, 512), 512};
    stop_server(rig.server);
    assert_int_equal(th_queue_submit(rig.queue, &request, 1), 1);
    rig_done(&rig);
}

static void
test_tls_with_a_shared_key(void **state)
{
    FILE *keys = fopen(text("@.psk"), "w");
    uint8_t data[512] = {0};
    struct rig rig;

    assert_non_null(keys);
    (void)fputs("guest:8e1fe1b9b9dea2f7b0d6be2f6ef1b4f3c4a8f6f0f5a2b5d8a1e3d8b9a7c6e5f4\n", keys);
    (void)fclose(keys);
    rig_init(
        &rig, "nbdkit -f --tls=require --tls-psk=@.psk -U @.sock memory 8M",
        "uri = \"nbds+unix:///?socket=@.sock\"; tls_psk = \"@.psk\"; tls_username = \"guest\";");
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, 0, data, 512), 0);
    random_requests(&rig, 100, 0);
    rig_done(&rig);
}

/* A server and two authorities, of which one made its certificate. */
static const char make_keys[] =
    "exec >/dev/null 2>&1; set -e; mkdir -p @.pki @.other; cd @.pki;"
    "for d in @.pki @.other; do openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca"
    " -keyout $d/ca-key.pem -out $d/ca-cert.pem; done;"
    "openssl req -newkey rsa:2048 -nodes -subj /CN=server -keyout server-key.pem -out s.csr;"
    "echo subjectAltName=IP:127.0.0.1 >s.ext;"
    "openssl x509 -req -days 2 -in s.csr -CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial"
    " -extfile s.ext -out server-cert.pem";

static void
test_tls_with_certificates_and_not_with_those_of_a_stranger(void **state)
{
    /* By TCP: the certificate is that of an address. Not every host knows a localhost. */
    static const char server[] = "nbdkit -f --tls=require --tls-certificates=@.pki -p # memory 8M";
    struct th_host *th;
    struct rig rig;

    if (system(text(make_keys)) != 0) {
        (void)printf("# openssl is missing: not tested\n");
        return;
    }
    rig_init(&rig, server, "uri = \"nbds://127.0.0.1:#/\"; tls_certificates = \"@.pki\";");
    random_requests(&rig, 100, 0);
    th = th_new();
    assert_null(th_plug(th, &backplane_plugin_v1, "nbd",
                        text("uri = \"nbds://127.0.0.1:#/\"; tls_certificates = \"@.other\";")));
    assert_non_null(strstr(th_error_text(th), "cannot connect to 'nbds://127.0.0.1"));
    th_free(th);
    th = th_new(); /* and not without TLS */
    assert_null(th_plug(th, &backplane_plugin_v1, "nbd", text("uri = \"nbd://127.0.0.1:#/\";")));
    th_free(th);
    rig_done(&rig);
}

static void
test_a_server_by_tcp_serves_the_export_that_is_named(void **state)
{
    struct bp_block_info info = {.size = sizeof(info)};
    struct rig rig;

    rig_init(&rig,
             "nbdkit -f -p # --filter=exportname memory 8M exportname-strict=true "
             "exportname=disk",
             "uri = \"nbd://127.0.0.1:#/disk\";");
    assert_int_equal(rig.ops->info(th_self(rig.nbd), &info), 0);
    assert_int_equal(info.capacity, SIZE);
    random_requests(&rig, 200, 0);
    rig_done(&rig);
}

static void
test_a_server_with_larger_blocks_makes_a_disk_with_these(void **state)
{
    struct bp_block_info info = {.size = sizeof(info)};
    uint8_t data[8192], back[8192];
    struct rig rig;

    rig_init(&rig,
             "nbdkit -f -U @.sock --filter=blocksize-policy memory 8M blocksize-minimum=4096 "
             "blocksize-maximum=64K blocksize-preferred=8K blocksize-error-policy=error",
             plain);
    assert_int_equal(rig.ops->info(th_self(rig.nbd), &info), 0);
    assert_int_equal(info.block_size, 4096);
    assert_int_equal(info.max_transfer, 65536);
    memset(data, 0x44, sizeof(data));
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, 4096, data, 8192), 0);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, 4096, back, 8192), 0);
    assert_memory_equal(data, back, sizeof(back));
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, 512, back, 512), -EINVAL);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE_ZEROES, 0, 4096, NULL, 4096), 0);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, 4096, back, 8192), 0);
    assert_true(back[0] == 0 && back[4095] == 0 && back[4096] == 0x44);
    rig_done(&rig);
}

/* The socket of a server that was killed is taken over by one that never says a word. */
static void
test_a_server_that_hangs_in_its_greeting_is_left_again(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    uint8_t data[512];
    struct rig rig;
    uint32_t i;
    int silent;

    rig_init(&rig, "nbdkit -f -U @.sock memory 8M",
             "uri = \"nbd+unix:///?socket=@.sock\"; reconnect_ms = 100; patience = 15;");
    stop_server(rig.server);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.90s.sock", place);
    (void)unlink(address.sun_path);
    silent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(silent, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(silent, 8), 0);
    for (i = 0; i < 400 && !th_logged(rig.th, "requests fail from now on"); i++) {
        th_clock_step(rig.th, UINT64_C(100000000));
        (void)th_queue_wait(rig.queue, 1, 1);
    }
    assert_true(th_logged(rig.th, "requests fail from now on"));
    (void)close(silent);
    rig.server = start_server(text("nbdkit -f -U @.sock memory 8M"));
    for (i = 0; i < 400 && !th_logged(rig.th, "again"); i++) {
        th_clock_step(rig.th, UINT64_C(100000000));
        (void)th_queue_wait(rig.queue, 1, 1);
    }
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, 0, data, 512), 0);
    rig_done(&rig);
}

static void
test_what_cannot_be_reached_is_refused_with_a_reason(void **state)
{
    struct th_host *th = th_new();

    assert_null(
        th_plug(th, &backplane_plugin_v1, "nbd", "uri = \"nbd+unix:///?socket=/nonexistent\";"));
    assert_non_null(strstr(th_error_text(th), "cannot connect to"));
    assert_null(th_plug(th, &backplane_plugin_v1, "nbd", "uri = \"ftp://x\";"));
    assert_non_null(strstr(th_error_text(th), "cannot connect to"));
    th_free(th);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_requests_on_nbdkit),
        cmocka_unit_test(test_several_buffers_make_one_request),
        cmocka_unit_test(test_errors_of_the_server_reach_the_guest),
        cmocka_unit_test(test_random_requests_on_qemu_nbd),
        cmocka_unit_test(test_nothing_is_lost_when_qemu_nbd_is_killed_under_load),
        cmocka_unit_test(test_nothing_is_lost_when_nbdkit_is_killed_under_load),
        cmocka_unit_test(test_requests_fail_when_patience_is_over_and_work_when_the_server_is_back),
        cmocka_unit_test(test_a_drain_does_not_wait_for_a_server_that_is_gone),
        cmocka_unit_test(test_tls_with_a_shared_key),
        cmocka_unit_test(test_tls_with_certificates_and_not_with_those_of_a_stranger),
        cmocka_unit_test(test_a_server_by_tcp_serves_the_export_that_is_named),
        cmocka_unit_test(test_a_server_with_larger_blocks_makes_a_disk_with_these),
        cmocka_unit_test(test_a_server_that_hangs_in_its_greeting_is_left_again),
        cmocka_unit_test(test_what_cannot_be_reached_is_refused_with_a_reason),
    };
    const char *directory = getenv("BLOCK_NBD_TEST_DIR");
    char command[400];
    int result;

    if (system("nbdkit --version >/dev/null 2>&1 && qemu-nbd --version >/dev/null 2>&1") != 0) {
        (void)printf("1..0 # SKIP nbdkit or qemu-nbd (package qemu-utils) is missing\n");
        return 0;
    }
    /* Short: a socket's path has 107 characters at most. */
    (void)snprintf(place, sizeof(place), "%s/bp-nbd-%d", directory != NULL ? directory : "/tmp",
                   (int)getpid());
    result = cmocka_run_group_tests(tests, NULL, NULL);
    (void)snprintf(command, sizeof(command), "rm -rf %s.*", place);
    (void)system(command);
    return result;
}
