/* SPDX-License-Identifier: Apache-2.0 */
/* `backplane sdk check`: what is wrong or odd about a built plugin, read as data. */
#pragma once

/* Prints a report to stdout. Returns 0, 1 (the core refuses it or it breaks a rule) or 2 (it cannot
 * be read). */
int sdk_check(const char *path);
