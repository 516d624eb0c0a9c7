/* SPDX-License-Identifier: Apache-2.0 */
/* Boot order. Paths are OpenFirmware-like, one a line: "/pci@i0cf8/...". Which kind of device is
 * behind one is not visible here, so the nibbles for CMOS are given apart. */
#include "board/boot_order.h"

#include "base/error.h"

#include <string.h>

char *
boot_order_text(const BoardBootOrder *order, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (unsigned i = 0; order->paths != NULL && order->paths[i] != NULL; i++) {
        const char *path = order->paths[i];
        if (path[0] == '\0' || strchr(path, '\n') != NULL) {
            g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                        "boot order: entry %u is %s; give one device path per entry", i + 1,
                        path[0] == '\0' ? "empty" : "more than one line");
            return NULL;
        }
        g_string_append_printf(text, "%s%s", text->len > 0 ? "\n" : "", path);
    }
    if (order->strict) {
        g_string_append_printf(text, "%sHALT", text->len > 0 ? "\n" : "");
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

void
boot_order_cmos(const BoardBootOrder *order, uint8_t *cell_38, uint8_t *cell_3d)
{
    static const uint8_t usual[3] = {BOARD_BIOS_DISK, BOARD_BIOS_REMOVABLE, BOARD_BIOS_CD};
    const uint8_t *kinds = order->bios_devices;

    if (kinds[0] == 0 && kinds[1] == 0 && kinds[2] == 0) {
        kinds = usual;
    }
    *cell_38 = (uint8_t)((kinds[2] & 0x0F) << 4);
    *cell_3d = (uint8_t)((kinds[1] & 0x0F) << 4 | (kinds[0] & 0x0F));
}
