/* SPDX-License-Identifier: Apache-2.0 */
/* Firmware images: a ROM that ends at 4 GiB, where the reset vector is, with its last 128 KiB shown
 * below 1 MiB as well, as a PC's chipset does. */
#include "boot/boot_private.h"

#include "base/error.h"

#define FIRMWARE_STEP     (UINT64_C(64) << 10)
#define FIRMWARE_MAX      (UINT64_C(16) << 20)
#define FIRMWARE_LOW_PART (UINT64_C(128) << 10)
#define FOUR_GIB          (UINT64_C(4) << 30)

static bool
load(const BootFile *file, GuestMemory *memory, GError **error)
{
    uint64_t size = file->size_bytes;

    if (size < FIRMWARE_STEP || size > FIRMWARE_MAX || size % FIRMWARE_STEP != 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "firmware '%s' has %" G_GUINT64_FORMAT
                    " bytes: 64 KiB to 16 MiB are possible, in steps of 64 KiB",
                    file->path, size);
        return false;
    }
    g_autofree uint8_t *data = g_malloc(size);
    uint64_t low = MIN(size, FIRMWARE_LOW_PART);
    return boot_file_read(file, data, 0, size, error) &&
           guest_memory_add_rom(memory, FOUR_GIB - size, data, size, error) &&
           guest_memory_set_shadow_rom(memory, data + size - low, low, error);
}

bool
boot_load_firmware(GuestMemory *memory, const char *path, GError **error)
{
    BootFile file = {0};

    if (!boot_file_open(&file, "firmware", path, error)) {
        return false;
    }
    bool loaded = load(&file, memory, error);
    boot_file_close(&file);
    return loaded;
}
