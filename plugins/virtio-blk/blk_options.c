/* SPDX-License-Identifier: Apache-2.0 */
/* The options of the "virtio-blk" class. */
#include "virtio_blk.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define MAX_BLOCK (1 << 20)

const struct bp_prop blk_props[] = {
    {.name = "backend",
     .type = BP_PROP_BACKEND,
     .flags = BP_PROP_REQUIRED,
     .help = "backend that holds the sectors"},
    BP_VIRTIO_PROPS,
    {.name = "queues",
     .type = BP_PROP_UINT,
     .def = "1",
     .min = 1,
     .max = BLK_MAX_QUEUES,
     .help = "request queues, best one for each vCPU"},
    {.name = "serial",
     .type = BP_PROP_STRING,
     .max = BLK_ID_BYTES,
     .help = "serial number, up to 20 characters; by default the instance's id"},
    {.name = "readonly",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "refuse writes, as for a read-only backend"},
    {.name = "logical_block_size",
     .type = BP_PROP_SIZE,
     .def = "512",
     .min = BLK_SECTOR,
     .max = MAX_BLOCK,
     .help = "bytes, a power of two; firmware boots from 512 only"},
    {.name = "physical_block_size",
     .type = BP_PROP_SIZE,
     .min = BLK_SECTOR,
     .max = MAX_BLOCK,
     .help = "bytes, a power of two. Default: the backend's"},
    {.name = "min_io_size",
     .type = BP_PROP_SIZE,
     .max = 32 << 20,
     .help = "bytes; what requests should be multiples of. Default: the physical block"},
    {.name = "opt_io_size",
     .type = BP_PROP_SIZE,
     .max = 1 << 30,
     .help = "bytes of the best request. Default: the backend's"},
    {.name = "seg_max",
     .type = BP_PROP_UINT,
     .max = BP_VIRTIO_MAX_QUEUE_SIZE,
     .help = "most segments of a request. Default: what queue and backend can do"},
    {.name = "size_max",
     .type = BP_PROP_SIZE,
     .max = INT32_MAX,
     .help = "most bytes of a segment. Default: no limit is told"},
    {.name = "cylinders",
     .type = BP_PROP_UINT,
     .max = 65535,
     .help = "geometry told to the guest; with heads and sectors. Default: from the capacity"},
    {.name = "heads", .type = BP_PROP_UINT, .max = 255, .help = "geometry: heads"},
    {.name = "sectors", .type = BP_PROP_UINT, .max = 63, .help = "geometry: sectors per track"},
    {.name = "write_cache",
     .type = BP_PROP_BOOL,
     .def = "true",
     .help = "write cache after reset; off: a write is on stable storage when it completes"},
    {.name = "config_wce",
     .type = BP_PROP_BOOL,
     .def = "true",
     .help = "let the guest switch the write cache"},
    {.name = "discard",
     .type = BP_PROP_BOOL,
     .def = "true",
     .help = "offer DISCARD if the backend can"},
    {.name = "write_zeroes", .type = BP_PROP_BOOL, .def = "true", .help = "offer WRITE_ZEROES"},
    {.name = "secure_erase",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "offer SECURE_ERASE: ranges are overwritten with zeroes and flushed"},
    BP_ON_ERROR_PROPS,
    {.name = NULL},
};

static int32_t
take_serial(struct blk *blk, const struct bp_node *options)
{
    const char *text = bp_option_str(&blk->host, options, "serial", blk->id);

    for (const char *c = text; *c != '\0'; c++) {
        if (!isascii((unsigned char)*c) || !isprint((unsigned char)*c)) {
            return bp_fail(&blk->host, -EINVAL, bp_option(&blk->host, options, "serial"),
                           "serial may have printable ASCII characters only");
        }
    }
    (void)snprintf(blk->options.serial, sizeof(blk->options.serial), "%s", text);
    return 0;
}

/* A size that is a power of two, or 0 where that means something. */
static int32_t
take_power(struct blk *blk, const struct bp_node *options, const char *name, uint32_t *size)
{
    uint64_t value = bp_option_u64(&blk->host, options, name, 0);

    if ((value & (value - 1)) != 0) {
        return bp_fail(&blk->host, -EINVAL, bp_option(&blk->host, options, name),
                       "%u is not a power of two", (unsigned)value);
    }
    *size = (uint32_t)value;
    return 0;
}

static int32_t
take_geometry(struct blk *blk, const struct bp_node *options)
{
    struct blk_options *to = &blk->options;
    uint32_t given;

    to->cylinders = (uint32_t)bp_option_u64(&blk->host, options, "cylinders", 0);
    to->heads = (uint32_t)bp_option_u64(&blk->host, options, "heads", 0);
    to->sectors = (uint32_t)bp_option_u64(&blk->host, options, "sectors", 0);
    given = (to->cylinders != 0) + (to->heads != 0) + (to->sectors != 0);
    if (given != 0 && given != 3) {
        return bp_fail(&blk->host, -EINVAL, NULL,
                       "cylinders, heads and sectors must be given together, none of them 0");
    }
    return 0;
}

static void
take_rest(struct blk *blk, const struct bp_node *options)
{
    struct blk_options *to = &blk->options;
    const struct bp_services *host = &blk->host;

    to->queues = (uint32_t)bp_option_u64(host, options, "queues", 1);
    to->queues = to->queues < 1 || to->queues > BLK_MAX_QUEUES ? 1 : to->queues;
    to->min_io_size = (uint32_t)bp_option_u64(host, options, "min_io_size", 0);
    to->opt_io_size = (uint32_t)bp_option_u64(host, options, "opt_io_size", 0);
    to->seg_max = (uint32_t)bp_option_u64(host, options, "seg_max", 0);
    to->size_max = (uint32_t)bp_option_u64(host, options, "size_max", 0);
    to->readonly = (uint8_t)bp_option_bool(host, options, "readonly", 0);
    to->write_cache = (uint8_t)bp_option_bool(host, options, "write_cache", 1);
    to->config_wce = (uint8_t)bp_option_bool(host, options, "config_wce", 1);
    to->discard = (uint8_t)bp_option_bool(host, options, "discard", 1);
    to->write_zeroes = (uint8_t)bp_option_bool(host, options, "write_zeroes", 1);
    to->secure_erase = (uint8_t)bp_option_bool(host, options, "secure_erase", 0);
    to->on_error = bp_on_error_options(&blk->host, options);
}

int32_t
blk_options_read(struct blk *blk, const struct bp_node *options)
{
    int32_t result = take_serial(blk, options);

    if (result == 0) {
        result = take_power(blk, options, "logical_block_size", &blk->options.logical_size);
    }
    if (result == 0) {
        result = take_power(blk, options, "physical_block_size", &blk->options.physical_size);
    }
    if (result == 0) {
        result = take_geometry(blk, options);
    }
    if (result == 0) {
        take_rest(blk, options);
    }
    return result;
}
