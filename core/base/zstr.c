/* SPDX-License-Identifier: Apache-2.0 */
#include "zstr.h"

#include "alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum {
    WINDOW_LOG_MIN = 10, /* zstd's own (ZSTD_WINDOWLOG_ABSOLUTEMIN) */
    WINDOW_LOG_MAX = 25, /* 2^25 is ZSTR_MAX */
    HASH_LOG_MIN = 6,    /* zstd's own (ZSTD_HASHLOG_MIN) */
    LEVEL_MIN = 1,
    LEVEL_FAST_MAX = 4, /* the last one whose strategy is "fast" or "dfast" */
    LEVEL_MAX = 19,
    MAGIC_SIZE = 4,
};
_Static_assert(ZSTR_MAX == 1 << WINDOW_LOG_MAX, "the window reaches over the largest input");

struct zstr_enc {
    ZSTD_CCtx *ctx; /* owned */
    int level;
};

struct zstr_dec {
    ZSTD_DCtx *ctx; /* owned */
};

struct zstr_enc *zstr_enc_new(int level)
{
    struct zstr_enc *z = mem_new(sizeof *z);

    assert(level >= LEVEL_MIN);
    assert(level <= LEVEL_MAX);
    z->level = level;
    z->ctx = ZSTD_createCCtx();
    if (z->ctx == NULL)
        abort(); /* as mem_new() does */
    return z;
}

void zstr_enc_free(struct zstr_enc *z)
{
    if (z == NULL)
        return;
    (void)ZSTD_freeCCtx(z->ctx); /* fails for static contexts only */
    mem_free(z);
}

void zstr_enc_freep(struct zstr_enc **z)
{
    zstr_enc_free(*z);
    *z = NULL;
}

size_t zstr_enc_memory(const struct zstr_enc *z)
{
    return sizeof *z + ZSTD_sizeof_CCtx(z->ctx);
}

struct zstr_dec *zstr_dec_new(void)
{
    struct zstr_dec *z = mem_new(sizeof *z);

    z->ctx = ZSTD_createDCtx();
    if (z->ctx == NULL)
        abort(); /* as mem_new() does */
    return z;
}

void zstr_dec_free(struct zstr_dec *z)
{
    if (z == NULL)
        return;
    (void)ZSTD_freeDCtx(z->ctx); /* fails for static contexts only */
    mem_free(z);
}

void zstr_dec_freep(struct zstr_dec **z)
{
    zstr_dec_free(*z);
    *z = NULL;
}

static enum err_code code_of(size_t result, enum err_code otherwise)
{
    return ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation ? E_NOMEM : otherwise;
}

static bool sizes_ok(size_t prefix, size_t data)
{
    return prefix <= ZSTR_MAX && data <= ZSTR_MAX - prefix;
}

/* The smallest window that reaches from the end of the data back to the begin of the prefix. */
static int window_log(size_t total)
{
    int log = WINDOW_LOG_MIN;

    while (((size_t)1 << log) < total)
        log++;
    return log;
}

/*
 * With a prefix, tables in proportion to prefix and data.  zstd's levels have small tables that suit a stream, where a
 * match is near; here it is where the same page was in the prefix, as far away as the data is long, and by then it
 * would be overwritten.  Measured with 1 MiB of slightly changed pages at level 1: 18 KB instead of 634 KB, four times
 * as fast.
 *
 * The fast levels note every third position of a prefix, and half a byte of table for each byte is enough (twice as
 * much saves another percent).  The others note every position in rows, and below two bytes they lose the prefix.
 */
static int hash_log(const struct zstr_enc *z, size_t total)
{
    int log = window_log(total) - (z->level <= LEVEL_FAST_MAX ? 3 : 1);

    return log < HASH_LOG_MIN ? HASH_LOG_MIN : log;
}

/*
 * zstd sizes its tables by the level, the window and the hints it gets about the sizes of input and prefix; the hints
 * are exact here, so a small input needs little memory.  The frame carries the content size, but neither zstd's
 * checksum nor a dictionary id: weir's own hashes cover the bytes.
 */
static size_t set_up(struct zstr_enc *z, struct span prefix, size_t size)
{
    const struct {
        ZSTD_cParameter name;
        int value;
    } params[] = {
        {ZSTD_c_compressionLevel, z->level},
        {ZSTD_c_windowLog, window_log(prefix.size + size)},
        {ZSTD_c_contentSizeFlag, 1},
        {ZSTD_c_checksumFlag, 0},
        {ZSTD_c_dictIDFlag, 0},
    };
    size_t result = ZSTD_CCtx_reset(z->ctx, ZSTD_reset_session_and_parameters);

    for (size_t i = 0; !ZSTD_isError(result) && i < sizeof params / sizeof params[0]; i++)
        result = ZSTD_CCtx_setParameter(z->ctx, params[i].name, params[i].value);
    if (!ZSTD_isError(result) && prefix.size > 0)
        result = ZSTD_CCtx_setParameter(z->ctx, ZSTD_c_hashLog, hash_log(z, prefix.size + size));
    if (!ZSTD_isError(result))
        result = ZSTD_CCtx_setPledgedSrcSize(z->ctx, size);
    if (!ZSTD_isError(result) && prefix.size > 0)
        result = ZSTD_CCtx_refPrefix(z->ctx, prefix.data, prefix.size);
    return result;
}

