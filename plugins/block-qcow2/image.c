/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, growing and closing an image. [control] */
#include "image.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_TABLES  8u
#define MOST_TABLES   4096u
#define DEFAULT_CACHE (32u << 20)
#define BUFFERS_BYTES (8u << 20)
#define EMPTY_BLOCKS  1024u

int32_t
image_refuse(struct image *image, int32_t code, const char *why)
{
    return bp_fail(&image->services, code, NULL, "cannot use the image: %s", why);
}

/* --- reading what is there ---------------------------------------------------------------------
 */

static int32_t
read_table(struct image *image, uint64_t offset, uint64_t entries, uint64_t **ret_table)
{
    uint64_t *table = calloc(entries > 0 ? entries : 1, sizeof(*table)), i;
    int32_t result = table == NULL ? -ENOMEM : sync_read(image, offset, table, entries * 8);

    if (result != 0) {
        free(table);
        return image_refuse(image, result,
                            result == -ENOMEM ? "no memory" : "a table cannot be read");
    }
    for (i = 0; i < entries; i++) {
        table[i] = be64toh(table[i]);
    }
    free(*ret_table);
    *ret_table = table;
    return 0;
}

static int32_t
read_header(struct image *image)
{
    uint8_t data[HEADER_MAX];
    char why[160];
    uint64_t length = image->file_size < HEADER_MAX ? image->file_size : HEADER_MAX;
    int32_t result = sync_read(image, 0, data, length);

    if (result != 0) {
        return image_refuse(image, result, "its header cannot be read");
    }
    result = header_parse(&image->header, data, length, image->file_size, why, sizeof(why));
    if (result != 0) {
        return image_refuse(image, result, why);
    }
    image->cluster_bits = image->header.cluster_bits;
    image->cluster_size = UINT64_C(1) << image->cluster_bits;
    image->l2_bits = header_l2_bits(&image->header);
    image->count_bits = image->cluster_bits + 3 - image->header.refcount_order;
    image->size = (image->header.size + BP_BLOCK_SECTOR - 1) & ~(uint64_t)(BP_BLOCK_SECTOR - 1);
    image->l1_size = image->header.l1_size;
    return 0;
}

static int32_t
check_backing(struct image *image)
{
    const struct bp_block_ops *below = image->stack.below[SLOT_BACKING];
    struct bp_block_info info = {.size = sizeof(info)};

    if (image->header.backing[0] != '\0' && below == NULL) {
        return bp_fail(&image->services, -ENOENT, NULL,
                       "the image stands on \"%s\": make a backend of that and give its id as "
                       "backing (no file is opened because an image names it)",
                       image->header.backing);
    }
    if (image->header.backing[0] == '\0' && below != NULL) {
        return bp_fail(&image->services, -EINVAL,
                       bp_option(&image->services, image->options, "backing"),
                       "the image stands on nothing: leave backing out");
    }
    if (below != NULL) {
        (void)below->info(image->stack.below_self[SLOT_BACKING], &info);
        image->backing_size = info.capacity;
        image->most = info.max_transfer < image->most ? info.max_transfer : image->most;
    }
    return 0;
}

static void
choose_readonly(struct image *image, uint32_t file_is_readonly)
{
    const struct bp_services *services = &image->services;

    if (bp_option_bool(services, image->options, "readonly", 0) || file_is_readonly) {
        image->readonly = 1;
    }
    if (image->readonly) {
        return;
    }
    if ((image->header.incompatible & INCOMPATIBLE_CORRUPT) != 0) {
        bp_warn(services, "the image is marked as corrupt: opening it read-only");
        image->readonly = 1;
    } else if ((image->header.incompatible & INCOMPATIBLE_DIRTY) != 0) {
        bp_warn(services,
                "the image was not closed and its lazy reference counts are stale: opening "
                "it read-only; `qemu-img check -r all` makes it writable");
        image->readonly = 1;
    } else if ((image->header.incompatible & INCOMPATIBLE_LONG_L2) != 0) {
        bp_warn(services, "the image has extended L2 entries, which are only read: opening it "
                          "read-only");
        image->readonly = 1;
    }
}

/* --- the end of what is used -------------------------------------------------------------------
 */

#define ZERO_STEP 512u /* bytes; tables are multiples of it */

/* Bytes of a table up to its last one that is not zero, rounded up to ZERO_STEP. */
static uint64_t
used_bytes(const uint8_t *table, uint64_t bytes)
{
    static const uint8_t zeroes[ZERO_STEP];

    while (bytes > 0 && memcmp(table + bytes - ZERO_STEP, zeroes, ZERO_STEP) == 0) {
        bytes -= ZERO_STEP;
    }
    return bytes;
}

