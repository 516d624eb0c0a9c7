/* SPDX-License-Identifier: Apache-2.0 */
/* fw_cfg. An item is a byte string; the selected one is read byte by byte at 511h or copied by DMA
 * into memory. What is read beyond an item's end is zero. DMA reaches memory only, never a device's
 * registers, and no more than the machine has,
 * so that one request cannot occupy a vCPU for long. */
#include "board/fw_cfg.h"

#include "base/error.h"
#include "board/blob.h"
#include "board/chip.h"

#include <string.h>

enum {
    PORT_SELECTOR = 0x510,
    PORT_DMA = 0x514,
    KEY_WRITE_CHANNEL = 0x4000, /* the other channel of the same item */
    KEY_NONE = 0x3FFF,          /* no machine has so many files */
    FILE_COUNT_MAX = 0x4000 - FW_CFG_FIRST_FILE,
    DIRECTORY_NAME = FW_CFG_NAME_MAX + 1,
    ID_TRADITIONAL = 1,
    ID_DMA = 2,
    DMA_ERROR = 1,
    DMA_READ = 2,
    DMA_SKIP = 4,
    DMA_SELECT = 8,
    DMA_WRITE = 16,
};

typedef struct {
    char *name;
    GBytes *data;
} FwCfgFile;

struct FwCfg {
    GMutex lock; /* protects everything below */
    const PhysicalBus *bus;
    Region *data_region, *dma_region;
    GHashTable *items;       /* key -> GBytes */
    GPtrArray *files;        /* FwCfgFile, sorted by name */
    const uint8_t *selected; /* borrowed from items or files; NULL: nothing there */
    size_t selected_length;
    uint16_t selector; /* what selected it */
    uint64_t offset;
    uint64_t dma_address;
};

static void
file_free(void *data)
{
    FwCfgFile *file = data;

    g_free(file->name);
    g_bytes_unref(file->data);
    g_free(file);
}

/* --- Items ----------------------------------------------------------------------------------- */

static void
select_item(FwCfg *fw_cfg, uint16_t selector)
{
    uint16_t key = selector & (uint16_t)~KEY_WRITE_CHANNEL;
    GBytes *data = g_hash_table_lookup(fw_cfg->items, GUINT_TO_POINTER(key));
    gsize length = 0;

    if (key >= FW_CFG_FIRST_FILE && key - FW_CFG_FIRST_FILE < (int)fw_cfg->files->len) {
        FwCfgFile *file = g_ptr_array_index(fw_cfg->files, key - FW_CFG_FIRST_FILE);
        data = file->data;
    }
    fw_cfg->selected = data != NULL ? g_bytes_get_data(data, &length) : NULL;
    fw_cfg->selected_length = length;
    fw_cfg->selector = selector;
    fw_cfg->offset = 0;
}

static void
put_be(GByteArray *blob, uint32_t value, unsigned size)
{
    uint32_t wire = GUINT32_TO_BE(value << (8 * (4 - size)));

    blob_bytes(blob, &wire, size);
}

/* The directory is an item like the others: count, then {size, key, 0, name} of each,
 * big-endian. */
static void
rebuild_directory(FwCfg *fw_cfg)
{
    g_autoptr(GByteArray) blob = g_byte_array_new();

    put_be(blob, fw_cfg->files->len, 4);
    for (guint i = 0; i < fw_cfg->files->len; i++) {
        FwCfgFile *file = g_ptr_array_index(fw_cfg->files, i);
        put_be(blob, (uint32_t)g_bytes_get_size(file->data), 4);
        put_be(blob, FW_CFG_FIRST_FILE + i, 2);
        put_be(blob, 0, 2);
        blob_text(blob, file->name, DIRECTORY_NAME, '\0');
    }
    g_hash_table_insert(fw_cfg->items, GUINT_TO_POINTER(FW_CFG_FILE_DIRECTORY),
                        g_byte_array_free_to_bytes(g_steal_pointer(&blob)));
}

static guint
file_position(const FwCfg *fw_cfg, const char *name, bool *found)
{
    guint i = 0;

    *found = false;
    for (; i < fw_cfg->files->len; i++) {
        const FwCfgFile *file = g_ptr_array_index(fw_cfg->files, i);
        int order = strcmp(file->name, name);
        if (order >= 0) {
            *found = order == 0;
            break;
        }
    }
    return i;
}

void
fw_cfg_set(FwCfg *fw_cfg, uint16_t key, const void *data, size_t length)
{
    g_mutex_lock(&fw_cfg->lock);
    g_hash_table_insert(fw_cfg->items, GUINT_TO_POINTER(key), g_bytes_new(data, length));
    fw_cfg->selected = NULL;
    fw_cfg->selected_length = 0;
    fw_cfg->selector = KEY_NONE;
    g_mutex_unlock(&fw_cfg->lock);
}

void
fw_cfg_set_int(FwCfg *fw_cfg, uint16_t key, uint64_t value, unsigned size)
{
    uint64_t wire = GUINT64_TO_LE(value);

    fw_cfg_set(fw_cfg, key, &wire, MIN(size, sizeof(wire)));
}

