/* SPDX-License-Identifier: Apache-2.0 */
/* The segment A0000-FFFFF, whose nature the host bridge steers page by page, and KVM's memory
 * slots.
 *
 * KVM changes a slot only by deleting and adding it, and a fetch that meets the moment in between
 * exits as an MMIO access and fails. So
 *   - a change touches no slot whose pages stay as they are: the slots of this segment end at fixed
 *     boundaries (A0000, each 16 KiB from C0000, F0000: the PAM segments of the 82441FX) instead of
 *     growing and shrinking with their neighbours;
 *   - a change of a page's write mode alone, while ROM shows there, changes no slot at all: a write
 *     to ROM exits in any case, and lookup decides then where it goes;
 *   - deleting and adding happen inside one call, which is the exit of the vCPU that wrote the PAM
 *     register. That vCPU runs nothing meanwhile. The others would have to run code from the very
 *     segment being changed; firmware keeps them halted while it shadows itself. */
#include "bus/guest_memory_internal.h"

#include "base/error.h"
#include "base/log.h"

#include <inttypes.h>
#include <sys/mman.h>

#define PAM_SEGMENT_BYTES UINT64_C(0x4000)
#define PAM_LAST_SEGMENT  UINT64_C(0xF0000)

static uint8_t
page_mode(const GuestMemory *memory, uint64_t gpa)
{
    return __atomic_load_n(&memory->modes[(gpa - SHADOW_START) / GUEST_PAGE_BYTES],
                           __ATOMIC_ACQUIRE);
}

/* NULL where no ROM lies under the segment. */
static uint8_t *
shadow_rom_at(const GuestMemory *memory, uint64_t gpa)
{
    const RomRange *rom = &memory->shadow_rom;
    return rom->length > 0 && gpa >= rom->gpa ? rom->hva + (gpa - rom->gpa) : NULL;
}

bool
guest_memory_set_shadow_rom(GuestMemory *memory, const void *data, uint64_t length, GError **error)
{
    if (length == 0 || length % GUEST_PAGE_BYTES || length > SHADOW_END - SHADOW_ROM_START) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST,
                    "cannot show %" PRIu64
                    " bytes of firmware below 1 MiB: must be whole pages, at most 256 KiB",
                    length);
        return false;
    }
    uint8_t *copy = guest_rom_copy(data, length);
    if (!copy) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "no memory for a ROM of %" PRIu64 " bytes",
                    length);
        return false;
    }
    if (memory->shadow_rom.hva) {
        (void)munmap(memory->shadow_rom.hva, memory->shadow_rom.length);
    }
    memory->shadow_rom = (RomRange){SHADOW_END - length, length, copy};
    return true;
}

uint64_t
guest_shadow_lookup(GuestMemory *memory, uint64_t gpa, uint64_t length, bool is_write,
                    uint8_t **hva)
{
    uint64_t room = GUEST_PAGE_BYTES - gpa % GUEST_PAGE_BYTES;
    uint8_t mode = page_mode(memory, gpa);
    uint8_t *rom = shadow_rom_at(memory, gpa);
    if (mode & (is_write ? SHADOW_WRITE : SHADOW_READ)) {
        *hva = memory->hva + gpa; /* low RAM starts at 0 and is larger than 1 MiB */
    } else if (is_write) {
        if (!rom && mode == SHADOW_NONE) {
            return 0; /* the bus */
        }
    } else if (rom) {
        *hva = rom;
    } else {
        return 0;
    }
    return MIN(length, room);
}

/* ---- slots ---- */

static uint64_t
segment_end(uint64_t gpa)
{
    if (gpa < SHADOW_ROM_START) {
        return SHADOW_ROM_START;
    }
    if (gpa >= PAM_LAST_SEGMENT) {
        return SHADOW_END;
    }
    return (gpa / PAM_SEGMENT_BYTES + 1) * PAM_SEGMENT_BYTES;
}

/* The slot that would show this one page; length 0 where every access exits. */
static MemorySlot
page_slot(const GuestMemory *memory, uint64_t gpa)
{
    uint8_t mode = page_mode(memory, gpa);
    MemorySlot slot = {.gpa = gpa, .length = GUEST_PAGE_BYTES, .readonly = true};
    if (mode & SHADOW_READ) {
        slot.hva = memory->hva + gpa;
        slot.readonly = !(mode & SHADOW_WRITE);
    } else {
        slot.hva = shadow_rom_at(memory, gpa);
    }
    if (!slot.hva) {
        slot.length = 0;
    }
    return slot;
}

/* Makes the slot longer by the page behind it. False if that page is of another nature. */
static bool
extend_slot(const GuestMemory *memory, MemorySlot *slot, uint64_t gpa)
{
    MemorySlot next = page_slot(memory, gpa);
    if (slot->length == 0 || next.length == 0) {
        return slot->length == next.length;
    }
    if (next.hva != slot->hva + slot->length || next.readonly != slot->readonly) {
        return false;
    }
    slot->length += next.length;
    return true;
}

