/* SPDX-License-Identifier: Apache-2.0 */
/* scsi-iscsi without a target: what is wrong is said in one line. With one: tests/machine. */
#include <backplane/testhost.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define NAMES "target = \"iqn.2026-11.org.example:t\"; initiator = \"iqn.2026-11.org.example:i\";"
/* TEST-NET would wait; nobody listens on the discard port of this host */
#define PORTAL "portal = \"127.0.0.1:9\";"

static void
expect_refusal(const char *options, const char *text)
{
    struct th_host *th = th_new();

    assert_null(th_plug(th, &backplane_plugin_v1, "lun", options));
    if (strstr(th_error_text(th), text) == NULL) {
        fail_msg("'%s' got '%s'", options, th_error_text(th));
    }
    th_free(th);
}

static void
test_names_are_checked(void **state)
{
    (void)state;
    expect_refusal(PORTAL "target = \"disk\"; initiator = \"iqn.2026-11.org.example:i\";",
                   "target is an iSCSI name");
    expect_refusal(PORTAL "initiator = \"iqn.\"; target = \"iqn.2026-11.org.example:t\";",
                   "initiator is an iSCSI name");
    expect_refusal(PORTAL "target = \"iqn.2026-11.org.example:t\";", "initiator");
}

static void
test_chap_wants_name_and_secret(void **state)
{
    char options[256];
    char path[] = "/tmp/backplane-secret-XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    expect_refusal(PORTAL NAMES "user = \"me\";", "CHAP needs user and secret");
    (void)snprintf(options, sizeof(options), PORTAL NAMES "user = \"me\"; secret = \"%s\";", path);
    expect_refusal(options, "no secret in its first line");
    assert_int_equal(write(fd, "\nsecret\n", 8), 8);
    expect_refusal(options, "no secret in its first line");
    expect_refusal(PORTAL NAMES "user = \"me\"; secret = \"/nonexistent/secret\";", "cannot open");
    (void)close(fd);
    (void)unlink(path);
}

static void
test_a_target_that_is_not_there_is_named(void **state)
{
    (void)state;
    expect_refusal(PORTAL NAMES, "cannot log in to iqn.2026-11.org.example:t at 127.0.0.1:9");
}

static void
test_hosts_that_fail_leave_nothing(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 2; n++) {
        struct th_host *th = th_new();

        th_fail_call(th, n, ENOMEM);
        assert_null(th_plug(th, &backplane_plugin_v1, "lun", PORTAL NAMES));
        th_free(th);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_checked),
        cmocka_unit_test(test_chap_wants_name_and_secret),
        cmocka_unit_test(test_a_target_that_is_not_there_is_named),
        cmocka_unit_test(test_hosts_that_fail_leave_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