/* Highest counted cluster of a block, plus 1; 0: none. */
static int32_t
last_counted(struct image *image, uint8_t *block, uint64_t index, uint64_t *ret_end)
{
    uint64_t offset = image->reftable[index], entries = UINT64_C(1) << image->count_bits;
    int32_t result;

    if ((offset & (image->cluster_size - 1)) != 0 || offset >= image->file_size) {
        return -EINVAL;
    }
    result = sync_read(image, offset, block, image->cluster_size);
    if (result == 0) {
        entries = used_bytes(block, image->cluster_size) * 8 >> image->header.refcount_order;
    }
    while (result == 0 && entries > 0 && count_get(image, block, entries - 1) == 0) {
        entries--;
    }
    *ret_end = entries;
    return result;
}

static int32_t
find_end(struct image *image)
{
    uint8_t *block = malloc(image->cluster_size);
    uint64_t index = image->reftable_size, end = 0;
    uint32_t tries = 0;
    int32_t result = block == NULL ? -ENOMEM : 0;

    while (result == 0 && index > 0 && end == 0) {
        if (image->reftable[--index] != 0) {
            result = last_counted(image, block, index, &end);
            end = result == 0 && end == 0 && ++tries == EMPTY_BLOCKS ? 1 : end;
        }
    }
    free(block);
    image->next = (index << image->count_bits) + end;
    if (result == 0 && (end == 0 || image->next > (image->file_size + image->cluster_size - 1) >>
                                        image->cluster_bits)) {
        result = -EINVAL;
    }
    return result;
}

static int32_t
open_for_writing(struct image *image)
{
    uint8_t none[8] = {0};
    const char *damage = "its reference counts are";
    int32_t result = find_end(image);

    if (result == 0) {
        result = layout_check(image, &damage);
    }
    if (result == -ENOMEM) {
        return image_refuse(image, result, "no memory");
    }
    if (result != 0) {
        bp_warn(&image->services,
                "the image is damaged (%s): opening it read-only; `qemu-img check -r all` may "
                "repair it",
                damage);
        image->readonly = 1;
        return 0;
    }
    result = image_make_room(image, image->size);
    if (result == 0 && image->header.version >= 3 && image->header.autoclear != 0) {
        /* Bitmaps and the like do not follow our changes: say so, as the format wants it. */
        result = sync_header(image, HEADER_AT_AUTOCLEAR, none, sizeof(none));
        image->header.autoclear = 0;
    }
    return result == 0 ? 0 : image_refuse(image, result, "it cannot be prepared for writing");
}

/* --- memory ------------------------------------------------------------------------------------
 */

static int32_t
make_buffers(struct image *image)
{
    const struct bp_services *services = &image->services;
    uint64_t each =
        (3 * image->cluster_size + UINT64_C(2) * BP_BLOCK_SECTOR + 4095) & ~UINT64_C(4095);
    uint64_t count = BUFFERS_BYTES / each, i;
    void *memory;
    int32_t result;

    count = count < 2 ? 2 : count > MAX_BUFFERS ? MAX_BUFFERS : count;
    result = services->memory->arena_alloc(services->instance, ARENA_BUFFERS, count * each, 4096,
                                           &memory);
    for (i = 0; i < count && result == 0; i++) {
        image->buffers[i] = (uint8_t *)memory + i * each;
    }
    image->buffer_count = (uint32_t)count;
    if (result == 0) {
        result =
            services->memory->arena_alloc(services->instance, ARENA_BOUNCE,
                                          2 * image->cluster_size + BP_BLOCK_SECTOR, 4096, &memory);
    }
    if (result == 0) {
        image->zeroes = memory;
        image->bounce = image->zeroes + image->cluster_size;
        image->sector = image->bounce + image->cluster_size;
    }
    return result;
}

static int32_t
make_memory(struct image *image)
{
    uint64_t bytes = bp_option_u64(&image->services, image->options, "cache", 0);
    uint64_t count = (bytes != 0 ? bytes : DEFAULT_CACHE) >> image->cluster_bits;
    int32_t result;

    count = count < image->l1_size ? count : image->l1_size;
    count = count > LEAST_TABLES ? count : LEAST_TABLES;
    count = count < MOST_TABLES ? count : MOST_TABLES;
    result = cache_init(image, &image->tables, (uint32_t)count, ARENA_TABLES);
    if (result == 0) {
        result = cache_init(image, &image->refs, REF_TABLES, ARENA_REFS);
    }
    if (result == 0) {
        result = make_buffers(image);
    }
    if (result == 0) {
        result = packed_init(image);
    }
    return result == 0
               ? 0
               : image_refuse(image, result,
                              result == -EOPNOTSUPP ? "it is compressed by zstd, which this build "
                                                      "cannot read"
                                                    : "no memory");
}

static void
make_lists(struct image *image)
{
    waiting_init(&image->cache_waiting);
    waiting_init(&image->buffer_waiting);
    waiting_init(&image->supply_waiting);
    waiting_init(&image->sync_waiting);
    waiting_init(&image->sync_next);
    waiting_init(&image->held);
    waiting_init(&image->allocation_waiting);
    image->count_request.image = image;
    image->sync_request.image = image;
}

