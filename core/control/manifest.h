/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin says of itself, as text for people and as JSON. */
#pragma once

#include "plugin/plugin_image.h"

#include <stdbool.h>

char *manifest_text(const PluginImage *image);
char *manifest_json(const PluginImage *image);

/* One line a plugin. */
typedef struct ManifestTable ManifestTable;
ManifestTable *manifest_table_new(bool as_json);
void manifest_table_free(ManifestTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ManifestTable, manifest_table_free)
void manifest_table_add(ManifestTable *table, const PluginImage *image);
char *manifest_table_finish(ManifestTable *table);
