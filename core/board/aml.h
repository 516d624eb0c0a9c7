/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI machine language, as much as the tables need: names, numbers, strings, packages, devices,
 * resource templates, and the few statements that the methods of hot-plug are made of. Reference:
 * ACPI 6.4, chapters 20 (AML) and 6.4 (resource data types).
 *
 * Objects are appended to a GByteArray in the order the language wants them: aml_name() and then
 * its object; aml_open_x(), the contents, aml_close(). */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What aml_close() needs: where the length of an open object will go. */
typedef size_t AmlMark;

/* path: segments of up to four characters, "\\_SB.PCI0", "_CRS". */
AmlMark aml_open_scope(GByteArray *aml, const char *path);
AmlMark aml_open_device(GByteArray *aml, const char *name);
AmlMark aml_open_package(GByteArray *aml, uint8_t elements);
void aml_close(GByteArray *aml, AmlMark mark);

void aml_name(GByteArray *aml, const char *path); /* its object follows */
void aml_integer(GByteArray *aml, uint64_t value);
void aml_string(GByteArray *aml, const char *text);
/* A hardware id: "PNP0A03"-like ones (three letters, four hex digits) as EISA ids,
 * others as text. */
void aml_hardware_id(GByteArray *aml, const char *id);

/* Resource descriptors go to an array of their own; aml_resources() wraps it into a template. */
void aml_resource_io(GByteArray *resources, uint16_t base, uint8_t length);
void aml_resource_irq(GByteArray *resources, unsigned irq);
void aml_resource_dma(GByteArray *resources, unsigned channel);
/* Windows a bridge passes on; last is included. */
void aml_resource_bus_window(GByteArray *resources, uint16_t first, uint16_t last);
void aml_resource_io_window(GByteArray *resources, uint16_t first, uint16_t last);
void aml_resource_memory_window(GByteArray *resources, uint32_t first, uint32_t last);
void aml_resources(GByteArray *aml, const GByteArray *resources);

/* Registers in I/O space, and the names of the 32-bit ones from its start. names: NULL-terminated.
 */
void aml_io_region(GByteArray *aml, const char *name, uint16_t base, uint8_t length);
void aml_dword_field(GByteArray *aml, const char *region, const char *const *names);
/* Methods: arguments 0..7; a serialized one runs once at a time. */
AmlMark aml_open_method(GByteArray *aml, const char *name, unsigned arguments, bool serialized);
AmlMark aml_open_if(GByteArray *aml);             /* its predicate, then its statements */
void aml_path(GByteArray *aml, const char *path); /* a name as a term: a value, or a call */
void aml_argument(GByteArray *aml, unsigned index);
void aml_and(GByteArray *aml);        /* two terms follow; the result is used at once */
void aml_shift_left(GByteArray *aml); /* likewise: value, count */
void aml_end_target(GByteArray *aml); /* after the terms of these: the result goes nowhere else */
void aml_store(GByteArray *aml);      /* a term, then where it goes */
void aml_notify(GByteArray *aml);     /* a device's name, then a term */
void aml_mutex(GByteArray *aml, const char *name);
void aml_acquire(GByteArray *aml, const char *name); /* waits as long as it takes */
void aml_release(GByteArray *aml, const char *name);
