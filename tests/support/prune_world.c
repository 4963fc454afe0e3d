/* SPDX-License-Identifier: Apache-2.0 */
#include "prune_world.h"

#include "check.h"

#include "fold.h"
#include "must.h"
#include "store_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 1024, PAGES_MAX = 24, OBJECT_MAX = 1 << 20 };

uint64_t prune_world_pick(struct prune_world *w, uint64_t below)
{
    return check_random(&w->random) % below;
}

const struct make_history_state *prune_world_now(const struct prune_world *w)
{
    return &w->h.states[w->h.now];
}

static void path_of(const struct prune_world *w, const char *key, char out[PATH_SIZE])
{
    int n = snprintf(out, PATH_SIZE, "%s/%s", w->root, key);

    MUST(n > 0 && n < PATH_SIZE);
}

/* --- the database --------------------------------------------------------------------------------------------------
 */

/* Some pages of the last state change; now and then it grows or shrinks. */
static void commit(struct prune_world *w, uint32_t flags)
{
    const struct make_history_state *old = w->h.count > 0 ? prune_world_now(w) : NULL;
    uint8_t image[PAGES_MAX * PRUNE_WORLD_PAGE] = {0};
    uint32_t pages = old != NULL ? old->page_count : 8;

    if (prune_world_pick(w, 8) == 0)
        pages = 4 + (uint32_t)prune_world_pick(w, PAGES_MAX - 4);
    if (old != NULL)
        memcpy(image, old->image, (size_t)(pages < old->page_count ? pages : old->page_count) * PRUNE_WORLD_PAGE);
    for (uint64_t n = 1 + prune_world_pick(w, 3); n > 0; n--) {
        uint64_t value = check_random(&w->random);

        memcpy(image + prune_world_pick(w, pages) * PRUNE_WORLD_PAGE + prune_world_pick(w, 60) * 8, &value, 8);
    }
    if (w->open_first == 0)
        w->open_first = old != NULL ? old->txid + 1 : 1;
    make_history_commit(&w->h, image, pages, flags);
    w->open_commits++;
}

/* --- its objects ---------------------------------------------------------------------------------------------------
 */

static struct buf read_object(const struct prune_world *w, const char *key)
{
    char path[PATH_SIZE];
    struct buf b;
    struct err err;

    path_of(w, key, path);
    buf_init(&b, OBJECT_MAX);
    MUST(!rc_failed(fsys_read_file(&fsys_real, path, &b, &err)));
    return b;
}

static void write_object(const struct prune_world *w, const char *key, const void *data, size_t n)
{
    char path[PATH_SIZE], folder[PATH_SIZE];
    struct err err;
    int fd;

    path_of(w, key, path);
    memcpy(folder, path, sizeof folder);
    *strrchr(folder, '/') = 0;
    MUST(!rc_failed(fsys_make_dirs(&fsys_real, folder, 0755, &err)));
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    MUST(fd >= 0);
    MUST(write(fd, data, n) == (ssize_t)n);
    MUST(close(fd) == 0);
}

static void take_segment(struct prune_world *w, uint64_t first)
{
    layout_text key;

    layout_log(key, w->h.timeline, first);
    w->segments[w->segment_count].first_txid = first;
    w->segments[w->segment_count++].bytes = read_object(w, key);
}

static void drop_segments(struct prune_world *w)
{
    while (w->segment_count > 0)
        buf_fini(&w->segments[--w->segment_count].bytes);
}

static void fill_row(struct prune_world *w, size_t i, struct fold_row *row)
{
    struct seg_dec *segment = NULL;
    const struct seg_info *info;
    struct err err;

    MUST(!rc_failed(seg_dec_open(&segment, buf_span(&w->segments[i].bytes), &err)));
    info = seg_dec_info(segment);
    *row = (struct fold_row){.first_txid = w->segments[i].first_txid,
        .last_txid = info->commits[info->commit_count - 1].txid,
        .time_ms = info->commits[info->commit_count - 1].time_ms,
        .size = w->segments[i].bytes.size};
    seg_dec_free(segment);
}

