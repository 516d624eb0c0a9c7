/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that means harm: writes and reads every port and every MMIO page at random. Each round
 * starts from the time stamp counter, so that a reset it provokes does not repeat itself. The
 * number of accesses is counted outside of the image, where a reset leaves it alone. */
#include "guest.h"

#define COUNT_ADDRESS 0x01000000u /* 16 MiB: magic, count */
#define COUNT_MAGIC   0x53544f52u
#define DEBUG_PORT    0x402
#define REPORT_EVERY  4096 /* accesses for each '.' on the debug port */
#define MMIO_START    0xc0000000u
#define APIC_START    0xfee00000u /* an IPI to itself would end the storm, not us */
#define APIC_END      0xfef00000u

static uint64_t
time_stamp(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/* xorshift64: any seed but zero. */
static uint32_t
next(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return (uint32_t)(x >> 16);
}

static void
port_access(uint32_t dice, uint16_t port, uint32_t value)
{
    switch (dice % 6) {
    case 0:
        outb(port, (uint8_t)value);
        break;
    case 1:
        outw(port, (uint16_t)value);
        break;
    case 2:
        outl(port, value);
        break;
    case 3:
        (void)inb(port);
        break;
    case 4:
        (void)inw(port);
        break;
    default:
        (void)inl(port);
        break;
    }
}

static void
memory_access(uint32_t dice, uint32_t address, uint32_t value)
{
    switch (dice % 6) {
    case 0:
        *(volatile uint8_t *)(uintptr_t)address = (uint8_t)value;
        break;
    case 1:
        *(volatile uint16_t *)(uintptr_t)(address & ~1u) = (uint16_t)value;
        break;
    case 2:
        write32(address & ~3u, value);
        break;
    case 3:
        (void)*(volatile uint8_t *)(uintptr_t)address;
        break;
    case 4:
        (void)*(volatile uint16_t *)(uintptr_t)(address & ~1u);
        break;
    default:
        (void)read32(address & ~3u);
        break;
    }
}

/* Half of the ports are those that a PC has something at; configuration space is opened now and
 * then. */
static uint16_t
pick_port(uint32_t dice, uint32_t value)
{
    uint16_t port = (uint16_t)(dice % 2 == 0 ? value : value % 0x1000);

    return port == DEBUG_PORT ? 0 : port; /* what stands there is the report */
}

static uint32_t
pick_address(uint32_t dice, uint32_t value)
{
    uint32_t address;

    if (dice % 4 == 0) {
        return 0xa0000u + value % 0x60000u;
    }
    address = MMIO_START + value % (0u - MMIO_START);
    return address >= APIC_START && address < APIC_END ? MMIO_START : address;
}

void
guest_main(const GuestStartInfo *info)
{
    volatile uint32_t *counter = (volatile uint32_t *)(uintptr_t)COUNT_ADDRESS;
    uint64_t state = time_stamp() | 1;
    uint32_t wanted = 0;
    const char *word = (const char *)(uintptr_t)info->cmdline;

    while (*word >= '0' && *word <= '9') {
        wanted = wanted * 10 + (uint32_t)(*word++ - '0');
    }
    if (counter[0] != COUNT_MAGIC) {
        counter[0] = COUNT_MAGIC;
        counter[1] = 0;
    }
    while (counter[1] < wanted) {
        uint32_t dice = next(&state), value = next(&state), where = next(&state);
        counter[1]++;
        if (counter[1] % REPORT_EVERY == 0) {
            outb(DEBUG_PORT, '.');
        }
        if (dice % 64 == 0) {
            outl(0xcf8, 0x80000000u | (value & 0xfffcu));
            outl((uint16_t)(0xcfc + (dice >> 8) % 4), where);
        } else if (dice % 3 == 0) {
            memory_access(dice >> 8, pick_address(dice >> 16, where), value);
        } else {
            port_access(dice >> 8, pick_port(dice >> 16, where), value);
        }
    }
    outb(DEBUG_PORT, 'D');
    outb(DEBUG_PORT, 'O');
    outb(DEBUG_PORT, 'N');
    outb(DEBUG_PORT, 'E');
    outb(DEBUG_PORT, '\n');
}

/* The entry's stubs want it; interrupts stay off here. */
void
guest_interrupt(uint32_t vector)
{
}
