/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin's manifest as one JSON object, and the words both forms use. */
#pragma once

#include "base/json_text.h"
#include "plugin/plugin_image.h"

#define MANIFEST_PROMISES 3u

void manifest_write_json(JsonBuilder *json, const PluginImage *image);

const char *manifest_kind(uint32_t kind);
const char *manifest_bus(uint32_t bus);
const char *manifest_threads(uint32_t thread_model);
const char *manifest_promise(unsigned bit); /* below MANIFEST_PROMISES */
/* A limit of an option: sizes as "64K". */
char *manifest_limit(const struct bp_prop *prop, int64_t value);
