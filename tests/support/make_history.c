/* SPDX-License-Identifier: Apache-2.0 */
#include "make_history.h"

#include "digest.h"
#include "must.h"
#include "seal.h"
#include "snap_frame.h"
#include "snap_writer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST_OK(rc) MUST(!rc_failed(rc))

enum { OBJECT_MAX = 256 << 20 };

static void put(const struct make_history *h, const char *key, const struct buf *bytes)
{
    const struct fsys *fs = &fsys_real;
    char path[1024], folder[1024];
    struct err err;
    int fd;

    (void)snprintf(path, sizeof path, "%s/%s", h->root, key);
    (void)snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = 0;
    MUST_OK(fsys_make_dirs(fs, folder, 0755, &err));
    MUST_OK(fsys_open(fs, path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, &err));
    MUST_OK(fsys_write_at(fs, fd, path, bytes->data, bytes->size, 0, &err));
    MUST(fs->close(fs, fd) == 0);
}

void make_history_init(struct make_history *h, const char *root, uint32_t page_size)
{
    struct layout_identity id = {.format = 1, .page_size = page_size, .created_ms = 1790000000000};
    struct buf json;
    struct err err;

    *h = (struct make_history){.root = root, .page_size = page_size, .time_ms = id.created_ms};
    h->database = nonce_new();
    h->writer = nonce_new();
    id.database = h->database;
    buf_init(&json, OBJECT_MAX);
    MUST_OK(layout_identity_encode(&id, &json, &err));
    put(h, LAYOUT_IDENTITY, &json);
    buf_fini(&json);
}

void make_history_fini(struct make_history *h)
{
    MUST(h->encoder == NULL); /* somebody forgot make_history_cut() */
    for (size_t i = 0; i < h->count; i++)
        free(h->states[i].image);
    (void)sqlite3_close(h->db);
    free(h->db_path);
}

const struct make_history_state *make_history_find(const struct make_history *h, uint32_t timeline, uint64_t txid)
{
    const struct make_history_state *found = NULL;

    /* A parent has a lower number, and its commits behind the fork are older than the child's. */
    for (size_t i = 0; i < h->count; i++)
        if (h->states[i].txid == txid && h->states[i].timeline <= timeline)
            found = &h->states[i];
    return found;
}

void make_history_timeline(struct make_history *h, uint32_t parent, uint64_t fork_txid)
{
    struct layout_origin o = {.timeline = h->timeline + 1,
        .parent = parent,
        .fork_txid = fork_txid,
        .database = h->database,
        .writer = h->writer,
        .host = "test",
        .pid = 1,
        .path = "/data/app.db",
        .time_ms = h->time_ms};
    const struct make_history_state *fork = make_history_find(h, parent, fork_txid);
    layout_text key;
    struct buf json;
    struct err err;

    MUST(h->encoder == NULL);
    MUST(fork != NULL || fork_txid == 0);
    if (fork != NULL) {
        o.fork_checksum = fork->checksum;
        h->now = (size_t)(fork - h->states);
    }
    h->timeline++;
    buf_init(&json, OBJECT_MAX);
    MUST_OK(layout_origin_encode(&o, &json, &err));
    layout_timeline(key, h->timeline);
    put(h, key, &json);
    buf_fini(&json);
}

static uint64_t checksum_of(const struct make_history *h, const uint8_t *image, uint32_t page_count)
{
    uint64_t sum = 0;

    for (uint32_t p = 1; p <= page_count; p++)
        sum ^= digest_page(p, image + (size_t)(p - 1) * h->page_size, h->page_size);
    return sum;
}

static void take_parts(struct make_history *h)
{
    struct buf part;
    uint32_t number;
    layout_text key;

    buf_init(&part, OBJECT_MAX);
    while (seg_enc_take_part(h->encoder, &part, &number)) {
        layout_part(key, h->timeline, h->segment_first, &h->writer, number);
        put(h, key, &part);
        h->parts++;
    }
    buf_fini(&part);
}

static void encode_pages(struct make_history *h, const struct make_history_state *old, const uint8_t *image, uint32_t n)
{
    struct err err;

    for (uint32_t p = 1; p <= n; p++) {
        size_t at = (size_t)(p - 1) * h->page_size;
        const uint8_t *base = old != NULL && p <= old->page_count ? old->image + at : NULL;

        if (base != NULL && memcmp(base, image + at, h->page_size) == 0)
            continue;
        MUST_OK(seg_enc_page(h->encoder, p, image + at, base, &err));
        take_parts(h);
    }
}

