/* SPDX-License-Identifier: Apache-2.0 */
#include "restore_reuse.h"

#include "alloc.h"
#include "local_state.h"
#include "restore_local.h"
#include "snap_hashes.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEFT, /* what an earlier restore left */
    OLD,  /* the database that is to be replaced */
    FILES,
    STATE_TIME = -1,      /* in place of a snapshot's time; keys cannot have it */
    TABLE_SIZE = 4 << 20, /* bytes of page hashes in one request */
};

/* The state that a file says it holds. */
struct claim {
    bool made, proven;
    struct nonce database;
    uint32_t timeline;
    uint64_t txid, checksum;
    uint32_t page_size, page_count;
};

struct restore_reuse {
    struct image_left left; /* its descriptor, until the image has it */
    struct restore_local files[FILES];
    struct claim claims[FILES];
};

static bool is_usable(const struct restore_job *j, size_t i)
{
    return j->reuse != NULL && !j->no_reuse && (j->reuse->files[i].fd >= 0 || j->reuse->files[i].in_image);
}

/* --- the files -----------------------------------------------------------------------------------------------------
 */

static void open_left(struct restore_reuse *r, const struct fsys *fs, const char *target)
{
    struct image_left_note note = {0};
    struct err ignored;
    bool found = false;

    image_left_take(fs, target, &r->left);
    if (r->left.fd < 0)
        return;
    r->files[LEFT] =
        (struct restore_local){.fs = fs, .path = mem_strdup(r->left.path), .fd = r->left.fd, .size = r->left.size};
    rc_ignore(image_left_read_note(&r->left, &note, &found, &ignored), "it is only a hint");
    if (found)
        r->claims[LEFT] = (struct claim){
            true, false, note.database, note.timeline, note.txid, note.checksum, note.page_size, note.page_count};
}

static void open_old(struct restore_reuse *r, const struct restore_job *j, const char *target)
{
    CLEANUP(mem_freep) char *dir = local_place_dir(j->opts->output, j->opts->state_base);
    struct local_state_content content = {0};
    enum local_state_found found = LOCAL_STATE_NONE;
    const struct pos *p = &content.pos;
    struct err ignored;
    struct stat st;
    int fd;

    if (rc_failed(fsys_open(j->fs, target, O_RDONLY, 0, &fd, &ignored)))
        return;
    if (j->fs->fstat(j->fs, fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)j->fs->close(j->fs, fd); /* nothing was written */
        return;
    }
    r->files[OLD] =
        (struct restore_local){.fs = j->fs, .path = mem_strdup(target), .fd = fd, .size = (uint64_t)st.st_size};
    if (!rc_failed(local_state_peek(j->fs, dir, &content, &found, &ignored)) && found == LOCAL_STATE_GOOD)
        r->claims[OLD] = (struct claim){p->txid > 0 && dbfmt_page_size_ok(p->page_size), false, content.database,
            p->timeline, p->txid, p->checksum, p->page_size, p->page_count};
}

void restore_reuse_open(struct restore_job *j)
{
    struct restore_reuse *r = mem_new(sizeof *r);
    char real[PATH_MAX];
    const char *target = j->opts->output;

    r->left.fd = -1;
    for (size_t i = 0; i < FILES; i++)
        r->files[i].fd = -1;
    j->reuse = r;
    if (target == NULL) /* a dry run that only asks what there is */
        return;
    if (realpath(target, real) != NULL)
        target = real;
    open_left(r, j->fs, target);
    if (j->opts->in_place)
        open_old(r, j, target);
}

void restore_reuse_close(struct restore_job *j)
{
    struct restore_reuse *r = j->reuse;

    if (r == NULL)
        return;
    if (r->files[OLD].fd >= 0)
        (void)j->fs->close(j->fs, r->files[OLD].fd); /* nothing was written */
    for (size_t i = 0; i < FILES; i++)
        restore_local_fini(&r->files[i]);
    image_left_fini(&r->left);
    mem_free(r);
    j->reuse = NULL;
}

/* --- whole states --------------------------------------------------------------------------------------------------
 */

bool restore_reuse_is_state(const struct plan_base *b)
{
    return b->level == 0 && b->time_ms == STATE_TIME;
}

bool restore_reuse_is_key(const struct layout_key *k)
{
    return k->kind == LAYOUT_SNAPSHOT && k->time_ms == STATE_TIME;
}

/* Snapshots are in the order of their txids. */
static struct rc add_state(struct catalog_timeline *t, uint64_t txid, struct err *err)
{
    struct catalog_snapshot *at = mem_resize(t->snapshots, t->snapshot_count + 1, sizeof *at);
    size_t i = t->snapshot_count;

