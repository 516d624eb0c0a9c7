/* SPDX-License-Identifier: Apache-2.0 */
/* The security mode feature set (ATA/ATAPI-7 V1, 4.6 and 6.41 to 6.46): passwords, locking, and
 * erasing, which writes zeroes that the backend may keep as holes. Passwords outlive resets, not
 * the program: nothing is written to the image for them. */
#include "ata_disk.h"

#include <string.h>

#define WORD_MASTER 0x0001u /* word 0 of the block that is sent: which password it is */
#define WORD_LEVEL  0x0100u /* SET PASSWORD: maximum security */
#define PASSWORD_AT 2u      /* byte of the block */
#define REVISION_AT 34u
#define ATTEMPTS    5u
#define ERASE_PIECE 131072u /* sectors of a request */

/* As after power-on: locked if there is a password. */
void
ata_security_reset(struct ata_disk *disk)
{
    struct ata_security *s = &disk->security;

    s->locked = s->enabled;
    s->frozen = 0;
    s->prepared = 0;
    s->attempts = ATTEMPTS;
}

void
ata_security_init(struct ata_disk *disk)
{
    struct ata_security *s = &disk->security;

    memset(s, 0, sizeof(*s));
    memset(s->master, ' ', sizeof(s->master)); /* as manufacturers leave it */
    s->revision = 0xfffe;
    ata_security_reset(disk);
}

uint16_t
ata_security_word(const struct ata_disk *disk)
{
    const struct ata_security *s = &disk->security;

    return (uint16_t)(0x0021 | s->enabled << 1 | s->locked << 2 | s->frozen << 3 |
                      (s->attempts == 0) << 4 | s->maximum << 8);
}

/* Whether the security state forbids a command (table 8). */
static uint32_t
refused(const struct ata_security *s, uint8_t opcode)
{
    switch (opcode) {
    case ATA_SECURITY_SET_PASSWORD:
    case ATA_SECURITY_DISABLE:
        return s->locked || s->frozen;
    case ATA_SECURITY_UNLOCK:
    case ATA_SECURITY_ERASE_UNIT:
        return s->frozen || s->attempts == 0;
    case ATA_SECURITY_ERASE_PREPARE:
        return s->frozen;
    default: /* FREEZE LOCK */
        return s->locked;
    }
}

void
ata_security(struct ata_disk *disk, uint8_t opcode)
{
    struct ata_security *s = &disk->security;

    if (refused(s, opcode) || (opcode == ATA_SECURITY_ERASE_UNIT && !s->prepared)) {
        s->prepared = 0;
        ata_disk_abort(disk, ATA_ABRT);
    } else if (opcode == ATA_SECURITY_ERASE_PREPARE || opcode == ATA_SECURITY_FREEZE_LOCK) {
        s->prepared = opcode == ATA_SECURITY_ERASE_PREPARE;
        s->frozen |= opcode == ATA_SECURITY_FREEZE_LOCK;
        ata_disk_abort(disk, 0);
    } else {
        s->prepared = 0;
        ata_page_start(disk, ATA_T_PAGE_OUT, 1);
    }
}

/* Without a user password only the master's is compared; at the maximum level it only erases. */
static uint32_t
password_is_right(struct ata_disk *disk, uint8_t opcode)
{
    struct ata_security *s = &disk->security;
    uint32_t master = disk->buffer[0] & WORD_MASTER;
    uint32_t right;

    if (master) {
        right = !s->maximum || opcode == ATA_SECURITY_ERASE_UNIT;
        right = right && memcmp(disk->buffer + PASSWORD_AT, s->master, sizeof(s->master)) == 0;
    } else {
        right = s->enabled && memcmp(disk->buffer + PASSWORD_AT, s->user, sizeof(s->user)) == 0;
    }
    if (!right && s->locked && s->attempts > 0) {
        s->attempts--;
    }
    return right;
}

static void
set_password(struct ata_disk *disk)
{
    struct ata_security *s = &disk->security;
    const uint8_t *block = disk->buffer;
    uint16_t word = (uint16_t)(block[0] | block[1] << 8);
    uint16_t revision = (uint16_t)(block[REVISION_AT] | block[REVISION_AT + 1] << 8);

    if (word & WORD_MASTER) {
        memcpy(s->master, block + PASSWORD_AT, sizeof(s->master));
        s->revision = revision == 0 || revision == 0xffff ? s->revision : revision;
        return;
    }
    memcpy(s->user, block + PASSWORD_AT, sizeof(s->user));
    s->maximum = (word & WORD_LEVEL) != 0;
    s->enabled = 1; /* locks at the next power-on */
}

static void
disable(struct ata_security *s)
{
    s->enabled = s->locked = s->maximum = 0;
    memset(s->user, 0, sizeof(s->user));
}

/* The block of SECURITY ERASE UNIT, UNLOCK, SET PASSWORD or DISABLE PASSWORD is in the buffer. */
uint8_t
ata_security_received(struct ata_disk *disk)
{
    struct ata_security *s = &disk->security;
    uint8_t opcode = disk->transfer.opcode;

    if (opcode == ATA_SECURITY_SET_PASSWORD) {
        set_password(disk);
        return 0;
    }
    if (!password_is_right(disk, opcode)) {
        return ATA_ABRT;
    }
    if (opcode == ATA_SECURITY_UNLOCK) {
        s->locked = 0;
        s->attempts = ATTEMPTS;
    } else if (opcode == ATA_SECURITY_DISABLE) {
        disable(s);
    } else {
        disk->transfer.kind = ATA_T_ERASE;
        disk->transfer.lba = 0;
        ata_disk_touch(disk, 1);
    }
    return 0;
}

/* --- erasing --------------------------------------------------------------------------------- */

/* All of the disk, the host protected area too. */
void
ata_erase_advance(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;
    uint64_t left = disk->native_sectors - bp_min_u64(t->lba, disk->native_sectors);

    if (left == 0) {
        t->flags |= ATA_TF_FLUSH;
        ata_transfer_advance(disk);
        return;
    }
    t->request = (uint32_t)bp_min_u64(left, ERASE_PIECE);
    if (ata_io_submit(disk, BP_BLOCK_WRITE_ZEROES, t->lba, t->request, NULL, 0) != 0) {
        ata_transfer_fail(disk, ATA_ABRT);
    }
}

void
ata_erase_finished(struct ata_disk *disk)
{
    disable(&disk->security);
}
