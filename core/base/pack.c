/* SPDX-License-Identifier: Apache-2.0 */
#include "pack.h"

#include "digest.h"

#include <assert.h>
#include <string.h>

enum { MAGIC_SIZE = 8, HASHED_SIZE = 48 };

static const struct {
    char magic[MAGIC_SIZE + 1];
    const char *name;
} kinds[] = {
    [PACK_SEGMENT] = {"weirseg ", "a segment"},
    [PACK_SEAL] = {"weirseal", "a seal"},
    [PACK_SNAPSHOT] = {"weirsnap", "a snapshot"},
    [PACK_PART] = {"weirpart", "a part"},
    [PACK_FOLD] = {"weirfold", "a fold"},
};
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };

void pack_put_header(struct buf *out, const struct pack_header *h)
{
    assert(out->size == 0); /* the trailer covers the buffer from its begin */
    assert((unsigned)h->kind < KIND_COUNT);
    buf_put(out, kinds[h->kind].magic, MAGIC_SIZE);
    buf_u16(out, PACK_VERSION);
    buf_u16(out, h->required);
    buf_u16(out, h->optional);
    buf_u16(out, PACK_HEADER_SIZE);
    buf_put(out, h->database.bytes, sizeof h->database.bytes);
    buf_put(out, h->writer.bytes, sizeof h->writer.bytes);
    if (out->failed == E_OK) {
        assert(out->size == HASHED_SIZE);
        buf_u64(out, digest_bytes(out->data, HASHED_SIZE));
    }
}

void pack_put_trailer(struct buf *out)
{
    if (out->failed != E_OK)
        return;
    assert(out->size >= PACK_HEADER_SIZE);
    buf_u64(out, digest_bytes(out->data, out->size));
}

struct rc pack_kind_of(struct span head, enum pack_kind *out, struct err *err)
{
    if (head.size < MAGIC_SIZE)
        return rc_raise(err, E_CORRUPT, "object header: %zu bytes are too few", head.size);
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (memcmp(head.data, kinds[i].magic, MAGIC_SIZE) == 0) {
            *out = (enum pack_kind)i;
            return RC_OK;
        }
    return rc_raise(err, E_CORRUPT, "object header: not an object of weir");
}

static uint64_t header_hash(struct span head, size_t size)
{
    struct digest *d;
    uint64_t hash;

    if (size == PACK_HEADER_SIZE)
        return digest_bytes(head.data, HASHED_SIZE);
    d = digest_new();
    digest_update(d, head.data, HASHED_SIZE);
    digest_update(d, head.data + PACK_HEADER_SIZE, size - PACK_HEADER_SIZE);
    hash = digest_value(d);
    digest_free(d);
    return hash;
}

static struct nonce read_nonce(struct cursor *c)
{
    struct span bytes = cursor_bytes(c, sizeof(struct nonce));
    struct nonce n = {{0}};

    if (bytes.size == sizeof n.bytes)
        memcpy(n.bytes, bytes.data, sizeof n.bytes);
    return n;
}

/* What the bytes say, and that they are undamaged.  The hash comes before any judgement of version and features: a
 * flipped bit must not be taken for the work of a newer weir. */
static struct rc read_header(struct span head, struct pack_header *h, struct err *err)
{
    struct cursor c = cursor_of(head);
    uint64_t hash;

    TRY(pack_kind_of(head, &h->kind, err));
    (void)cursor_bytes(&c, MAGIC_SIZE);
    h->version = cursor_u16(&c);
    h->required = cursor_u16(&c);
    h->optional = cursor_u16(&c);
    h->size = cursor_u16(&c);
    h->database = read_nonce(&c);
    h->writer = read_nonce(&c);
    hash = cursor_u64(&c);
    TRY(cursor_check(&c, "object header", err));
    if (h->size < PACK_HEADER_SIZE)
        return rc_raise(err, E_CORRUPT, "object header: claims a size of %u bytes", (unsigned)h->size);
    if (h->size > head.size)
        return rc_raise(err, E_CORRUPT, "object header: %zu of %u bytes", head.size, (unsigned)h->size);
    if (hash != header_hash(head, h->size))
        return rc_raise(err, E_CORRUPT, "object header: checksum mismatch");
    return RC_OK;
}

struct rc pack_decode_header(
    struct span head, enum pack_kind kind, uint16_t known, struct pack_header *out, struct err *err)
{
    struct pack_header h = {0};
    unsigned unknown;

    TRY(read_header(head, &h, err));
    if (h.kind != kind)
        return rc_raise(
            err, E_CORRUPT, "object header: %s where %s was expected", kinds[h.kind].name, kinds[kind].name);
    if (h.version == 0)
        return rc_raise(err, E_CORRUPT, "object header: version 0");
    if (h.version > PACK_VERSION)
        return rc_raise(err, E_UNSUPPORTED, "object header: format version %u needs a newer weir", (unsigned)h.version);
    unknown = h.required & ~(unsigned)known;
    if (unknown != 0)
        return rc_raise(err, E_UNSUPPORTED, "object header: feature bits 0x%x need a newer weir", unknown);
    *out = h;
    return RC_OK;
}

struct rc pack_open(struct span object, enum pack_kind kind, uint16_t known, struct pack_header *out, struct span *body,
    struct err *err)
{
    struct pack_header h;
    struct cursor tail;
    size_t end;

    TRY(pack_decode_header(object, kind, known, &h, err));
    if (object.size < (size_t)h.size + PACK_TRAILER_SIZE)
        return rc_raise(err, E_CORRUPT, "object: cut short at %zu bytes", object.size);
    end = object.size - PACK_TRAILER_SIZE;
    tail = cursor_of(span_of(object.data + end, PACK_TRAILER_SIZE));
    if (cursor_u64(&tail) != digest_bytes(object.data, end))
        return rc_raise(err, E_CORRUPT, "object: checksum mismatch over %zu bytes", object.size);
    *out = h;
    *body = span_of(object.data + h.size, end - h.size);
    return RC_OK;
}