bool
fw_cfg_add_file(FwCfg *fw_cfg, const char *name, const void *data, size_t length, GError **error)
{
    FwCfgFile *file;
    bool found;
    guint position = file_position(fw_cfg, name, &found);

    if (name[0] == '\0' || strlen(name) > FW_CFG_NAME_MAX) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "fw_cfg file name '%s' has %zu bytes, 1 to %u are possible", name, strlen(name),
                    FW_CFG_NAME_MAX);
        return false;
    }
    if (found) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG, "fw_cfg file '%s' exists already", name);
        return false;
    }
    if (fw_cfg->files->len >= FILE_COUNT_MAX || length > UINT32_MAX) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "fw_cfg file '%s' does not fit: at most %u files of less than 4 GiB", name,
                    (unsigned)FILE_COUNT_MAX);
        return false;
    }
    file = g_new0(FwCfgFile, 1);
    file->name = g_strdup(name);
    file->data = g_bytes_new(data, length);
    g_mutex_lock(&fw_cfg->lock);
    g_ptr_array_insert(fw_cfg->files, (gint)position, file);
    rebuild_directory(fw_cfg);
    fw_cfg->selected = NULL;
    fw_cfg->selected_length = 0;
    fw_cfg->selector = KEY_NONE;
    g_mutex_unlock(&fw_cfg->lock);
    return true;
}

const void *
fw_cfg_file(const FwCfg *fw_cfg, const char *name, size_t *length)
{
    bool found;
    guint position = file_position(fw_cfg, name, &found);
    gsize size = 0;
    const void *data;

    if (!found) {
        return NULL;
    }
    data = g_bytes_get_data(((FwCfgFile *)g_ptr_array_index(fw_cfg->files, position))->data, &size);
    *length = size;
    return data;
}

/* --- Ports ----------------------------------------------------------------------------------- */

static uint8_t
next_byte(FwCfg *fw_cfg)
{
    if (fw_cfg->offset >= fw_cfg->selected_length) {
        return 0;
    }
    return fw_cfg->selected[fw_cfg->offset++];
}

static uint64_t
data_read(void *opaque, uint64_t offset, unsigned size)
{
    /* 510h is write-only, 511h eight bits wide. */
    return offset == 1 && size == 1 ? next_byte(opaque) : UINT64_MAX;
}

static void
data_read_block(void *opaque, uint64_t offset, unsigned size, uint32_t count, void *data)
{
    FwCfg *fw_cfg = opaque;
    uint8_t *bytes = data;

    if (offset != 1 || size != 1) {
        memset(data, 0xFF, (size_t)size * count);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        bytes[i] = next_byte(fw_cfg);
    }
}

static void
data_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    if (offset == 0 && size == 2) {
        select_item(opaque, (uint16_t)value);
    } /* writes of data are not supported by the interface since 2.4 but through DMA */
}

static const RegionOps data_ops = {
    .read = data_read, .write = data_write, .read_block = data_read_block, .widths = 1 | 2};

/* --- DMA ------------------------------------------------------------------------------------- */

/* Memory as the CPU sees it; false when something else than memory is in the way. */
static bool
memory_copy(FwCfg *fw_cfg, uint64_t gpa, void *data, const void *from, uint64_t length)
{
    uint8_t *target = data;
    const uint8_t *source = from;
    bool is_write = data == NULL;

    while (length > 0) {
        uint8_t *hva = NULL;
        uint64_t part = guest_memory_lookup(fw_cfg->bus->memory, gpa, length, is_write, &hva);
        if (part == 0 || part > length) {
            return false;
        }
        if (!is_write) {
            memcpy(target, hva, part);
            target += part;
        } else if (hva != NULL && source != NULL) {
            memcpy(hva, source, part);
        } else if (hva != NULL) {
            memset(hva, 0, part);
        }
        source = source != NULL ? source + part : NULL;
        gpa += part;
        length -= part;
    }
    return true;
}

static bool
transfer(FwCfg *fw_cfg, uint32_t control, uint32_t length, uint64_t gpa)
{
    uint64_t left = fw_cfg->selected_length - MIN(fw_cfg->offset, fw_cfg->selected_length);
    uint64_t present = MIN(left, length);

    if ((control & DMA_READ) != 0) {
        /* The item, then zeroes. */
        if (length > guest_memory_size(fw_cfg->bus->memory) || gpa + length < gpa) {
            return false;
        }
        if (present > 0 &&
            !memory_copy(fw_cfg, gpa, NULL, fw_cfg->selected + fw_cfg->offset, present)) {
            return false;
        }
        if (!memory_copy(fw_cfg, gpa + present, NULL, NULL, length - present)) {
            return false;
        }
    } else if ((control & DMA_WRITE) != 0) {
        return false; /* no item is writable */
    } else if ((control & DMA_SKIP) == 0) {
        return true;
    }
    fw_cfg->offset += present;
    return true;
}

