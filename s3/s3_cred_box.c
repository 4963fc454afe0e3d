/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_cred_box.h"

#include "fsys.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* --- pages -------------------------------------------------------------------------------------------------------- */

static size_t whole_pages(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return (size + page - 1) / page * page;
}

static void *map_pages(size_t size)
{
    size_t n = whole_pages(size);
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    (void)madvise(p, n, MADV_DONTDUMP); /* a kernel that cannot is no reason to go without credentials */
    (void)mlock(p, n);                  /* most users may lock a little only, and containers nothing */
    return p;
}

static void unmap_pages(void *p, size_t size)
{
    if (p == NULL)
        return;
    OPENSSL_cleanse(p, size);
    (void)munmap(p, whole_pages(size)); /* it fails for addresses only that were not mapped */
}

/* --- credentials -------------------------------------------------------------------------------------------------- */

struct s3_cred_box *s3_cred_box_new(void)
{
    return map_pages(sizeof(struct s3_cred_box));
}

void s3_cred_box_free(struct s3_cred_box *box)
{
    unmap_pages(box, sizeof *box);
}

void s3_cred_box_freep(struct s3_cred_box **box)
{
    s3_cred_box_free(*box);
}

struct rc s3_cred_box_put(struct s3_cred_box *box, enum s3_cred_field field, struct span value, const char *where,
    enum err_code code, struct err *err)
{
    static const char *const names[] = {"access key", "secret key", "session token"};
    char *to = field == S3_CRED_ACCESS_KEY   ? box->access_key
               : field == S3_CRED_SECRET_KEY ? box->secret_key
                                             : box->session_token;
    size_t max = field == S3_CRED_SESSION_TOKEN ? S3_CRED_BOX_TOKEN_MAX : S3_CRED_BOX_KEY_MAX;

    if (value.size == 0)
        return rc_raise(err, code, "%s: the %s is empty", where, names[field]);
    if (value.size > max)
        return rc_raise(
            err, code, "%s: the %s has %zu bytes, more than the limit of %zu", where, names[field], value.size, max);
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] <= ' ' || value.data[i] > '~')
            return rc_raise(err, code, "%s: the %s has a space or an unprintable character in it", where, names[field]);
    }
    memcpy(to, value.data, value.size);
    to[value.size] = 0;
    return RC_OK;
}

void s3_cred_box_from(struct s3_cred_box *box, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(box->source, sizeof box->source, fmt, ap); /* for people: a long path is cut */
    va_end(ap);
}

/* --- texts -------------------------------------------------------------------------------------------------------- */

void s3_cred_box_buf(struct buf *b, size_t max)
{
    buf_init(b, max);
    b->data = map_pages(max + 1);
    if (b->data == NULL)
        b->failed = E_NOMEM;
    else
        b->room = max + 1; /* struct buf keeps one byte more than the maximum, and never asks for more */
}

void s3_cred_box_buf_end(struct buf *b)
{
    unmap_pages(b->data, b->room);
    *b = (struct buf){.max = b->max};
}

void s3_cred_box_wipe(struct buf *b)
{
    if (b->data != NULL)
        OPENSSL_cleanse(b->data, b->room);
    buf_clear(b);
}

struct rc s3_cred_box_read_line(const struct fsys *fs, const char *path, struct buf *out, struct err *err)
{
    size_t n;

    if (out->failed == E_OK)
        TRY(fsys_read_file(fs, path, out, err));
    TRY(buf_check(out, path, err));
    for (n = out->size; n > 0 && out->data[n - 1] <= ' '; n--)
        ;
    buf_trim(out, n);
    if (n == 0)
        return rc_raise(err, E_CORRUPT, "%s is empty", path);
    for (size_t i = 0; i < n; i++) {
        if (out->data[i] <= ' ' || out->data[i] > '~')
            return rc_raise(err, E_CORRUPT, "%s holds something else than a token in one line", path);
    }
    return RC_OK;
}
