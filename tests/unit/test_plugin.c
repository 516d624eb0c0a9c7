/* SPDX-License-Identifier: Apache-2.0 */
/* core/plugin: what an image says, and what the loader makes of it. */
#include "plugin/plugin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char *
test_plugin_path(const char *name)
{
    return g_strdup_printf("%s/%s.so", g_getenv("TEST_PLUGIN_DIR"), name);
}

static PluginImage *
open_image(const char *name)
{
    g_autofree char *path = test_plugin_path(name);
    g_autoptr(GError) error = NULL;
    PluginImage *image = plugin_image_open(path, &error);

    if (image == NULL) {
        fail_msg("%s", error->message);
    }
    return image;
}

static void
test_image_tells_classes_options_and_slots(void **state)
{
    g_autoptr(PluginImage) image = open_image("testdev-pci");
    const PluginClass *class = plugin_image_class(image, 0);

    assert_string_equal(plugin_image_note(image)->id, "testdev-pci");
    assert_int_equal(plugin_image_class_count(image), 2);
    assert_null(plugin_image_class(image, 2));
    assert_non_null(class);
    assert_string_equal(class->name, "testdev-pci");
    assert_int_equal(class->bus, BP_BUS_PCI);
    assert_string_equal(class->slots[0].interface_id, "bp.block/1");
    assert_string_equal(class->props[1].children[0].children[0].name, "unit");
    assert_string_equal(class->props[6].choices[2], "reckless");
    assert_int_equal(plugin_image_class(image, 1)->preferred_devfn, 1 << 3 | 1);
}

/* The linker may pack relative relocations (DT_RELR); the descriptor is the same. */
static void
test_packed_relocations_are_applied(void **state)
{
    g_autoptr(PluginImage) image = open_image("bad/good-relr");
    const PluginClass *class = plugin_image_class(image, 0);

    assert_non_null(class);
    assert_string_equal(class->name, "good-relr");
    assert_string_equal(class->props[0].name, "good");
    assert_string_equal(class->props[0].def, "false");
}

static void
test_image_has_no_function_to_call(void **state)
{
    g_autoptr(PluginImage) image = open_image("testblock");

    for (unsigned i = 0; i < plugin_image_class_count(image); i++) {
        const PluginClass *class = plugin_image_class(image, i);
        assert_null(class->create);
        assert_null(class->destroy);
        assert_null(class->query);
    }
}

static void
test_loaded_plugin_has_the_classes_that_were_read(void **state)
{
    g_autoptr(PluginImage) image = open_image("testblock");
    g_autoptr(GError) error = NULL;
    g_autoptr(Plugin) plugin = plugin_load(image, &error);

    assert_null(error);
    assert_string_equal(plugin_id(plugin), "testblock");
    assert_null(plugin_class(plugin, 2));
    for (unsigned i = 0; i < 2; i++) {
        const struct bp_class *class = plugin_class(plugin, i);
        assert_string_equal(class->name, plugin_image_class(image, i)->name);
        assert_int_equal(class->size, sizeof(*class));
        assert_non_null(class->create);
        assert_non_null(class->destroy);
    }
}

static void
test_loaded_class_makes_objects(void **state)
{
    g_autoptr(PluginImage) image = open_image("testfilter");
    g_autoptr(Plugin) plugin = plugin_load(image, NULL);
    struct bp_create args = {.size = sizeof(args)};
    void *self = NULL;

    assert_non_null(plugin);
    assert_int_equal(plugin_class(plugin, 0)->create(&args, &self), 0);
    assert_non_null(self);
    assert_null(plugin_class(plugin, 0)->query(self, "bp.nothing/1"));
    plugin_class(plugin, 0)->destroy(self);
}

static void
test_plugin_can_be_loaded_again_after_unload(void **state)
{
    g_autoptr(PluginImage) image = open_image("testfilter");

    for (int i = 0; i < 3; i++) {
        g_autoptr(Plugin) plugin = plugin_load(image, NULL);
        assert_non_null(plugin);
    }
}

