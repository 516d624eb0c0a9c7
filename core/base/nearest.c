/* SPDX-License-Identifier: Apache-2.0 */
/* Edit distance between names: optimal string alignment (Damerau-Levenshtein without repeated
 * edits of one substring), which counts "dsik" for "disk" as one slip of the finger. */
#include "base/nearest.h"

#include <glib.h>
#include <string.h>

/* Names are short; what comes after this many bytes does not tell two of them apart. */
#define LENGTH_MAX 64

static unsigned
letter_cost(const char *a, const char *b)
{
    return g_ascii_tolower(*a) == g_ascii_tolower(*b) ? 0 : 1;
}

/* Three rows of the alignment matrix: i - 2, i - 1 and i. */
typedef struct {
    unsigned rows[3][LENGTH_MAX + 1];
} Matrix;

/* Fills row i >= 1 from the two above it. */
static void
align_row(Matrix *matrix, const char *a, size_t i, const char *b, size_t b_length)
{
    unsigned *row = matrix->rows[i % 3];
    const unsigned *above = matrix->rows[(i - 1) % 3];
    const unsigned *two_above = matrix->rows[(i + 1) % 3];

    row[0] = (unsigned)i;
    for (size_t j = 1; j <= b_length; j++) {
        unsigned best = above[j - 1] + letter_cost(&a[i - 1], &b[j - 1]);
        best = MIN(best, MIN(above[j], row[j - 1]) + 1);
        if (i > 1 && j > 1 && letter_cost(&a[i - 1], &b[j - 2]) == 0 &&
            letter_cost(&a[i - 2], &b[j - 1]) == 0) {
            best = MIN(best, two_above[j - 2] + 1);
        }
        row[j] = best;
    }
}

static unsigned
edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    Matrix matrix;

    for (size_t j = 0; j <= b_length; j++) {
        matrix.rows[0][j] = (unsigned)j;
    }
    for (size_t i = 1; i <= a_length; i++) {
        align_row(&matrix, a, i, b, b_length);
    }
    return matrix.rows[a_length % 3][b_length];
}

const char *
nearest_name(const char *wanted, const char *const *known)
{
    size_t length = strnlen(wanted, LENGTH_MAX);
    unsigned best = (unsigned)(length + 2) / 3 + 1;
    const char *nearest = NULL;

    for (; *known != NULL; known++) {
        unsigned distance = edit_distance(wanted, length, *known, strnlen(*known, LENGTH_MAX));
        if (distance < best) {
            best = distance;
            nearest = *known;
        }
    }
    return nearest;
}