void make_history_commit(struct make_history *h, const uint8_t *image, uint32_t page_count, uint32_t flags)
{
    const struct make_history_state *old = h->count > 0 ? &h->states[h->now] : NULL;
    struct make_history_state s = {.timeline = h->timeline,
        .txid = old != NULL ? old->txid + 1 : 1,
        .time_ms = h->time_ms,
        .checksum = checksum_of(h, image, page_count),
        .page_count = page_count,
        .first = (flags & SEG_SNAPSHOT) != 0};
    struct seg_commit commit = {.txid = s.txid,
        .time_ms = s.time_ms,
        .page_count = page_count,
        .flags = flags,
        .checksum = s.checksum ^ h->lie};
    struct err err;

    MUST(h->count < MAKE_HISTORY_STATES_MAX);
    MUST(h->timeline > 0);
    if (h->encoder == NULL) {
        struct seg_enc_opts opts = {
            h->database, h->writer, h->timeline, h->page_size, s.txid - 1, old != NULL ? old->checksum : 0};

        h->encoder = seg_enc_new(&opts);
        h->segment_first = s.txid;
    }
    if ((flags & SEG_SNAPSHOT) == 0)
        encode_pages(h, old, image, page_count);
    MUST_OK(seg_enc_commit(h->encoder, &commit, &err));
    take_parts(h);
    s.image = malloc((size_t)page_count * h->page_size);
    MUST(s.image != NULL);
    memcpy(s.image, image, (size_t)page_count * h->page_size);
    h->now = h->count;
    h->states[h->count++] = s;
    h->time_ms += MAKE_HISTORY_STEP_MS;
    if ((flags & SEG_SNAPSHOT) != 0)
        make_history_cut(h);
}

static void run_sql(struct make_history *h, const char *sql)
{
    char *msg = NULL;

    if (sqlite3_exec(h->db, sql, NULL, NULL, &msg) != SQLITE_OK) {
        (void)fprintf(stderr, "%s: %s\n", sql, msg);
        abort();
    }
}

static void open_db(struct make_history *h)
{
    size_t n = strlen(h->root) + 16;
    char pragma[64];

    h->db_path = malloc(n);
    MUST(h->db_path != NULL);
    (void)snprintf(h->db_path, n, "%s-source.db", h->root);
    MUST(sqlite3_open(h->db_path, &h->db) == SQLITE_OK);
    (void)snprintf(pragma, sizeof pragma, "PRAGMA page_size=%u", h->page_size);
    run_sql(h, pragma);
    /* The header of a database in WAL mode, as weir's are; the content is in the file after each checkpoint. */
    run_sql(h, "PRAGMA journal_mode=WAL");
}

void make_history_sql(struct make_history *h, const char *sql, uint32_t flags)
{
    sqlite3_int64 size = 0;
    unsigned char *image;

    if (h->db == NULL)
        open_db(h);
    run_sql(h, sql);
    image = sqlite3_serialize(h->db, "main", &size, 0);
    MUST(image != NULL);
    make_history_commit(h, image, (uint32_t)(size / h->page_size), flags);
    sqlite3_free(image);
}

void make_history_cut(struct make_history *h)
{
    struct buf object;
    struct err err;
    layout_text key;

    if (h->encoder == NULL)
        return;
    buf_init(&object, OBJECT_MAX);
    MUST_OK(seg_enc_finish(h->encoder, &object, &err));
    layout_log(key, h->timeline, h->segment_first);
    put(h, key, &object);
    buf_fini(&object);
    seg_enc_free(h->encoder);
    h->encoder = NULL;
}

/* Pages that are not in the base, or not like this. */
static bool differs(const struct make_history *h, const struct make_history_state *base,
    const struct make_history_state *s, uint32_t pgno)
{
    size_t at = (size_t)(pgno - 1) * h->page_size;

    return base == NULL || pgno > base->page_count || memcmp(base->image + at, s->image + at, h->page_size) != 0;
}

static uint64_t zero_hash(const struct make_history *h, uint32_t pgno)
{
    uint8_t *page = calloc(1, h->page_size);
    uint64_t hash;

    MUST(page != NULL);
    hash = digest_page(pgno, page, h->page_size);
    free(page);
    return hash;
}

