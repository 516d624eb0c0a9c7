/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's memory and files to boot from that tests make, and make lie. */
#pragma once

#include "boot/boot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MIB UINT64_C(0x100000)
#define GIB UINT64_C(0x40000000)

#define FILE_BYTES 0x4000u
#define BODY_BYTE  0xb0

typedef struct {
    GuestMemory *memory; /* 32 MiB */
    char *directory, *kernel, *initrd;
    uint8_t file[FILE_BYTES]; /* what open_kernel() writes and opens */
    size_t length;
} Fixture;

void put16(Fixture *fixture, size_t offset, uint16_t value);
void put32(Fixture *fixture, size_t offset, uint32_t value);
void put64(Fixture *fixture, size_t offset, uint64_t value);

int boot_setup(void **state);
int boot_teardown(void **state);
#define BOOT_TEST(name) cmocka_unit_test_setup_teardown(name, boot_setup, boot_teardown)

void write_file(const char *path, const void *data, size_t length);
BootKernel *open_kernel(Fixture *fixture, const char *initrd, const char *cmdline, GError **error);

typedef struct {
    const char *name;
    size_t offset;
    unsigned width; /* 0: cut the file at `value` */
    uint64_t value;
    const char *message; /* NULL: accepted */
} Lie;

/* Each lie must be refused with its message, or be placed without harm. */
void check_lies(Fixture *fixture, void (*make)(Fixture *), const Lie *lies, size_t count);