    if (at == NULL)
        return rc_raise(err, E_NOMEM, "list of %zu snapshots", t->snapshot_count + 1);
    t->snapshots = at;
    for (; i > 0 && at[i - 1].txid > txid; i--)
        at[i] = at[i - 1];
    at[i] = (struct catalog_snapshot){.txid = txid, .time_ms = STATE_TIME};
    t->snapshot_count++;
    return RC_OK;
}

static struct rc prove(struct restore_job *j, size_t i, struct err *err)
{
    struct restore_local *l = &j->reuse->files[i];
    struct claim *c = &j->reuse->claims[i];

    TRY(restore_local_hash(l, c->page_size, err));
    c->proven =
        c->page_count > 0 && c->page_count <= l->page_count && restore_local_checksum(l, c->page_count) == c->checksum;
    return RC_OK;
}

struct rc restore_reuse_offer(struct restore_job *j, uint64_t txid, struct err *err)
{
    const struct claim *other = NULL;

    for (size_t i = 0; i < FILES; i++) {
        struct claim *c = j->reuse != NULL ? &j->reuse->claims[i] : NULL;

        if (!is_usable(j, i) || !c->made || c->txid > txid || !j->database_known
            || !nonce_equal(&c->database, &j->database))
            continue;
        if (other != NULL && other->timeline == c->timeline && other->txid == c->txid)
            continue;
        TRY(prove(j, i, err));
        for (size_t k = 0; c->proven && k < j->catalog->timeline_count; k++)
            if (j->catalog->timelines[k].number == c->timeline) {
                TRY(add_state(&j->catalog->timelines[k], c->txid, err));
                other = c;
            }
    }
    return RC_OK;
}

/* --- the image -----------------------------------------------------------------------------------------------------
 */

/* What comes next may write to the image: from now on its file is no copy of any other. */
static void part_from_image(struct restore_job *j)
{
    for (size_t i = 0; j->reuse != NULL && i < FILES; i++)
        j->reuse->files[i].in_image = false;
}

struct rc restore_reuse_image(struct restore_job *j, uint32_t page_size, uint32_t page_count, struct err *err)
{
    struct restore_reuse *r = j->reuse;
    struct restore_local *old = r != NULL ? &r->files[OLD] : NULL;

    j->page_size = page_size;
    j->report->reused_bytes = 0; /* of an image that is gone */
    j->report->reused_txid = 0;
    part_from_image(j);
    if (!is_usable(j, LEFT) || r->left.fd < 0) {
        TRY(image_create(&j->image, j->fs, j->target, page_size, page_count, err));
        if (is_usable(j, OLD))
            TRY(image_clone(j->image, old->fd, &old->in_image, err));
        return RC_OK;
    }
    TRY(restore_local_hash(&r->files[LEFT], page_size, err)); /* before its size is changed */
    TRY(image_create_over(&j->image, j->target, &r->left, page_size, page_count, err));
    r->files[LEFT].in_image = true;
    r->files[LEFT].fd = -1;
    return RC_OK;
}

/* A row of pages that one file has. */
struct row {
    struct restore_job *job;
    const struct restore_local *from;
    uint32_t first, count;
    uint8_t *pages; /* owned; SNAP_FRAME_RAW_MAX */
};

static void row_fini(struct row *r)
{
    mem_free(r->pages);
}

/* Into the image.  *taken: false when the file has changed under us. */
static struct rc flush(struct row *r, bool *taken, struct err *err)
{
    struct image *im = r->job->image;
    const struct restore_local *l = r->from;

    *taken = true;
    if (r->count > 0 && im != NULL && !l->in_image) {
        restore_local_read(l, r->first, r->count, r->pages, taken);
        if (*taken)
            TRY(image_put(im, r->first, r->pages, r->count, err));
    }
    for (uint32_t i = 0; im != NULL && l->in_image && i < r->count; i++)
        TRY(image_keep(im, r->first + i, l->hashes[r->first + i - 1], err));
    if (*taken)
        r->job->report->reused_bytes += (uint64_t)r->count * r->job->page_size;
    r->count = 0;
    return RC_OK;
}

static struct rc load(struct restore_job *j, const struct claim *c, const struct restore_local *l, struct err *err)
{
    const uint32_t lock = dbfmt_lock_page(c->page_size), most = SNAP_FRAME_RAW_MAX / c->page_size;
    CLEANUP(row_fini) struct row row = {.job = j, .from = l, .pages = mem_new(SNAP_FRAME_RAW_MAX)};
    bool taken = true;

