/* SPDX-License-Identifier: Apache-2.0 */
/* bp.pci/1, bp.msi/1, bp.msix/1: one PCI function for an instance. */
#include "bus/pci_rom.h"
#include "plugin/args.h"
#include "plugin/instance.h"

#include <errno.h>

#define ROM_MAX_LENGTH (16u << 20)

typedef struct {
    Instance *instance;
    struct bp_pci_ops ops;
    void *opaque;
} PciNotify;

static void
notify_config_written(void *opaque, uint16_t offset, unsigned size, uint32_t value)
{
    const PciNotify *notify = opaque;

    if (notify->instance->realized && BP_HAS(&notify->ops, config_written)) {
        notify->ops.config_written(notify->opaque, offset, size, value);
    }
}

static void
notify_config_reading(void *opaque, uint16_t offset, unsigned size)
{
    const PciNotify *notify = opaque;

    if (notify->instance->realized) {
        notify->ops.config_reading(notify->opaque, offset, size);
    }
}

static void
notify_command_changed(void *opaque, uint16_t command)
{
    const PciNotify *notify = opaque;

    if (notify->instance->realized && BP_HAS(&notify->ops, command_changed)) {
        notify->ops.command_changed(notify->opaque, command);
    }
}

static void
fill_args(PciFunctionArgs *args, const struct bp_pci_args *given, const Instance *instance)
{
    unsigned i;

    *args = (PciFunctionArgs){
        .name = instance->id,
        .bus = instance->plan->devfn / PLAN_BUS_DEVFNS,
        .devfn = instance->plan->devfn % PLAN_BUS_DEVFNS,
        .vendor_id = given->vendor_id,
        .device_id = given->device_id,
        .subsystem_vendor_id = given->subsystem_vendor_id,
        .subsystem_id = given->subsystem_id,
        .revision = given->revision,
        .prog_if = given->prog_if,
        .sub_class = given->sub_class,
        .base_class = given->base_class,
        .interrupt_pin = given->interrupt_pin,
        .config_written = notify_config_written,
        .command_changed = notify_command_changed,
    };
    for (i = 0; i < PCI_BAR_COUNT; i++) {
        const struct bp_pci_bar *bar = &given->bars[i];
        args->bars[i] = (PciBarArgs){
            .size = bar->size,
            .is_io = (bar->flags & BP_PCI_BAR_IO) != 0,
            .is_64bit = (bar->flags & BP_PCI_BAR_64) != 0,
            .prefetchable = (bar->flags & BP_PCI_BAR_PREFETCH) != 0,
        };
    }
}

static int
check_args(const Instance *instance, const struct bp_pci_args *args)
{
    const uint32_t known = BP_PCI_BAR_IO | BP_PCI_BAR_64 | BP_PCI_BAR_PREFETCH;
    unsigned i;

    if (instance->function != NULL) {
        return -EEXIST;
    }
    if (instance->class->bus != BP_BUS_PCI || args->flags != 0 || args->interrupt_pin > 4) {
        return -EINVAL;
    }
    for (i = 0; i < PCI_BAR_COUNT; i++) {
        if ((args->bars[i].flags & ~known) != 0) {
            return -EINVAL;
        }
    }
    return 0;
}

static bool
read_rom(Instance *instance, const char *path, char **ret_rom, gsize *ret_length)
{
    g_autoptr(GError) error = NULL;

    if (!g_file_get_contents(path, ret_rom, ret_length, &error)) {
        host_log.error(instance, -EIO, NULL, error->message);
        return false;
    }
    if (*ret_length > ROM_MAX_LENGTH) {
        host_log.error(instance, -EIO, NULL, "the expansion ROM is larger than 16 MiB");
        return false;
    }
    return true;
}

/* The function itself, with the plugin's callbacks behind it. */
static int32_t
make_function(Instance *instance, const struct bp_pci_args *args, const char *rom, gsize rom_length)
{
    g_autoptr(GError) error = NULL;
    g_autofree PciNotify *notify = g_new0(PciNotify, 1);
    PciFunctionArgs function_args;

    notify->instance = instance;
    notify->opaque = args->opaque;
    (void)table_copy(&notify->ops, sizeof(notify->ops), args->ops);
    fill_args(&function_args, args, instance);
    if (BP_HAS(&notify->ops, config_reading)) {
        function_args.config_reading = notify_config_reading;
    }
    function_args.rom = rom;
    function_args.rom_length = (uint32_t)rom_length;
    function_args.opaque = notify;
    function_args.lock = instance->vcpu_lock;
    instance->function =
        pci_function_new(board_pci(instance->services->board), &function_args, &error);
    if (instance->function == NULL) {
        host_log.error(instance, -EBUSY, NULL, error->message);
        return -EBUSY;
    }
    instance->pci_notify = g_steal_pointer(&notify);
    return 0;
}

