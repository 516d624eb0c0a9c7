/* SPDX-License-Identifier: Apache-2.0 */
/* The benchmark guest's world. It runs in ring 3, with every port permitted, in a machine of
 * Backplane's or QEMU's, and polls or waits for interrupts; its command line is a list of cases
 * (main.c). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest_insn.h"

#define BUFFERS_ADDRESS 0x1000000u /* 16 MiB: drivers' buffers, up to the end of memory */

static inline void
in_words(uint16_t port, void *to, uint64_t count)
{
    __asm__ volatile("rep insw" : "+D"(to), "+c"(count) : "d"(port) : "memory");
}

static inline void
out_words(uint16_t port, const void *from, uint64_t count)
{
    __asm__ volatile("rep outsw" : "+S"(from), "+c"(count) : "d"(port) : "memory");
}

/* Sleeps in ring 0 until an interrupt has come, or takes one that is waiting (start.S). By the
 * breakpoint, as INT n of user code does not reach a guest of every KVM without hardware
 * virtualisation. */
static inline void
wait_interrupt(void)
{
    __asm__ volatile("int3" : : : "memory");
}

static inline void
relax(void)
{
    __builtin_ia32_pause();
}

/* One case of the command line. Sizes in bytes. */
typedef struct {
    bool write;
    bool random;
    bool interrupts; /* halts until the device interrupts, instead of polling */
    uint32_t depth;  /* requests in flight */
    uint32_t size;   /* of a request */
    uint64_t count;  /* requests in all */
} Case;

/* text.c */
void say(const char *text);
void say_number(uint64_t value);
_Noreturn void fail(const char *text);
/* The host starts and stops its clocks at these. */
void say_start(const char *name);
void say_end(void);
/* Block of the medium, in units of size, for the i-th request of a case. */
uint64_t case_block(const Case *c, uint64_t i, uint64_t blocks);

/* pci.c: configuration space by CF8h/CFCh; a function is bus << 8 | device << 3 | function. */
#define PCI_NONE 0xffffffffu
uint32_t pci_find(uint32_t vendor_device, unsigned skip);
uint32_t pci_find_class(uint32_t class_subclass);
uint32_t pci_read(uint32_t function, unsigned offset);
void pci_write(uint32_t function, unsigned offset, uint32_t value);
void pci_enable(uint32_t function);
uint64_t pci_bar(uint32_t function, unsigned index);
/* Turns MSI-X on: message 0 wakes wait_interrupt(). */
void pci_enable_message(uint32_t function);

/* ide.c, virtio_blk.c, virtio_scsi.c, virtio_net.c: run a case and say its figures. */
void ide_pio(const Case *c);
void ide_dma(const Case *c);
void virtio_blk(const Case *c);
void virtio_scsi(const Case *c);
/* write: frames to the peer (bench/net_peer.c); read: frames from it; random: it measures round
 * trips of single frames. size: of a frame. */
void virtio_net(const Case *c);

void bench_main(const void *start_info);