/* The slots the segment wants now, in address order; returns their number. */
static unsigned
wanted_slots(const GuestMemory *memory, MemorySlot wanted[SHADOW_PAGES])
{
    unsigned count = 0;
    for (uint64_t gpa = SHADOW_START; gpa < SHADOW_END;) {
        uint64_t end = segment_end(gpa);
        MemorySlot slot = page_slot(memory, gpa);
        do {
            gpa += GUEST_PAGE_BYTES;
        } while (gpa < end && extend_slot(memory, &slot, gpa));
        if (slot.length > 0) {
            wanted[count++] = slot;
        }
    }
    return count;
}

static bool
slots_equal(const MemorySlot *a, const MemorySlot *b)
{
    return a->gpa == b->gpa && a->length == b->length && a->hva == b->hva &&
           a->readonly == b->readonly;
}

static bool
slot_in(const MemorySlot *slot, const MemorySlot *slots, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (slots_equal(slot, &slots[i])) {
            return true;
        }
    }
    return false;
}

/* 0 or -errno. Without a backend only the record changes. */
static int
set_slot_locked(GuestMemory *memory, unsigned index, const MemorySlot *slot)
{
    const GuestMemoryBackend *backend = memory->backend;
    int result = backend ? backend->set_slot(memory->backend_opaque, index, slot->gpa, slot->length,
                                             slot->hva, slot->readonly)
                         : 0;
    if (result == 0) {
        memory->slots[index] = *slot;
    }
    return result;
}

static int
add_slot_locked(GuestMemory *memory, const MemorySlot *slot)
{
    for (unsigned i = FIXED_SLOT_MAX; i < SLOT_MAX; i++) {
        if (memory->slots[i].length == 0) {
            return set_slot_locked(memory, i, slot);
        }
    }
    return 0; /* cannot be: there are as many slots as pages */
}

/* Deletes what is no longer wanted, then adds what is new. The first error, after trying all. */
static int
update_slots_locked(GuestMemory *memory)
{
    MemorySlot wanted[SHADOW_PAGES];
    unsigned count = wanted_slots(memory, wanted);
    int first_error = 0;
    for (unsigned i = FIXED_SLOT_MAX; i < SLOT_MAX; i++) {
        const MemorySlot *slot = &memory->slots[i];
        if (slot->length > 0 && !slot_in(slot, wanted, count)) {
            MemorySlot gone = {.gpa = slot->gpa};
            int result = set_slot_locked(memory, i, &gone);
            first_error = first_error ? first_error : result;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        if (!slot_in(&wanted[i], &memory->slots[FIXED_SLOT_MAX], SHADOW_PAGES)) {
            int result = add_slot_locked(memory, &wanted[i]);
            first_error = first_error ? first_error : result;
        }
    }
    return first_error;
}

void
guest_memory_set_shadow(GuestMemory *memory, uint64_t gpa, uint64_t length, ShadowMode mode)
{
    g_return_if_fail(gpa >= SHADOW_START && length <= SHADOW_END - SHADOW_START &&
                     gpa + length <= SHADOW_END && (gpa | length) % GUEST_PAGE_BYTES == 0);
    g_mutex_lock(&memory->slot_lock);
    bool changed = false;
    for (uint64_t page = gpa; page < gpa + length; page += GUEST_PAGE_BYTES) {
        changed |= page_mode(memory, page) != (uint8_t)mode;
        __atomic_store_n(&memory->modes[(page - SHADOW_START) / GUEST_PAGE_BYTES], (uint8_t)mode,
                         __ATOMIC_RELEASE);
    }
    int result = changed ? update_slots_locked(memory) : 0;
    g_mutex_unlock(&memory->slot_lock);
    if (result < 0) {
        log_error("memory", "cannot steer 0x%" PRIx64 "-0x%" PRIx64 ": %s", gpa, gpa + length - 1,
                  g_strerror(-result));
    }
}

/* Gives the backend every slot there is. */
static int
announce_slots_locked(GuestMemory *memory)
{
    int result = update_slots_locked(memory);
    for (unsigned i = 0; result == 0 && i < SLOT_MAX; i++) {
        MemorySlot slot = memory->slots[i];
        if (slot.length > 0) {
            result = set_slot_locked(memory, i, &slot);
        }
    }
    return result;
}

bool
guest_memory_bind(GuestMemory *memory, const GuestMemoryBackend *backend, void *opaque,
                  GError **error)
{
    g_mutex_lock(&memory->slot_lock);
    memory->backend = NULL;
    int result = update_slots_locked(memory); /* the record, before the backend hears of it */
    memory->backend = backend;
    memory->backend_opaque = opaque;
    if (result == 0 && backend) {
        result = announce_slots_locked(memory);
    }
    if (result < 0) {
        memory->backend = NULL;
    }
    g_mutex_unlock(&memory->slot_lock);
    if (result < 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "cannot give the guest its memory: %s",
                    g_strerror(-result));
        return false;
    }
    return true;
}