static int32_t
pci_host_function(Instance *instance, const struct bp_pci_args *given)
{
    g_autofree char *rom = NULL;
    gsize rom_length = 0;
    struct bp_pci_args args;
    int result = args_copy(&args, sizeof(args), given);
    unsigned i;

    if (result == 0) {
        result = check_args(instance, &args);
    }
    if (result != 0) {
        return result;
    }
    if (args.rom_path != NULL && !read_rom(instance, args.rom_path, &rom, &rom_length)) {
        return -EIO;
    }
    pci_rom_adopt((uint8_t *)rom, rom_length, args.vendor_id, args.device_id);
    result = make_function(instance, &args, rom, rom_length);
    if (result != 0) {
        return result;
    }
    instance->has_pin = args.interrupt_pin != 0;
    for (i = 0; i < PCI_BAR_COUNT; i++) {
        instance->io_bars |= (args.bars[i].flags & BP_PCI_BAR_IO) != 0 ? 1u << i : 0;
    }
    return 0;
}

static int32_t
pci_host_add_capability(Instance *instance, uint32_t id, uint32_t offset, uint32_t length,
                        const uint8_t *data, const uint8_t *write_mask)
{
    if (instance->function == NULL) {
        return -ENOENT;
    }
    if (id == 0 || id > 0xff || offset > 0xff || length > 0xc0 - 2) {
        return -EINVAL;
    }
    return pci_function_add_capability(instance->function, (uint8_t)id, (uint8_t)offset,
                                       (uint8_t)length, data, write_mask);
}

static int32_t
pci_host_config(Instance *instance, uint32_t offset, uint32_t length, const uint8_t *value,
                const uint8_t *write_mask, const uint8_t *clear_mask)
{
    if (instance->function == NULL) {
        return -ENOENT;
    }
    if (offset < 4 || offset > 0xff || length == 0 || length > 0x100 - offset || value == NULL) {
        return -EINVAL;
    }
    return pci_function_set_config(instance->function, (uint16_t)offset, (uint16_t)length, value,
                                   write_mask, clear_mask);
}

static bool
valid_access(const Instance *instance, uint32_t offset, uint32_t width)
{
    return instance->function != NULL && (width == 1 || width == 2 || width == 4) &&
           offset <= 0x100 - width;
}

static uint32_t
pci_host_peek(Instance *instance, uint32_t offset, uint32_t width)
{
    return valid_access(instance, offset, width)
               ? pci_function_peek(instance->function, (uint16_t)offset, width)
               : UINT32_MAX;
}

static void
pci_host_poke(Instance *instance, uint32_t offset, uint32_t width, uint32_t value)
{
    if (valid_access(instance, offset, width)) {
        pci_function_poke(instance->function, (uint16_t)offset, width, value);
    }
}

static uint32_t
pci_host_command(Instance *instance)
{
    return instance->function != NULL ? pci_function_command(instance->function) : 0;
}

static int32_t
pci_host_address(Instance *instance)
{
    const PciFunction *function = instance->function;

    return function != NULL
               ? (int32_t)(pci_function_bus(function) << 8 | pci_function_devfn(function))
               : -ENOENT;
}

static int32_t
pci_host_message_mode(Instance *instance)
{
    if (instance->function == NULL) {
        return 0;
    }
    if (instance->has_msix && pci_function_msix_active(instance->function)) {
        return 2;
    }
    return instance->has_msi && pci_function_msi_active(instance->function) ? 1 : 0;
}

static int32_t
msi_host_enable(Instance *instance, uint32_t vectors)
{
    int result;

    if (instance->function == NULL) {
        return -ENOENT;
    }
    if (instance->has_msi) {
        return -EEXIST;
    }
    result = pci_function_enable_msi(instance->function, vectors);
    instance->has_msi = result >= 0;
    return result < 0 ? result : 0;
}

static int32_t
msix_host_enable(Instance *instance, uint32_t vectors, uint32_t bar, uint32_t table_offset,
                 uint32_t pba_offset)
{
    int result;

    if (instance->function == NULL) {
        return -ENOENT;
    }
    if (instance->has_msix) {
        return -EEXIST;
    }
    result = pci_function_enable_msix(instance->function, vectors, bar, table_offset, pba_offset);
    instance->has_msix = result >= 0;
    return result < 0 ? result : 0;
}

static void
message_host_fire(Instance *instance, uint32_t vector)
{
    if (instance->has_msix || instance->has_msi) {
        pci_function_fire(instance->function, vector);
    }
}

static int32_t
msix_host_eventfd(Instance *instance, uint32_t vector)
{
    return instance->has_msix ? pci_function_vector_eventfd(instance->function, vector) : -ENOENT;
}

void
host_pci_withdraw(Instance *instance)
{
    if (instance->function != NULL) {
        pci_function_free(instance->function);
        instance->function = NULL;
    }
    g_clear_pointer(&instance->pci_notify, g_free);
}

const struct bp_pci_host host_pci = {
    .size = sizeof(host_pci),
    .function = pci_host_function,
    .add_capability = pci_host_add_capability,
    .config = pci_host_config,
    .peek = pci_host_peek,
    .poke = pci_host_poke,
    .command = pci_host_command,
    .address = pci_host_address,
    .message_mode = pci_host_message_mode,
};

const struct bp_msi_host host_msi = {
    .size = sizeof(host_msi),
    .enable = msi_host_enable,
    .fire = message_host_fire,
};

const struct bp_msix_host host_msix = {
    .size = sizeof(host_msix),
    .enable = msix_host_enable,
    .fire = message_host_fire,
    .eventfd = msix_host_eventfd,
};
