/* SPDX-License-Identifier: Apache-2.0 */
#include "local_fmt.h"

#include "alloc.h"
#include "digest.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

enum {
    MAGIC_SIZE = 8,
    VERSION = 1,
    HASH_SIZE = 8,
    FLAG_RESTORED = 1,
    FLAG_CHOSEN = 2,
    FLAG_FOLLOWED = 4,
    FLAGS = FLAG_RESTORED | FLAG_CHOSEN | FLAG_FOLLOWED,
    HASH_BLOCK_ENTRIES = 1024, /* hashed at once */
};

static const char current_magic[] = "weir-cur", pages_magic[] = "weir-pgs", log_magic[] = "weir-log";

/* --- what all files have ---------------------------------------------------------------------------------------- */

static void put_head(struct buf *out, const char *magic, uint64_t id)
{
    buf_put(out, magic, MAGIC_SIZE);
    buf_u32(out, VERSION);
    buf_u32(out, 0); /* features that a reader must know: none so far */
    buf_u64(out, id);
}

static struct rc get_head(struct cursor *c, const char *magic, const char *what, uint64_t *id, struct err *err)
{
    struct span found = cursor_bytes(c, MAGIC_SIZE);
    uint32_t version = cursor_u32(c), features = cursor_u32(c);

    *id = cursor_u64(c);
    if (c->bad || memcmp(found.data, magic, MAGIC_SIZE) != 0)
        return rc_raise(err, E_CORRUPT, "%s: not such a file, it does not begin with \"%s\"", what, magic);
    if (version != VERSION)
        return rc_raise(err, E_UNSUPPORTED, "%s: has version %u, known is %u", what, version, (unsigned)VERSION);
    if (features != 0)
        return rc_raise(err, E_UNSUPPORTED, "%s: needs features 0x%x, which are not known", what, features);
    return RC_OK;
}

static uint64_t get_u64(const uint8_t *at)
{
    uint64_t v;

    memcpy(&v, at, sizeof v);
    return le64toh(v);
}

/* All but the last 8 bytes are covered by them. */
static bool hash_holds(struct span bytes)
{
    return bytes.size >= HASH_SIZE
           && digest_bytes(bytes.data, bytes.size - HASH_SIZE) == get_u64(bytes.data + bytes.size - HASH_SIZE);
}

static void put_hash(struct buf *out)
{
    if (out->failed == E_OK)
        buf_u64(out, digest_bytes(out->data, out->size));
}

/* --- current ---------------------------------------------------------------------------------------------------- */

bool local_fmt_pos_ok(const struct pos *pos)
{
    struct cursor c;
    struct pos back;
    struct buf b;
    bool ok;

    buf_init(&b, POS_ENCODED_SIZE);
    pos_encode(pos, &b);
    c = cursor_of(buf_span(&b));
    pos_decode(&c, &back);
    ok = b.failed == E_OK && !c.bad;
    buf_fini(&b);
    return ok;
}

void local_fmt_encode_current(const struct local_fmt_current *c, struct buf *out)
{
    const struct local_state_content *content = &c->content;

    assert(c->id != 0);
    assert(content->run_count <= LOCAL_STATE_RUNS_MAX);
    buf_clear(out);
    put_head(out, current_magic, c->id);
    buf_u64(out, c->pages_hash);
    buf_put(out, content->database.bytes, sizeof content->database.bytes);
    buf_u32(out, (content->restored ? FLAG_RESTORED : 0u) | (content->chosen ? FLAG_CHOSEN : 0u)
                     | (content->followed ? FLAG_FOLLOWED : 0u));
    buf_u32(out, (uint32_t)content->run_count);
    buf_u64(out, 0); /* reserved */
    pos_encode(&content->pos, out);
    for (size_t i = 0; i < content->run_count; i++)
        buf_put(out, content->runs[i].bytes, sizeof content->runs[i].bytes);
    put_hash(out);
}

static struct nonce get_nonce(struct cursor *c)
{
    struct nonce n = {{0}};
    struct span bytes = cursor_bytes(c, sizeof n.bytes);

    if (bytes.size == sizeof n.bytes)
        memcpy(n.bytes, bytes.data, sizeof n.bytes);
    return n;
}

struct rc local_fmt_decode_current(struct span bytes, struct local_fmt_current *out, struct err *err)
{
    static const char what[] = "current";
    struct local_fmt_current cur = {0};
    struct cursor c = cursor_of(bytes);
    uint32_t flags, run_count;
    uint64_t reserved;

