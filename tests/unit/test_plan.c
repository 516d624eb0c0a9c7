/* SPDX-License-Identifier: Apache-2.0 */
/* core/config: what a plan holds for those who build the machine. The messages and the printed form
 * are tested by tests/config. */
#include "config/plan.h"
#include "config/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char DESCRIPTION[] =
    "machine = { name = \"t\"; memory = \"64M\"; loops = 2; boot = { kernel = \"/dev/null\"; }; "
    "};\n"
    "devices = {\n"
    "  card0 = { plugin = \"testdev-pci\"; loop = 1; window = \"1M\"; mac = "
    "\"52:54:00:12:34:56\";\n"
    "    drives = ( { unit = 2; disk = \"top\"; }, { unit = 0; }, { unit = 1; disk = \"flat\"; } "
    ");\n"
    "    disk = \"more\"; };\n"
    "  card1 = { plugin = \"testdev-pci\"; class = \"testdev-preferring\"; };\n"
    "  com1 = { plugin = \"testdev-isa\"; backend = \"tty\"; };\n"
    "};\n"
    "backends = {\n"
    "  top = { plugin = \"testfilter\"; below = \"middle\"; };\n"
    "  middle = { plugin = \"testfilter\"; below = \"bottom\"; };\n"
    "  flat = { plugin = \"testblock\"; path = \"flat.img\"; };\n"
    "  more = { plugin = \"testblock\"; path = \"/more.img\"; };\n"
    "  bottom = { plugin = \"testblock\"; path = \"bottom.img\"; };\n"
    "  tty = { plugin = \"testblock\"; class = \"testchar\"; };\n"
    "};\n";