static void add_frames(const struct make_history *h, struct snap_writer *w, const struct make_history_state *base,
    const struct make_history_state *s, struct buf *object)
{
    const uint32_t most = snap_frame_pages(h->page_size);
    uint8_t *pages = malloc((size_t)most * h->page_size);
    struct zstr_enc *z = zstr_enc_new(SNAP_FRAME_LEVEL);
    uint32_t pgnos[SNAP_FRAME_PAGES_MAX], n = 0;
    struct err err;

    MUST(pages != NULL);
    for (uint32_t p = 1; p <= s->page_count; p++) {
        if (differs(h, base, s, p)) {
            memcpy(pages + (size_t)n * h->page_size, s->image + (size_t)(p - 1) * h->page_size, h->page_size);
            pgnos[n++] = p;
        }
        if (n == most || (n > 0 && p == s->page_count)) {
            struct snap_frame frame = {0};

            MUST_OK(snap_frame_encode(z, h->page_size, pgnos, pages, n, &frame, &err));
            for (uint32_t i = 0; h->wrong_hash > 0 && i < n; i++)
                if (pgnos[i] == h->wrong_hash) /* that of a page of zeros */
                    frame.page_hashes[i] = zero_hash(h, pgnos[i]);
            MUST_OK(snap_writer_add(w, &frame, object, &err));
            snap_frame_fini(&frame);
            n = 0;
        }
    }
    zstr_enc_free(z);
    free(pages);
}

static void add_hashes(struct snap_writer *w, uint32_t page_count, struct buf *object)
{
    struct zstr_enc *z = zstr_enc_new(SNAP_FRAME_LEVEL);
    struct err err;

    for (bool more = true; more;)
        MUST_OK(snap_writer_hashes(w, z, page_count, object, &more, &err));
    zstr_enc_free(z);
}

/* `base` NULL: a snapshot. */
static void put_pages(struct make_history *h, unsigned level, const struct make_history_state *base,
    const struct make_history_state *s, int64_t time_ms)
{
    struct snap_meta meta = {.database = h->database,
        .writer = h->writer,
        .timeline = h->timeline,
        .txid = s->txid,
        .time_ms = s->time_ms,
        .page_size = h->page_size,
        .page_count = s->page_count,
        .checksum = s->checksum,
        .level = level};
    struct snap_writer *w = snap_writer_new(&h->database, &h->writer, h->page_size);
    struct buf object;
    layout_text key;
    struct err err;

    if (base != NULL) {
        meta.base_txid = base->txid;
        meta.base_checksum = base->checksum;
        snap_writer_partial(w);
        layout_merge(key, h->timeline, level, base->txid, s->txid, time_ms);
    } else {
        layout_snapshot(key, h->timeline, s->txid, time_ms);
    }
    buf_init(&object, OBJECT_MAX);
    if (h->hashed)
        snap_writer_hashing(w, NULL);
    add_frames(h, w, base, s, &object);
    if (h->hashed)
        add_hashes(w, s->page_count, &object);
    MUST_OK(snap_writer_finish(w, &meta, &object, &err));
    put(h, key, &object);
    buf_fini(&object);
    snap_writer_free(w);
}

void make_history_snapshot_of(struct make_history *h, const struct make_history_state *s, int64_t time_ms)
{
    put_pages(h, 0, NULL, s, time_ms);
}

void make_history_merge(struct make_history *h, unsigned level, const struct make_history_state *base,
    const struct make_history_state *s, int64_t time_ms)
{
    put_pages(h, level, base, s, time_ms);
}

void make_history_snapshot(struct make_history *h)
{
    make_history_cut(h);
    make_history_snapshot_of(h, &h->states[h->now], h->states[h->now].time_ms);
}

void make_history_seal(struct make_history *h, uint32_t successor)
{
    struct seal seal = {.pack = {.kind = PACK_SEAL, .database = h->database, .writer = h->writer},
        .timeline = h->timeline,
        .successor = successor,
        .txid = h->states[h->now].txid + 1,
        .time_ms = h->time_ms,
        .owner = "test"};
    struct buf object;
    layout_text key;
    struct err err;

    MUST(h->encoder == NULL);
    buf_init(&object, OBJECT_MAX);
    MUST_OK(seal_encode(&seal, &object, &err));
    layout_log(key, h->timeline, seal.txid);
    put(h, key, &object);
    buf_fini(&object);
}