static int32_t
read_all(struct image *image, uint32_t file_is_readonly)
{
    const char *snapshot = bp_option_str(&image->services, image->options, "snapshot", NULL);
    int32_t result = read_header(image);

    if (result == 0) {
        result = check_backing(image);
    }
    if (result == 0 && snapshot != NULL) {
        result = snapshot_use(image, snapshot);
    }
    if (result != 0) {
        return result;
    }
    choose_readonly(image, file_is_readonly);
    result = read_table(image, image->header.l1_offset, image->l1_size, &image->l1);
    image->reftable_size = (uint64_t)image->header.reftable_clusters << image->cluster_bits >> 3;
    if (result == 0) {
        result = read_table(image, image->header.reftable_offset, image->reftable_size,
                            &image->reftable);
    }
    if (result == 0) {
        result = make_memory(image);
    }
    return result == 0 && !image->readonly ? open_for_writing(image) : result;
}

int32_t
image_open(struct image *image)
{
    struct bp_block_info info = {.size = sizeof(info)};
    int32_t result = image->stack.below[SLOT_FILE]->info(image->stack.below_self[SLOT_FILE], &info);

    if (result != 0) {
        return image_refuse(image, result, "there is nothing in the file below");
    }
    make_lists(image);
    image->file_size = info.capacity;
    image->most = info.max_transfer < SYNC_BYTES ? info.max_transfer : SYNC_BYTES;
    image->max_discard = (info.flags & BP_BLOCK_CAN_DISCARD) != 0 ? info.max_discard : 0;
    image->stack.slots = image->stack.below[SLOT_BACKING] != NULL ? 2 : 1;
    result = sync_begin(image);
    if (result != 0) {
        return image_refuse(image, result, "the file below cannot be read");
    }
    result = read_all(image, info.flags & BP_BLOCK_READONLY);
    sync_end(image);
    if (result == 0 && image->readonly) {
        image->next = UINT64_MAX >> image->cluster_bits;
    }
    image->is_open = result == 0;
    return result;
}

/* --- the end -----------------------------------------------------------------------------------
 */

static void
flush_completed(void *opaque, const struct bp_block_completion *completions, uint32_t count)
{
    *(int32_t *)opaque = completions[count - 1].status;
}

/* A checkpoint, through a queue of our own. */
int32_t
image_flush(struct image *image)
{
    static const struct bp_block_client client = {.size = sizeof(client),
                                                  .complete = flush_completed};
    const struct bp_services *services = &image->services;
    struct bp_block_request request = {.user = 1, .op = BP_BLOCK_FLUSH};
    int32_t status = -EIO, result;
    struct bp_block_queue_args args = {
        .size = sizeof(args), .depth = 1, .client = &client, .opaque = &status};
    void *queue;

    args.loop = services->loop->home(services->instance);
    result = bp_block_stack_open(&image->stack, &args, &queue);
    if (result != 0) {
        return result;
    }
    result = bp_block_stack_submit(&image->stack, queue, &request, 1);
    bp_block_stack_drain(&image->stack, queue);
    bp_block_stack_close(&image->stack, queue);
    return result == 1 ? status : -EIO;
}

/* Gives back what was counted and not used. */
static int32_t
give_back(struct image *image)
{
    int32_t result = 0;

    image->closing = 1;
    do {
        while (image->supply_end > image->supply && image->free_count < MAX_FREES / 2) {
            free_cluster(image, --image->supply_end, 1);
        }
        while (image->recycled_count > 0 && image->free_count < MAX_FREES) {
            free_cluster(image, image->recycled[--image->recycled_count], 1);
        }
        result = image_flush(image);
    } while (result == 0 && (image->supply_end > image->supply || image->recycled_count > 0));
    return result;
}

void
image_close(struct image *image)
{
    uint64_t end, supply_end = image->supply_end;
    int32_t result;

    if (!image->is_open) {
        return;
    }
    image->is_open = 0;
    if (image->readonly || image->broken) {
        return;
    }
    result = give_back(image);
    if (result != 0) {
        bp_error(&image->services, "cannot write the image's tables: %s", strerror(-result));
        return;
    }
    end = supply_end == image->next ? image->supply : image->next;
    if (BP_HAS(image->stack.below[SLOT_FILE], resize) &&
        end << image->cluster_bits < image->file_size) {
        result = image->stack.below[SLOT_FILE]->resize(image->stack.below_self[SLOT_FILE],
                                                       end << image->cluster_bits);
    }
    if (result != 0) {
        bp_info(&image->services, "the file keeps its length: %s", strerror(-result));
    }
}

void
image_free(struct image *image)
{
    packed_done(image);
    cache_done(&image->tables);
    cache_done(&image->refs);
    free(image->l1);
    free(image->reftable);
    free(image->layout);
    image->l1 = NULL;
    image->reftable = NULL;
    image->layout = NULL;
}
