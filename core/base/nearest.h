/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean ...?": the known name most like a misspelt one. */
#pragma once

/* known: NULL-terminated. Returns the element nearest to wanted (insertions, deletions,
 * replacements and swapped neighbours each count one; case does not count), the first of equals, or
 * NULL when nothing is close: more than a third of wanted's letters, rounded up, would have to
 * change. [any] */
const char *nearest_name(const char *wanted, const char *const *known);
