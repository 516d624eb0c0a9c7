/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed clusters. The decompressors' memory is taken when the image is opened. */
#include "image.h"

#include "qcow2_config.h"

#include <stdlib.h>
#include <zlib.h>
#if HAVE_ZSTD
#include <zstd.h>
#endif

#define WINDOW_BITS (-12) /* raw deflate, window of 4 KiB: the specification */

int32_t
packed_init(struct image *image)
{
    z_stream *stream = calloc(1, sizeof(*stream));

    if (stream == NULL || inflateInit2(stream, WINDOW_BITS) != Z_OK) {
        free(stream);
        return -ENOMEM;
    }
    image->inflate = stream;
    if (image->header.compression == COMPRESSION_ZSTD) {
#if HAVE_ZSTD
        image->zstd = ZSTD_createDCtx();
        return image->zstd != NULL ? 0 : -ENOMEM;
#else
        return -EOPNOTSUPP;
#endif
    }
    return 0;
}

void
packed_done(struct image *image)
{
    if (image->inflate != NULL) {
        (void)inflateEnd(image->inflate);
        free(image->inflate);
        image->inflate = NULL;
    }
#if HAVE_ZSTD
    (void)ZSTD_freeDCtx(image->zstd);
#endif
    image->zstd = NULL;
}

#if HAVE_ZSTD
/* What follows the frame, up to the end of the sector, is no part of it. */
static int32_t
unpack_zstd(struct image *image, const uint8_t *data, uint64_t length, uint8_t *out)
{
    ZSTD_inBuffer input = {data, length, 0};
    ZSTD_outBuffer output = {out, image->cluster_size, 0};
    size_t left = 1;

    (void)ZSTD_DCtx_reset(image->zstd, ZSTD_reset_session_only);
    while (left != 0 && output.pos < output.size) {
        size_t before = input.pos + output.pos;

        left = ZSTD_decompressStream(image->zstd, &output, &input);
        if (ZSTD_isError(left) || (left != 0 && input.pos + output.pos == before)) {
            return -EIO;
        }
    }
    return output.pos == output.size ? 0 : -EIO;
}
#endif

int32_t
packed_inflate(struct image *image, const uint8_t *data, uint64_t length, uint8_t *out)
{
    z_stream *stream = image->inflate;
    int result;

#if HAVE_ZSTD
    if (image->header.compression == COMPRESSION_ZSTD) {
        return unpack_zstd(image, data, length, out);
    }
#endif
    (void)inflateReset(stream);
    stream->next_in = (z_const Bytef *)(uintptr_t)data;
    stream->avail_in = (uInt)length;
    stream->next_out = out;
    stream->avail_out = (uInt)image->cluster_size;
    result = inflate(stream, Z_FINISH);
    /* Z_BUF_ERROR: the cluster is full before the stream's end was seen, which is all right. */
    return (result == Z_STREAM_END || result == Z_BUF_ERROR) && stream->avail_out == 0 ? 0 : -EIO;
}