static void fold(struct prune_world *w)
{
    struct fold_row rows[PRUNE_WORLD_SEGMENTS_MAX];
    struct buf object;
    struct fold f = {.pack = {.kind = PACK_FOLD, .database = w->h.database, .writer = w->h.writer},
        .timeline = w->h.timeline,
        .rows = rows,
        .count = w->segment_count};
    struct err err;
    layout_text key;

    for (size_t i = 0; i < f.count; i++)
        fill_row(w, i, &rows[i]);
    buf_init(&object, OBJECT_MAX);
    MUST(!rc_failed(fold_begin(&f, &object, &err)));
    for (size_t i = 0; i < f.count; i++)
        buf_put(&object, w->segments[i].bytes.data, w->segments[i].bytes.size);
    MUST(!rc_failed(fold_end(&f, &object, &err)));
    layout_fold(key, f.timeline, rows[0].first_txid, rows[f.count - 1].last_txid);
    write_object(w, key, object.data, object.size);
    buf_fini(&object);
    for (size_t i = 0; i < f.count; i++) {
        char path[PATH_SIZE];

        layout_log(key, f.timeline, rows[i].first_txid);
        path_of(w, key, path);
        if (!w->keeps_folded && prune_world_pick(w, 16) > 0)
            (void)unlink(path); /* it may have been pruned */
    }
    drop_segments(w);
}

static void cut(struct prune_world *w)
{
    if (w->open_first == 0)
        return;
    make_history_cut(&w->h);
    take_segment(w, w->open_first);
    w->open_first = 0;
    w->open_commits = 0;
    if (w->segments_per_fold > 1 && w->segment_count >= w->segments_per_fold)
        fold(w);
    else if (w->segment_count == PRUNE_WORLD_SEGMENTS_MAX)
        drop_segments(w);
}

static void snapshot(struct prune_world *w)
{
    cut(w);
    make_history_snapshot_of(&w->h, prune_world_now(w), prune_world_now(w)->time_ms);
    for (int level = 0; level < PRUNE_WORLD_LEVELS; level++) {
        w->base[level] = w->h.now;
        w->made_ms[level] = w->h.time_ms;
    }
}

static void merge(struct prune_world *w, unsigned level)
{
    if (w->base[level] == w->h.now)
        return;
    cut(w);
    make_history_merge(&w->h, level, &w->h.states[w->base[level]], prune_world_now(w), prune_world_now(w)->time_ms);
    for (unsigned lower = 1; lower <= level; lower++) {
        w->base[lower] = w->h.now;
        w->made_ms[lower] = w->h.time_ms;
    }
}

static bool due(const struct prune_world *w, unsigned level)
{
    return w->merge_ms[level] > 0 && w->h.time_ms - w->made_ms[level] >= w->merge_ms[level];
}

static void tick(struct prune_world *w)
{
    if (w->open_commits >= w->commits_per_segment)
        cut(w);
    if (due(w, 0) && w->base[0] != w->h.now)
        snapshot(w);
    for (unsigned level = PRUNE_WORLD_LEVELS - 1; level > 0; level--)
        if (due(w, level))
            merge(w, level);
}

void prune_world_init(struct prune_world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->random = seed;
    store_wait_scratch(w->dir);
    (void)snprintf(w->root, sizeof w->root, "%s/r", w->dir);
    (void)snprintf(w->target, sizeof w->target, "%s/t.db", w->dir);
    make_history_init(&w->h, w->root, PRUNE_WORLD_PAGE);
    make_history_timeline(&w->h, 0, 0);
    w->commit_gap_ms = PRUNE_WORLD_HOUR;
    w->commits_per_segment = 2;
    w->segments_per_fold = 8;
    w->merge_ms[0] = 7 * PRUNE_WORLD_DAY;
    w->merge_ms[1] = 3 * PRUNE_WORLD_HOUR;
    w->merge_ms[2] = PRUNE_WORLD_DAY;
    commit(w, SEG_SNAPSHOT);
    w->open_first = 0; /* such a segment is cut at once */
    w->open_commits = 0;
    take_segment(w, 1);
    snapshot(w);
}