    TRY(get_head(&c, current_magic, what, &cur.id, err));
    if (!hash_holds(bytes))
        return rc_raise(err, E_CORRUPT, "%s: hash of the content is wrong", what);
    cur.pages_hash = cursor_u64(&c);
    cur.content.database = get_nonce(&c);
    flags = cursor_u32(&c);
    run_count = cursor_u32(&c);
    reserved = cursor_u64(&c);
    pos_decode(&c, &cur.content.pos);
    if (run_count > LOCAL_STATE_RUNS_MAX || (flags & ~(uint32_t)FLAGS) != 0 || reserved != 0 || cur.id == 0)
        return rc_raise(err, E_CORRUPT, "%s: %u runs, flags 0x%x", what, run_count, flags);
    cur.content.restored = (flags & FLAG_RESTORED) != 0;
    cur.content.chosen = (flags & FLAG_CHOSEN) != 0;
    cur.content.followed = (flags & FLAG_FOLLOWED) != 0;
    cur.content.run_count = run_count;
    for (uint32_t i = 0; i < run_count; i++)
        cur.content.runs[i] = get_nonce(&c);
    (void)cursor_u64(&c); /* the hash, seen above */
    TRY(cursor_finish(&c, what, err));
    *out = cur;
    return RC_OK;
}

/* --- pages ------------------------------------------------------------------------------------------------------ */

static void put_pages_fields(uint64_t id, uint32_t count, struct buf *out)
{
    put_head(out, pages_magic, id);
    buf_u32(out, count);
    buf_u32(out, 0); /* reserved */
}

uint64_t local_fmt_pages_hash(uint64_t id, const struct page_hash *hashes)
{
    CLEANUP(mem_freep) uint64_t *block = mem_new(HASH_BLOCK_ENTRIES * sizeof *block);
    struct digest *digest = digest_new();
    uint32_t count = page_hash_count(hashes);
    struct buf head;
    uint64_t hash;

    buf_init(&head, LOCAL_FMT_PAGES_HEADER_SIZE);
    put_pages_fields(id, count, &head);
    assert(head.failed == E_OK);
    digest_update(digest, head.data, head.size);
    for (uint32_t index = 0, n; index < count; index += n) {
        n = count - index < HASH_BLOCK_ENTRIES ? count - index : HASH_BLOCK_ENTRIES;
        for (uint32_t i = 0; i < n; i++)
            block[i] = htole64(page_hash_get(hashes, index + i + 1));
        digest_update(digest, block, n * sizeof *block);
    }
    hash = digest_value(digest);
    digest_free(digest);
    buf_fini(&head);
    return hash;
}

void local_fmt_encode_pages_header(uint64_t id, uint32_t count, uint64_t hash, struct buf *out)
{
    buf_clear(out);
    put_pages_fields(id, count, out);
    buf_u64(out, hash);
}

struct rc local_fmt_decode_pages_header(struct span bytes, uint64_t id, uint32_t count, uint64_t hash, struct err *err)
{
    static const char what[] = "page hashes";
    struct cursor c = cursor_of(bytes);
    uint32_t found_count, reserved;
    uint64_t found_id, found_hash;

    TRY(get_head(&c, pages_magic, what, &found_id, err));
    found_count = cursor_u32(&c);
    reserved = cursor_u32(&c);
    found_hash = cursor_u64(&c);
    TRY(cursor_finish(&c, what, err));
    if (found_id != id || found_hash != hash || reserved != 0)
        return rc_raise(err, E_CORRUPT, "%s: not the file that was written with this checkpoint", what);
    if (found_count != count)
        return rc_raise(err, E_CORRUPT, "%s: of %u pages, the position has %u", what, found_count, count);
    return RC_OK;
}

/* --- the log ---------------------------------------------------------------------------------------------------- */

void local_fmt_encode_log_header(uint64_t id, struct buf *out, uint64_t *chain)
{
    buf_clear(out);
    put_head(out, log_magic, id);
    put_hash(out);
    assert(out->failed != E_OK || out->size == LOCAL_FMT_LOG_HEADER_SIZE);
    if (out->failed == E_OK)
        *chain = get_u64(out->data + out->size - HASH_SIZE);
}

struct rc local_fmt_decode_log_header(struct span bytes, uint64_t id, uint64_t *chain, struct err *err)
{
    static const char what[] = "log";
    struct cursor c = cursor_of(bytes);
    uint64_t found_id, hash;

    TRY(get_head(&c, log_magic, what, &found_id, err));
    hash = cursor_u64(&c);
    TRY(cursor_finish(&c, what, err));
    if (!hash_holds(bytes))
        return rc_raise(err, E_CORRUPT, "%s: hash of the header is wrong", what);
    if (found_id != id)
        return rc_raise(err, E_CORRUPT, "%s: not the file that was written with this checkpoint", what);
    *chain = hash;
    return RC_OK;
}