static MachinePlan *
make_plan(const char *text, const char *const *overrides, ErrorList *errors)
{
    const char *const plugin_path[] = {g_getenv("TEST_PLUGIN_DIR"), NULL};
    g_autofree char *directory = g_dir_make_tmp("backplane-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(directory, "machine.cfg", NULL);

    assert_true(g_file_set_contents(path, text, -1, NULL));
    MachinePlan *plan = machine_plan_new(path, overrides, plugin_path, errors);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
    return plan;
}

/* The kernel of the description must be a regular file: any will do. */
static MachinePlan *
make_good_plan(void)
{
    const char *const overrides[] = {"machine.boot.kernel=/proc/self/exe", NULL};
    g_autoptr(ErrorList) errors = error_list_new();
    MachinePlan *plan = make_plan(DESCRIPTION, overrides, errors);

    error_list_print(errors, stderr);
    assert_non_null(plan);
    return plan;
}

static const PlanInstance *
find(const GPtrArray *list, const char *id, guint *index)
{
    for (guint i = 0; i < list->len; i++) {
        const PlanInstance *instance = g_ptr_array_index(list, i);
        if (g_str_equal(instance->id, id)) {
            *index = i;
            return instance;
        }
    }
    fail_msg("no %s", id);
    return NULL;
}

static void
test_backends_come_after_those_below_them(void **state)
{
    g_autoptr(MachinePlan) plan = make_good_plan();
    guint top, middle, bottom;

    (void)find(plan->backends, "top", &top);
    (void)find(plan->backends, "middle", &middle);
    (void)find(plan->backends, "bottom", &bottom);
    assert_true(bottom < middle && middle < top);
    assert_int_equal(plan->backends->len, 6);
}

static void
test_slot_uses_are_numbered_in_order_of_the_description(void **state)
{
    static const char *const ids[] = {"top", "flat", "more"};
    static const char *const paths[] = {"devices.card0.drives[0].disk",
                                        "devices.card0.drives[2].disk", "devices.card0.disk"};
    g_autoptr(MachinePlan) plan = make_good_plan();
    guint index;
    const PlanInstance *card = find(plan->devices, "card0", &index);

    assert_int_equal(index, 0);
    assert_int_equal(card->slot_uses->len, 3);
    for (guint i = 0; i < 3; i++) {
        const PlanSlotUse *use = &g_array_index(card->slot_uses, PlanSlotUse, i);
        assert_int_equal(use->slot, 0);
        assert_int_equal(use->use, i);
        assert_string_equal(use->backend->id, ids[i]);
        assert_string_equal(use->path, paths[i]);
        assert_int_equal(use->node->line, i < 2 ? 4 : 5);
    }
}

static void
test_instances_know_class_address_and_loop(void **state)
{
    g_autoptr(MachinePlan) plan = make_good_plan();
    guint index;
    const PlanInstance *card0 = find(plan->devices, "card0", &index);
    const PlanInstance *card1 = find(plan->devices, "card1", &index);
    const PlanInstance *com1 = find(plan->devices, "com1", &index);
    const PlanInstance *tty = find(plan->backends, "tty", &index);

    assert_int_equal(card0->devfn, 2 << 3);
    assert_int_equal(card0->loop, 1);
    assert_int_equal(card1->devfn, 1 << 3 | 1);
    assert_int_equal(card1->class_index, 1);
    assert_string_equal(plan_instance_class(card1)->name, "testdev-preferring");
    assert_int_equal(com1->devfn, 0);
    assert_true(com1->is_device);
    assert_false(tty->is_device);
    assert_string_equal(plan_instance_class(tty)->name, "testchar");
}

static void
test_nodes_have_final_values_and_places(void **state)
{
    g_autoptr(MachinePlan) plan = make_good_plan();
    guint index;
    const Node *card = find(plan->devices, "card0", &index)->node;
    const Node *com1 = find(plan->devices, "com1", &index)->node;
    const Node *flat = find(plan->backends, "flat", &index)->node;

    assert_int_equal(node_u64(node_child(card, "window"), 0), 1 << 20);
    assert_int_equal(node_child(card, "window")->line, 3);
    assert_false(node_child(card, "window")->is_default);
    assert_int_equal(node_u64(node_child(card, "count"), 0), 4);
    assert_true(node_child(card, "count")->is_default);
    assert_string_equal(node_child(card, "count")->file, "default");
    assert_true(node_child(card, "ratio")->real > 0.49);
    assert_int_equal(node_u64(node_child(node_child(card, "tuning"), "depth"), 0), 128);
    assert_null(node_child(card, "rom"));
    assert_int_equal(node_u64(node_child(com1, "port"), 0), 0x3f8);
    assert_int_equal(node_u64(node_child(com1, "irq"), 0), 4);
    assert_true(g_path_is_absolute(node_text(node_child(flat, "path"), "")));
    assert_true(g_str_has_suffix(node_text(node_child(flat, "path"), ""), "/flat.img"));
    assert_int_equal(node_u64(node_child(plan->machine, "memory"), 0), 64 << 20);
}

static void
test_errors_become_one_gerror(void **state)
{
    g_autoptr(ErrorList) errors = error_list_new();
    g_autoptr(GError) error = NULL;

    assert_true(error_list_propagate(errors, &error));
    assert_null(make_plan("machine = { cpus = 0; memory = 1; };\n", NULL, errors));
    assert_int_equal(error_list_count(errors), 2);
    assert_false(error_list_propagate(errors, &error));
    assert_non_null(strstr(error->message, "machine.cpus"));
    assert_non_null(strstr(error->message, "machine.memory"));
}

static void
test_sizes_are_read_and_written(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0},
        {"4096", 4096},
        {"64K", 65536},
        {"64k", 65536},
        {"1M", 1 << 20},
        {"2MiB", 2 << 20},
        {"3G", UINT64_C(3) << 30},
        {"1T", UINT64_C(1) << 40},
        {"0x10K", 16384},
        {"8191P", UINT64_C(8191) << 50},
        {"7E", UINT64_C(7) << 60},
    };
    static const char *const bad[] = {"",
                                      "K",
                                      "-1",
                                      "1X",
                                      "1KK",
                                      "1 K",
                                      "8E",
                                      "1.5G",
                                      "1Ki",
                                      "18446744073709551616",
                                      "99999999999999999999K"};

    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        uint64_t bytes = 1, again = 1;
        assert_true(schema_parse_size(good[i].text, &bytes));
        assert_int_equal(bytes, good[i].bytes);
        g_autofree char *text = schema_format_size(bytes);
        assert_true(schema_parse_size(text, &again));
        assert_int_equal(again, bytes);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        uint64_t bytes;
        assert_false(schema_parse_size(bad[i], &bytes));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backends_come_after_those_below_them),
        cmocka_unit_test(test_slot_uses_are_numbered_in_order_of_the_description),
        cmocka_unit_test(test_instances_know_class_address_and_loop),
        cmocka_unit_test(test_nodes_have_final_values_and_places),
        cmocka_unit_test(test_errors_become_one_gerror),
        cmocka_unit_test(test_sizes_are_read_and_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