struct rc zstr_compress(struct zstr_enc *z, struct span prefix, struct span data, struct buf *out, struct err *err)
{
    size_t before = out->size, room, result;
    uint8_t *at;

    if (!sizes_ok(prefix.size, data.size))
        return rc_raise(err, E_UNSUPPORTED, "compress %zu bytes with a prefix of %zu: more than %d together", data.size,
            prefix.size, ZSTR_MAX);
    result = set_up(z, prefix, data.size);
    if (ZSTD_isError(result))
        return rc_raise(
            err, code_of(result, E_BUG), "set up compression of %zu bytes: %s", data.size, ZSTD_getErrorName(result));
    /* Incompressible data needs the bound, which may lie beyond the buffer's maximum when the result does not. */
    room = ZSTD_compressBound(data.size);
    if (room > out->max - out->size)
        room = out->max - out->size;
    at = buf_grow(out, room);
    if (at == NULL)
        return buf_check(out, "compressed data", err);
    result = ZSTD_compress2(z->ctx, at, room, data.data, data.size);
    buf_trim(out, ZSTD_isError(result) ? before : before + result);
    if (!ZSTD_isError(result))
        return RC_OK;
    if (ZSTD_getErrorCode(result) == ZSTD_error_dstSize_tooSmall)
        return rc_raise(err, E_NOSPACE, "compressed data: longer than the limit of %zu bytes", out->max);
    return rc_raise(err, code_of(result, E_BUG), "compress %zu bytes: %s", data.size, ZSTD_getErrorName(result));
}

/* ZSTD_decompressDCtx() would also take several frames, or frames to be skipped: both are refused. */
static struct rc check_frame(struct span frame, size_t size, struct err *err)
{
    static const uint8_t magic[MAGIC_SIZE] = {0x28, 0xb5, 0x2f, 0xfd};
    unsigned long long content;
    size_t found;

    for (size_t i = 0; i < sizeof magic; i++)
        if (frame.size < sizeof magic || frame.data[i] != magic[i])
            return rc_raise(err, E_CORRUPT, "compressed data: not a zstd frame");
    content = ZSTD_getFrameContentSize(frame.data, frame.size);
    if (content == ZSTD_CONTENTSIZE_ERROR)
        return rc_raise(err, E_CORRUPT, "compressed data: malformed header");
    if (content != ZSTD_CONTENTSIZE_UNKNOWN && content != size)
        return rc_raise(err, E_CORRUPT, "compressed data: %llu bytes inside, expected %zu", content, size);
    found = ZSTD_findFrameCompressedSize(frame.data, frame.size);
    if (ZSTD_isError(found))
        return rc_raise(err, E_CORRUPT, "compressed data: %s", ZSTD_getErrorName(found));
    if (found != frame.size)
        return rc_raise(err, E_CORRUPT, "compressed data: %zu bytes after the frame", frame.size - found);
    return RC_OK;
}

struct rc zstr_decompress(
    struct zstr_dec *z, struct span prefix, struct span frame, void *out, size_t size, struct err *err)
{
    uint8_t none;
    size_t result;

    if (!sizes_ok(prefix.size, size))
        return rc_raise(err, E_CORRUPT, "decompress to %zu bytes with a prefix of %zu: more than %d together", size,
            prefix.size, ZSTR_MAX);
    TRY(check_frame(frame, size, err));
    result = ZSTD_DCtx_reset(z->ctx, ZSTD_reset_session_and_parameters);
    if (!ZSTD_isError(result))
        result = ZSTD_DCtx_setParameter(z->ctx, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    if (!ZSTD_isError(result) && prefix.size > 0)
        result = ZSTD_DCtx_refPrefix(z->ctx, prefix.data, prefix.size);
    if (!ZSTD_isError(result))
        result = ZSTD_decompressDCtx(z->ctx, size > 0 ? out : &none, size, frame.data, frame.size);
    if (ZSTD_isError(result))
        return rc_raise(err, code_of(result, E_CORRUPT), "compressed data: %s", ZSTD_getErrorName(result));
    if (result != size)
        return rc_raise(err, E_CORRUPT, "compressed data: %zu bytes inside, expected %zu", result, size);
    return RC_OK;
}