void local_fmt_put_entry(struct buf *entries, uint32_t pgno, uint64_t hash)
{
    buf_u32(entries, pgno);
    buf_u64(entries, hash);
}

void local_fmt_get_entry(struct span entries, size_t index, uint32_t *pgno, uint64_t *hash)
{
    struct cursor c = cursor_of(entries);

    (void)cursor_bytes(&c, index * LOCAL_FMT_ENTRY_SIZE);
    *pgno = cursor_u32(&c);
    *hash = cursor_u64(&c);
    assert(!c.bad);
}

static void put_payload(const struct local_fmt_record *record, struct buf *out)
{
    switch (record->type) {
    case LOCAL_FMT_PAGES:
        assert(record->entries.size > 0);
        assert(record->entries.size <= LOCAL_FMT_ENTRIES_MAX * LOCAL_FMT_ENTRY_SIZE);
        buf_put(out, record->entries.data, record->entries.size);
        break;
    case LOCAL_FMT_POSITION:
        buf_u64(out, record->mark);
        pos_encode(&record->pos, out);
        break;
    case LOCAL_FMT_RUN:
        buf_put(out, record->run.bytes, sizeof record->run.bytes);
        break;
    case LOCAL_FMT_SESSION:
        buf_u64(out, record->mark);
        buf_u64(out, record->salt);
        break;
    }
}

void local_fmt_encode_record(const struct local_fmt_record *record, uint64_t *chain, struct buf *out)
{
    size_t size_at, begin;
    uint32_t size;

    buf_clear(out);
    buf_u64(out, *chain);
    buf_u32(out, (uint32_t)record->type);
    size_at = out->size;
    buf_u32(out, 0); /* patched below */
    begin = out->size;
    put_payload(record, out);
    if (out->failed != E_OK)
        return;
    size = htole32((uint32_t)(out->size - begin));
    memcpy(out->data + size_at, &size, sizeof size);
    put_hash(out);
    if (out->failed == E_OK)
        *chain = get_u64(out->data + out->size - HASH_SIZE);
}

static struct rc check_entries(struct span entries, struct err *err)
{
    struct cursor c = cursor_of(entries);

    if (entries.size == 0 || entries.size % LOCAL_FMT_ENTRY_SIZE != 0)
        return rc_raise(err, E_CORRUPT, "log: record of pages with %zu bytes", entries.size);
    while (cursor_left(&c) > 0) {
        uint32_t pgno = cursor_u32(&c);

        (void)cursor_u64(&c);
        if (pgno == 0 || pgno > DBFMT_PAGE_COUNT_MAX)
            return rc_raise(err, E_CORRUPT, "log: record of page number %u", pgno);
    }
    return RC_OK;
}

static struct rc get_payload(uint32_t type, struct span payload, struct local_fmt_record *out, struct err *err)
{
    struct cursor c = cursor_of(payload);

    *out = (struct local_fmt_record){.type = (enum local_fmt_type)type};
    switch (type) {
    case LOCAL_FMT_PAGES:
        out->entries = payload;
        return check_entries(payload, err);
    case LOCAL_FMT_POSITION:
        out->mark = cursor_u64(&c);
        pos_decode(&c, &out->pos);
        break;
    case LOCAL_FMT_RUN:
        out->run = get_nonce(&c);
        break;
    case LOCAL_FMT_SESSION:
        out->mark = cursor_u64(&c);
        out->salt = cursor_u64(&c);
        break;
    default:
        return rc_raise(err, E_CORRUPT, "log: record of type %u", type);
    }
    return cursor_finish(&c, "log: record", err);
}

struct rc local_fmt_decode_record(struct span bytes, struct local_fmt_record *out, size_t *size_out, struct err *err)
{
    struct cursor c = cursor_of(bytes);
    struct local_fmt_record record;
    uint32_t type, size;
    struct span payload;

    *size_out = 0;
    (void)cursor_u64(&c); /* the chain */
    type = cursor_u32(&c);
    size = cursor_u32(&c);
    if (c.bad || size > LOCAL_FMT_ENTRIES_MAX * LOCAL_FMT_ENTRY_SIZE)
        return RC_OK;
    payload = cursor_bytes(&c, size);
    (void)cursor_u64(&c); /* the hash */
    if (c.bad || !hash_holds(span_of(bytes.data, bytes.size - cursor_left(&c))))
        return RC_OK;
    TRY(get_payload(type, payload, &record, err));
    *out = record;
    *size_out = 8 + (size_t)size + HASH_SIZE;
    return RC_OK;
}