    for (uint32_t pgno = 1; pgno <= c->page_count && taken; pgno++) {
        if (pgno == lock || row.count == most)
            TRY(flush(&row, &taken, err));
        if (pgno == lock)
            continue;
        if (row.count++ == 0)
            row.first = pgno;
    }
    if (taken)
        TRY(flush(&row, &taken, err));
    part_from_image(j);
    if (!taken || image_checksum(j->image) != c->checksum)
        return rc_raise(err, E_CORRUPT, "%s has changed", l->path);
    return RC_OK;
}

struct rc restore_reuse_load(struct restore_job *j, const struct plan_base *b, struct err *err)
{
    for (size_t i = 0; i < FILES; i++) {
        const struct claim *c = j->reuse != NULL ? &j->reuse->claims[i] : NULL;

        if (!is_usable(j, i) || !c->proven || c->timeline != b->timeline || c->txid != b->txid)
            continue;
        TRY(restore_reuse_image(j, c->page_size, c->page_count, err));
        TRY(load(j, c, &j->reuse->files[i], err));
        j->txid = c->txid;
        j->timeline = c->timeline;
        j->checksum = c->checksum;
        j->database = c->database;
        j->report->reused_txid = c->txid;
        return RC_OK;
    }
    return rc_raise(err, E_CORRUPT, "the local file with txid %" PRIu64 " is of no use any more", b->txid);
}

/* --- single pages --------------------------------------------------------------------------------------------------
 */

/* Frames [begin, end) with page hashes, at most TABLE_SIZE of them. */
static struct rc take_frames(struct restore_job *j, const struct restore_source *s, struct snap_hashes *table,
    size_t begin, size_t end, struct err *err)
{
    const struct snap_index_frame first = snap_index_frame(s->index, begin), last = snap_index_frame(s->index, end - 1);
    const uint64_t size = last.offset + last.size - first.offset;
    CLEANUP(store_req_fini) struct store_req req = {0};
    struct span bytes;

    if (s->whole.size > 0) {
        bytes = span_of(s->whole.data + first.offset, (size_t)size);
    } else {
        TRY(restore_index_get(j, s, first.offset, size, &req, err));
        j->report->bytes_read += size;
        bytes = buf_span(&req.data);
    }
    for (size_t i = begin; i < end; i++) {
        struct snap_index_frame f = snap_index_frame(s->index, i);

        TRY(snap_hashes_take(table, i, span_of(bytes.data + (f.offset - first.offset), f.size), err));
    }
    return RC_OK;
}

/* *found: `out` has the hash of every page of the source. */
static struct rc read_table(
    struct restore_job *j, const struct restore_source *s, struct page_hash *out, bool *found, struct err *err)
{
    CLEANUP(snap_hashes_closep) struct snap_hashes *table = NULL;
    const size_t count = snap_index_frame_count(s->index);

    *found = false;
    TRY(snap_hashes_open(&table, s->index, out, err));
    if (table == NULL)
        return RC_OK;
    for (size_t i = snap_hashes_first(table), end; i < count; i = end) {
        uint64_t size = 0;
        struct err damage;
        struct rc rc;

        for (end = i; end < count && (end == i || size < TABLE_SIZE); end++)
            size += snap_index_frame(s->index, end).size;
        rc = take_frames(j, s, table, i, end, &damage);
        if (rc.code == E_CORRUPT)
            return RC_OK; /* then its pages are fetched, which they would be without hashes, too */
        if (rc_failed(rc)) {
            *err = damage;
            return rc;
        }
    }
    *found = true;
    return RC_OK;
}

static const struct restore_local *who_has(const struct restore_job *j, uint32_t pgno, uint64_t hash)
{
    for (size_t i = 0; i < FILES; i++) {
        const struct restore_local *l = &j->reuse->files[i];

        if (hash != 0 && is_usable(j, i) && l->page_size == j->page_size && pgno <= l->page_count
            && l->hashes[pgno - 1] == hash)
            return l;
    }
    return NULL;
}

/* The pages of a frame from number `k` on that one file has in a row. */
static uint32_t row_at(const struct restore_job *j, const struct snap_index_frame *f, const struct page_hash *table,
    uint32_t k, struct row *row)
{
    uint32_t n = 0;

    row->first = f->pgnos[k];
    row->from = NULL;
    for (; k + n < f->page_count && f->superseded[k + n] == 0 && f->pgnos[k + n] == row->first + n; n++) {
        const struct restore_local *l = who_has(j, f->pgnos[k + n], page_hash_get(table, f->pgnos[k + n]));

        if (l == NULL || (n > 0 && l != row->from))
            break;
        row->from = l;
    }
    row->count = n;
    return n;
}