static void
run_dma(FwCfg *fw_cfg)
{
    struct {
        uint32_t control, length;
        uint64_t address;
    } request;
    uint64_t descriptor = fw_cfg->dma_address;
    uint32_t control, result;

    fw_cfg->dma_address = 0;
    if (descriptor + sizeof(request) < descriptor ||
        !memory_copy(fw_cfg, descriptor, &request, NULL, sizeof(request))) {
        return; /* nowhere to report it either */
    }
    control = GUINT32_FROM_BE(request.control);
    if ((control & DMA_SELECT) != 0) {
        select_item(fw_cfg, (uint16_t)(control >> 16));
    }
    result =
        transfer(fw_cfg, control, GUINT32_FROM_BE(request.length), GUINT64_FROM_BE(request.address))
            ? 0
            : GUINT32_TO_BE(DMA_ERROR);
    /* The guest polls this word: it comes last. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    (void)memory_copy(fw_cfg, descriptor, NULL, &result, sizeof(result));
}

static uint64_t
dma_read(void *opaque, uint64_t offset, unsigned size)
{
    static const uint8_t signature[8] = {'Q', 'E', 'M', 'U', ' ', 'C', 'F', 'G'};
    uint64_t value = 0;

    for (unsigned i = 0; i < size && offset + i < sizeof(signature); i++) {
        value |= (uint64_t)signature[offset + i] << (8 * i);
    }
    return value;
}

static void
dma_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    FwCfg *fw_cfg = opaque;
    uint32_t half = GUINT32_SWAP_LE_BE((uint32_t)value); /* the register is big-endian */

    if (size != 4) {
        return;
    }
    if (offset == 0) {
        fw_cfg->dma_address = (uint64_t)half << 32;
    } else if (offset == 4) {
        fw_cfg->dma_address |= half;
        run_dma(fw_cfg);
    }
}

static const RegionOps dma_ops = {.read = dma_read, .write = dma_write, .widths = 1 | 2 | 4};

/* --- Object ---------------------------------------------------------------------------------- */

void
fw_cfg_reset(FwCfg *fw_cfg)
{
    g_mutex_lock(&fw_cfg->lock);
    select_item(fw_cfg, FW_CFG_SIGNATURE);
    fw_cfg->dma_address = 0;
    g_mutex_unlock(&fw_cfg->lock);
}

static Region *
add_region(FwCfg *fw_cfg, uint16_t port, uint16_t length, const RegionOps *ops, GError **error)
{
    RegionArgs args = {.name = "fw_cfg",
                       .base = port,
                       .length = length,
                       .ops = ops,
                       .opaque = fw_cfg,
                       .lock = &fw_cfg->lock};

    return chip_claim(fw_cfg->bus->pio, &args, error);
}

FwCfg *
fw_cfg_new(const PhysicalBus *bus, GError **error)
{
    g_autoptr(FwCfg) fw_cfg = g_new0(FwCfg, 1);

    g_mutex_init(&fw_cfg->lock);
    fw_cfg->bus = bus;
    fw_cfg->items = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_bytes_unref);
    fw_cfg->files = g_ptr_array_new_with_free_func(file_free);
    fw_cfg_set(fw_cfg, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_set_int(fw_cfg, FW_CFG_ID, ID_TRADITIONAL | ID_DMA, 4);
    rebuild_directory(fw_cfg);
    fw_cfg->data_region = add_region(fw_cfg, PORT_SELECTOR, 2, &data_ops, error);
    if (fw_cfg->data_region == NULL) {
        return NULL;
    }
    fw_cfg->dma_region = add_region(fw_cfg, PORT_DMA, 8, &dma_ops, error);
    if (fw_cfg->dma_region == NULL) {
        return NULL;
    }
    fw_cfg_reset(fw_cfg);
    return g_steal_pointer(&fw_cfg);
}

/* The items are the machine's, made anew; the guest's place in them is saved. */
void
fw_cfg_state(void *chip, ChipState *state)
{
    static const struct bp_state_field fields[] = {
        CHIP_FIELD(1, FwCfg, selector, 0),
        CHIP_FIELD(2, FwCfg, offset, 0),
        CHIP_FIELD(3, FwCfg, dma_address, 0),
    };
    static const ChipObject object = CHIP_OBJECT(1, fields, FwCfg, NULL);
    FwCfg *fw_cfg = chip;
    uint64_t offset;

    g_mutex_lock(&fw_cfg->lock);
    chip_state_object(state, &object, 0, fw_cfg);
    if (state->phase == CHIP_STATE_RESTORE) {
        offset = fw_cfg->offset;
        select_item(fw_cfg, fw_cfg->selector);
        fw_cfg->offset = offset;
    }
    g_mutex_unlock(&fw_cfg->lock);
}

void
fw_cfg_free(FwCfg *fw_cfg)
{
    if (fw_cfg == NULL) {
        return;
    }
    region_free(fw_cfg->data_region);
    region_free(fw_cfg->dma_region);
    g_hash_table_unref(fw_cfg->items);
    g_ptr_array_unref(fw_cfg->files);
    g_mutex_clear(&fw_cfg->lock);
    g_free(fw_cfg);
}