void prune_world_fini(struct prune_world *w)
{
    cut(w);
    drop_segments(w);
    prune_fini(&w->report);
    make_history_fini(&w->h);
    store_wait_unscratch(w->dir);
}

void prune_world_live(struct prune_world *w, int64_t span_ms)
{
    const int64_t end = w->h.time_ms + span_ms;

    while (w->h.time_ms < end) {
        w->h.time_ms += (int64_t)prune_world_pick(w, (uint64_t)(2 * w->commit_gap_ms));
        commit(w, 0);
        tick(w);
    }
    cut(w);
}

void prune_world_idle(struct prune_world *w, int64_t span_ms)
{
    cut(w);
    w->h.time_ms += span_ms;
}

void prune_world_take_over(struct prune_world *w, uint64_t back)
{
    const struct make_history_state *fork = NULL;
    const uint64_t tip = prune_world_now(w)->txid;

    cut(w);
    while (fork == NULL)
        fork = make_history_find(&w->h, w->h.timeline, back < tip ? tip - back : tip);
    make_history_seal(&w->h, w->h.timeline + 1);
    make_history_timeline(&w->h, w->h.timeline, fork->txid);
    drop_segments(w);
    commit(w, 0);
    snapshot(w); /* its merges build on states of its own */
}

/* --- running the real code -----------------------------------------------------------------------------------------
 */

struct run {
    struct work_item item; /* must be first */
    struct prune_world *w;
    struct work *work;
    struct fault_store store;
    const struct prune_opts *prune; /* else: restore */
    struct restore_opts restore;
    struct rc rc;
    bool done;
};

static void prune_meanwhile(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
    struct run *r = ctx;
    struct prune_opts *opts = r->w->during;
    struct prune_report report;
    struct err err;

    (void)stage;
    if (r->w->meanwhile != NULL) {
        void (*fn)(struct prune_world * w) = r->w->meanwhile;

        r->w->meanwhile = NULL;
        fn(r->w);
    }
    if (opts == NULL || done < total / 2)
        return;
    r->w->during = NULL;
    MUST(!rc_failed(prune_run(r->work, &r->store.base, opts, &report, &err)));
    prune_fini(&report);
}

static void do_run(struct work_item *item)
{
    struct run *r = (struct run *)item;
    struct prune_world *w = r->w;

    r->rc = r->prune != NULL ? prune_run(r->work, &r->store.base, r->prune, &w->report, &w->err)
                             : restore_run(r->work, &r->store.base, &fsys_real, &r->restore, &w->restored, &w->err);
}

static void on_done(struct work_item *item)
{
    ((struct run *)item)->done = true;
}

/* The directory's own, and the world that looks over its shoulder. */
static struct {
    const struct store_ops *ops;
    struct prune_world *w;
} watched;

static void submit_watched(struct store *s, struct store_req *req)
{
    struct prune_world *w = watched.w;
    layout_text key;

    if (w->intrude && req->verb == STORE_PUT) {
        layout_timeline(key, w->h.timeline + 1);
        write_object(w, key, "{}", 2);
        w->intrude = false;
    }
    watched.ops->submit(s, req);
}

static void watch(struct prune_world *w, struct store *s)
{
    static struct store_ops ops;

    watched.ops = s->ops;
    watched.w = w;
    ops = *s->ops;
    ops.submit = submit_watched;
    s->ops = &ops;
}

static void arm(struct run *r, struct prune_world_fault fault)
{
    if (fault.at > 0)
        fault_store_arm(&r->store, fault.kind, fault.at, fault.forever);
    else
        fault_store_arm(&r->store, FAULT_STORE_REFUSED, INT32_MAX, false); /* for its count of requests */
    if (fault.verbs != 0)
        r->store.verbs = fault.verbs;
    if (fault.code != E_OK)
        r->store.code = fault.code;
}

static enum err_code run(struct prune_world *w, struct run *r, struct prune_world_fault fault)
{
    struct store *below;
    struct err err;
    uv_loop_t loop;

