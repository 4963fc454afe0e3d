/* SPDX-License-Identifier: Apache-2.0 */
#include "store_s3_same.h"

#include "s3_sign.h"
#include "store_s3_upload.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

enum { MD5_SIZE = 16, HEX_SIZE = 2 * MD5_SIZE };

/* --- the ETag ----------------------------------------------------------------------------------------------------- */

static size_t without_quotes(const char **etag)
{
    size_t n = strlen(*etag);

    if (n >= 2 && (*etag)[0] == '"' && (*etag)[n - 1] == '"') {
        (*etag)++;
        n -= 2;
    }
    return n;
}

static unsigned digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static bool put_digest(const char *etag, struct buf *out)
{
    size_t n = without_quotes(&etag);

    if (n != HEX_SIZE || strspn(etag, "0123456789abcdef") < HEX_SIZE)
        return false;
    for (size_t i = 0; i < HEX_SIZE; i += 2)
        buf_u8(out, (uint8_t)(digit(etag[i]) * 16 + digit(etag[i + 1])));
    return true;
}

/* "<MD5 of the parts' MD5s>-<number of parts>". */
static bool proves(const struct s3_op *op, const char *etag)
{
    CLEANUP(buf_fini) struct buf digests;
    const uint32_t count = op->req->part;
    char want[HEX_SIZE + 16];
    uint8_t md5[EVP_MAX_MD_SIZE];
    size_t n = without_quotes(&etag);

    buf_init(&digests, (size_t)STORE_S3_PARTS_MAX * MD5_SIZE);
    for (uint32_t i = 0; i < count; i++)
        if (!put_digest(op->upload->parts[i].etag, &digests))
            return false;
    if (digests.failed != E_OK || EVP_Digest(digests.data, digests.size, md5, NULL, EVP_md5(), NULL) != 1)
        return false;
    for (size_t i = 0; i < MD5_SIZE; i++)
        (void)snprintf(want + 2 * i, 3, "%02x", md5[i]);
    (void)snprintf(want + HEX_SIZE, sizeof want - HEX_SIZE, "-%" PRIu32, count);
    return strlen(want) == n && strncmp(etag, want, n) == 0;
}

/* --- the bytes ---------------------------------------------------------------------------------------------------- */

static void read_part(struct s3_op *op);

static void end(struct s3_op *op, struct rc rc, bool same)
{
    op->same_done(op, rc, same);
}

static void on_part(struct s3_op *op)
{
    const struct s3_upload_part *part = &op->upload->parts[op->same_part];
    const struct buf *there = &op->call.http.data;
    char md5[S3_SIGN_MD5_SIZE];
    struct rc rc = store_s3_result(op);

    if (rc_failed(rc)) {
        end(op, rc, false);
        return;
    }
    s3_sign_md5(buf_span(there), md5);
    if (there->size != part->size || md5[0] == 0 || strcmp(md5, part->md5) != 0)
        end(op, RC_OK, false);
    else if (++op->same_part == op->req->part)
        end(op, RC_OK, true);
    else
        read_part(op);
}

static void read_part(struct s3_op *op)
{
    const struct s3_upload *u = op->upload;
    const uint64_t first = (uint64_t)op->same_part * u->part_size;

    store_s3_call(op, STORE_GET, "GET", op->same_key);
    op->call.answer_max = u->part_size;
    s3_call_header(&op->call, "range", "bytes=%" PRIu64 "-%" PRIu64, first, first + u->parts[op->same_part].size - 1);
    store_s3_add_customer_key(op->store, &op->call, false);
    store_s3_send(op, on_part);
}

static void on_head(struct s3_op *op)
{
    struct rc rc = store_s3_result(op);
    char etag[STORE_ETAG_SIZE];
    uint64_t size = 0, want = 0;

    if (!rc_failed(rc))
        rc = store_s3_head_size(&op->call, &size, &op->req->err);
    store_s3_take_etag(&op->call, etag);
    for (uint32_t i = 0; i < op->req->part; i++)
        want += op->upload->parts[i].size;
    if (rc_failed(rc) || size != want)
        end(op, rc, false);
    else if (proves(op, etag))
        end(op, RC_OK, true);
    else
        read_part(op);
}

void store_s3_same_run(struct s3_op *op, const char *key, void (*done)(struct s3_op *op, struct rc rc, bool same))
{
    op->same_key = key;
    op->same_part = 0;
    op->same_done = done;
    store_s3_call(op, STORE_HEAD, "HEAD", key);
    store_s3_add_customer_key(op->store, &op->call, false);
    store_s3_send(op, on_head);
}