static struct rc reuse_of(
    struct restore_job *j, const struct restore_source *s, const struct page_hash *table, struct err *err)
{
    CLEANUP(row_fini) struct row row = {.job = j, .pages = mem_new(SNAP_FRAME_RAW_MAX)};

    for (size_t i = 0; i < snap_index_frame_count(s->index); i++) {
        const struct snap_index_frame f = snap_index_frame(s->index, i);

        for (uint32_t k = 0, n; k<f.page_count; k += n> 0 ? n : 1) {
            bool taken = true;

            n = f.superseded[k] == 0 ? row_at(j, &f, table, k, &row) : 0;
            if (n == 0)
                continue;
            TRY(flush(&row, &taken, err));
            for (uint32_t m = 0; taken && m < n; m++)
                snap_index_skip(s->index, i, k + m);
        }
    }
    return RC_OK;
}

struct rc restore_reuse_pages(struct restore_job *j, struct restore_sources *all, struct err *err)
{
    CLEANUP(page_hash_freep) struct page_hash *table = page_hash_new();
    bool any = false;

    for (size_t i = 0; i < FILES; i++) {
        if (!is_usable(j, i))
            continue;
        if (!j->reuse->files[i].in_image || j->reuse->files[i].hashes == NULL)
            TRY(restore_local_hash(&j->reuse->files[i], j->page_size, err));
        any = true;
    }
    for (size_t n = all->count; any && n-- > 0;) {
        bool found = false;

        TRY(read_table(j, &all->at[n], table, &found, err));
        if (found)
            TRY(reuse_of(j, &all->at[n], table, err));
    }
    if (j->image != NULL)
        part_from_image(j);
    return RC_OK;
}

/* --- dry run -------------------------------------------------------------------------------------------------------
 */

static uint64_t wanted_bytes(const struct restore_sources *all)
{
    uint64_t bytes = 0;

    for (size_t n = 0; n < all->count; n++)
        for (size_t i = 0; i < snap_index_frame_count(all->at[n].index); i++) {
            struct snap_index_frame f = snap_index_frame(all->at[n].index, i);

            if (memchr(f.superseded, 0, f.page_count) != NULL)
                bytes += f.size;
        }
    return bytes;
}

struct rc restore_reuse_estimate(struct restore_job *j, struct err *err)
{
    const struct plan_stage *s = &j->plan->stages[0];
    CLEANUP(restore_index_fini) struct restore_sources all = {0};
    uint64_t before;

    if (restore_reuse_is_state(&j->plan->bases[s->base])) {
        j->report->reused_txid = j->plan->bases[s->base].txid;
        for (size_t i = 0; i < FILES; i++)
            if (j->reuse->claims[i].proven && j->reuse->claims[i].txid == j->report->reused_txid)
                j->report->reused_bytes = (uint64_t)j->reuse->claims[i].page_count * j->reuse->claims[i].page_size;
        return RC_OK;
    }
    if (!is_usable(j, LEFT) && !is_usable(j, OLD))
        return RC_OK;
    TRY(restore_index_open(&all, j, s, err));
    j->page_size = snap_index_meta(all.at[0].index)->page_size;
    before = wanted_bytes(&all);
    TRY(restore_reuse_pages(j, &all, err));
    j->saved = before - wanted_bytes(&all);
    return RC_OK;
}

/* --- for the next restore ------------------------------------------------------------------------------------------
 */

/* Not where the disk or an object is at fault.  Credentials may have run out (E_DENIED), and the old database may have
 * been opened meanwhile (E_BUSY). */
static bool may_succeed(struct rc rc)
{
    static const enum err_code codes[] = {E_NETWORK, E_TIMEOUT, E_THROTTLED, E_SERVER, E_DENIED, E_CANCELED, E_BUSY};

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (rc.code == codes[i])
            return true;
    return false;
}

void restore_reuse_leave(struct restore_job *j, struct rc rc)
{
    const struct image_left_note note = {j->database, j->timeline, j->txid, j->checksum, j->page_size,
        j->image != NULL ? image_page_count(j->image) : 0};
    bool whole = j->image != NULL && j->txid > 0 && image_checksum(j->image) == j->checksum;
    struct err ignored;

    if (j->image == NULL || image_is_published(j->image) || image_checksum(j->image) == 0 || !may_succeed(rc))
        return;
    if (rc_failed(image_leave(j->image, whole ? &note : NULL, &ignored)))
        return;
    (void)snprintf(j->report->left, sizeof j->report->left, "%s", image_temp_path(j->image));
}