/* What was read is not what is loaded any more: the file became another plugin's. */
static void
test_file_that_changes_between_reading_and_loading_is_refused(void **state)
{
    g_autofree char *directory = g_dir_make_tmp("backplane-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(directory, "testblock.so", NULL);
    g_autofree char *block = test_plugin_path("testblock");
    g_autofree char *filter = test_plugin_path("testfilter");
    g_autofree char *content = NULL;
    g_autoptr(GError) error = NULL;
    gsize length;

    assert_true(g_file_get_contents(block, &content, &length, NULL));
    assert_true(g_file_set_contents(path, content, (gssize)length, NULL));
    g_autoptr(PluginImage) image = plugin_image_open(path, &error);
    assert_non_null(image);
    g_free(g_steal_pointer(&content));
    assert_true(g_file_get_contents(filter, &content, &length, NULL));
    assert_true(g_file_set_contents(path, content, (gssize)length, NULL));
    assert_null(plugin_load(image, &error));
    assert_non_null(strstr(error->message, "changed while it was loaded"));
    assert_int_equal(unlink(path), 0);
    g_clear_error(&error);
    assert_null(plugin_load(image, &error));
    assert_non_null(strstr(error->message, path));
    assert_int_equal(rmdir(directory), 0);
}

static void
test_search_finds_each_plugin_once_and_by_path(void **state)
{
    const char *const directories[] = {g_getenv("TEST_PLUGIN_DIR"), NULL};
    g_autoptr(PluginSearch) search = plugin_search_new(directories);
    g_autofree char *path = test_plugin_path("testblock");
    g_autoptr(GError) error = NULL;
    const PluginImage *image = plugin_search_find(search, "testblock", &error);
    g_auto(GStrv) names = plugin_search_list(search);

    assert_non_null(image);
    assert_ptr_equal(plugin_search_find(search, "testblock", NULL), image);
    assert_string_equal(plugin_image_path(image), path);
    assert_non_null(plugin_search_find(search, path, NULL));
    assert_true(g_strv_contains((const char *const *)names, "testdev-isa"));
    assert_false(g_strv_contains((const char *const *)names, "bad"));
    assert_string_equal(plugin_search_directories(search)[0], directories[0]);
    assert_null(plugin_search_find(search, "testblokc", &error));
    assert_non_null(strstr(error->message, "did you mean \"testblock\"?"));
}

/* Every prefix of a plugin's file is refused, and with a reason. */
static void
test_no_truncated_plugin_is_accepted(void **state)
{
    g_autofree char *path = test_plugin_path("bad/good");
    g_autofree char *directory = g_dir_make_tmp("backplane-XXXXXX", NULL);
    g_autofree char *copy = g_build_filename(directory, "good.so", NULL);
    g_autofree char *content = NULL;
    gsize length;

    assert_true(g_file_get_contents(path, &content, &length, NULL));
    for (gsize size = 0; size < MIN(length, 12288); size += size < 1024 ? 7 : 61) {
        g_autoptr(GError) error = NULL;
        assert_true(g_file_set_contents_full(copy, content, (gssize)size, G_FILE_SET_CONTENTS_NONE,
                                             0600, NULL));
        assert_null(plugin_image_open(copy, &error));
        assert_non_null(error);
    }
    assert_int_equal(unlink(copy), 0);
    assert_int_equal(rmdir(directory), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_image_tells_classes_options_and_slots),
        cmocka_unit_test(test_packed_relocations_are_applied),
        cmocka_unit_test(test_image_has_no_function_to_call),
        cmocka_unit_test(test_loaded_plugin_has_the_classes_that_were_read),
        cmocka_unit_test(test_loaded_class_makes_objects),
        cmocka_unit_test(test_plugin_can_be_loaded_again_after_unload),
        cmocka_unit_test(test_file_that_changes_between_reading_and_loading_is_refused),
        cmocka_unit_test(test_search_finds_each_plugin_once_and_by_path),
        cmocka_unit_test(test_no_truncated_plugin_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