    r->w = w;
    MUST(uv_loop_init(&loop) == 0);
    MUST(!rc_failed(store_dir_open(&loop, &fsys_real, w->root, &below, &err)));
    watch(w, below);
    fault_store_init(&r->store, &loop, below);
    arm(r, fault);
    r->work = work_new(&loop, 1);
    r->item = (struct work_item){.run = do_run, .done = on_done};
    work_job(r->work, &r->item);
    while (!r->done)
        MUST(uv_run(&loop, UV_RUN_ONCE) != 0 || r->done);
    w->requests = r->store.requests;
    w->fired = r->store.fired;
    work_stop(r->work);
    store_wait_stop(&loop, &r->store.base);
    MUST(uv_run(&loop, UV_RUN_DEFAULT) == 0);
    MUST(uv_loop_close(&loop) == 0);
    return r->rc.code;
}

enum err_code prune_world_prune(struct prune_world *w, const struct prune_opts *opts, struct prune_world_fault fault)
{
    struct run r = {.prune = opts};

    prune_fini(&w->report);
    return run(w, &r, fault);
}

/* The file is exactly this state. */
static void compare(struct prune_world *w, uint32_t timeline)
{
    const struct make_history_state *s = make_history_find(&w->h, timeline, w->restored.txid);
    struct buf got;
    struct err err;

    buf_init(&got, OBJECT_MAX);
    MUST(!rc_failed(fsys_read_file(&fsys_real, w->target, &got, &err)));
    MUST(s != NULL);
    MUST(w->restored.checksum == s->checksum);
    MUST(got.size == (size_t)s->page_count * PRUNE_WORLD_PAGE);
    MUST(memcmp(got.data, s->image, got.size) == 0);
    buf_fini(&got);
}

static enum err_code restore(struct prune_world *w, struct run *r, struct prune_world_fault fault)
{
    enum err_code code;

    r->restore.output = w->target;
    r->restore.parallel = 1;
    r->restore.on_progress = prune_meanwhile;
    r->restore.ctx = r;
    (void)unlink(w->target);
    code = run(w, r, fault);
    if (code == E_OK)
        compare(w, r->restore.timeline != 0 ? r->restore.timeline : w->h.timeline);
    return code;
}

enum err_code prune_world_restore(
    struct prune_world *w, uint32_t timeline, uint64_t txid, struct prune_world_fault fault)
{
    struct run r = {.restore = {.by_txid = true, .txid = txid, .timeline = timeline}};
    enum err_code code = restore(w, &r, fault);

    MUST(code != E_OK || w->restored.txid == txid);
    return code;
}

enum err_code prune_world_restore_time(struct prune_world *w, int64_t time_ms)
{
    struct run r = {.restore = {.by_time = true, .time_ms = time_ms}};

    return restore(w, &r, (struct prune_world_fault){0});
}

/* --- what is there -------------------------------------------------------------------------------------------------
 */

static size_t count_files(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    size_t n = 0;

    if (dir == NULL)
        return 0;
    while ((entry = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): a stream of our own */
        char path[PATH_SIZE];

        if (entry->d_name[0] == '.')
            continue;
        MUST(snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < PATH_SIZE);
        if (entry->d_type == DT_DIR)
            n += count_files(path);
        else
            n++;
    }
    (void)closedir(dir);
    return n;
}

size_t prune_world_count(const struct prune_world *w, const char *folder)
{
    char path[PATH_SIZE];

    path_of(w, folder, path);
    return count_files(path);
}

void prune_world_put(const struct prune_world *w, const char *key, int64_t age_ms)
{
    const int64_t at_ms = w->h.time_ms - age_ms;
    const struct timespec times[2] = {{at_ms / 1000, 0}, {at_ms / 1000, 0}};
    char path[PATH_SIZE];

    write_object(w, key, "left over", 9);
    path_of(w, key, path);
    MUST(utimensat(AT_FDCWD, path, times, 0) == 0);
}

bool prune_world_has(const struct prune_world *w, const char *key)
{
    char path[PATH_SIZE];

    path_of(w, key, path);
    return access(path, F_OK) == 0;
}
