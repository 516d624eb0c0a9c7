/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI machine language, as much as static tables need: names, numbers, strings, packages, devices
 * and resource templates. Reference: ACPI 6.4, chapters 20 (AML) and 6.4 (resource data types).
 *
 * Objects are appended to a GByteArray in the order the language wants them: aml_name() and then
 * its object; aml_open_x(), the contents, aml_close(). */
#pragma once

#include <glib.h>
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
