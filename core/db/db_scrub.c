/* SPDX-License-Identifier: Apache-2.0 */
#include "db_scrub.h"

#include "alloc.h"
#include "db.h"
#include "scrub_tell.h"
#include "slog.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    FIRST_MS = 10 * 1000,     /* a process that only starts and stops has something better to do */
    RETRY_MS = 60 * 1000,     /* the file could not be read */
    RECHECK_MS = 10 * 1000,   /* between two looks at the damaged pages */
    SAVE_MS = 10 * 60 * 1000, /* so much of a pass may be lost by a crash */
    ARREARS_US = 1000000,     /* that is made up for when steps come late */
    STEP_SIZE_MAX = 1 << 20,  /* bytes asked for in one step */
    PAUSE_MIN_MS = 2,
};

static uint64_t at_most(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* --- what was found ------------------------------------------------------------------------------------------------
 */

static void publish(struct db *db)
{
    const struct local_scrub *n = &db->scrub.scrub.note;
    struct db_scrub_view *v = &db->scrub.view;
    const struct local_scrub_page *first = scrub_tell_first(n);

    *v = (struct db_scrub_view){
        .next = n->next,
        .passed_ms = n->passed_ms,
        .passed_pages = n->passed_pages,
        .damaged = local_scrub_damaged(n),
    };
    for (uint32_t i = 0; i < n->count && v->shown_count < DB_SCRUB_SHOWN_MAX; i++)
        if (n->pages[i].fate == LOCAL_SCRUB_DAMAGED)
            v->shown[v->shown_count++] = n->pages[i].pgno;
    v->found_txid = first != NULL ? first->txid : 0;
    v->found_ms = first != NULL ? first->found_ms : 0;
    scrub_tell_alert(n, db->settings->path, db->txid, &db->scrub.alert);
}

static void put_news(struct db *db)
{
    struct db_scrub *k = &db->scrub;

    if (k->alert.code != E_OK)
        (void)snprintf(k->news, sizeof k->news, "%s", k->alert.msg);
    else
        (void)snprintf(k->news, sizeof k->news, "no page of the database is damaged any more");
    k->news_count++;
}

/* Tell what is new, and forget what is not damaged any more.  Of many it is told when they have become twice as many.
 */
static void tell(struct db *db)
{
    struct db_scrub *k = &db->scrub;
    uint64_t damaged;

    scrub_tell_pages(&k->scrub.note, db->settings->path, db->txid);
    publish(db);
    damaged = k->view.damaged;
    if (damaged != 0 && damaged > k->told && damaged < 2 * k->told)
        return;
    scrub_tell_many(db->settings->path, damaged);
    k->told = damaged;
    put_news(db);
}

/* --- over restarts -------------------------------------------------------------------------------------------------
 */

static void save(struct db *db)
{
    struct db_scrub *k = &db->scrub;
    uint64_t now_us = clock_mono_us(db->clock);
    struct err err;

    if (!k->unsaved)
        return;
    k->unsaved = false;
    k->save_us = now_us + SAVE_MS * 1000ULL;
    k->scrub.note.due_ms = clock_wall_ms(db->clock) + (k->due_us > now_us ? (int64_t)((k->due_us - now_us) / 1000) : 0);
    if (rc_failed(local_scrub_write(db->fs, db->state_dir, &k->scrub.note, &err)))
        LOG_WARN(
            "what the scrub knows cannot be noted; a restart forgets it", F_STR("db", db->settings->path), F_ERR(&err));
}

/* Within a process only the monotonic clock counts, so a clock that jumps makes some pages be read too early at most.
 */
static uint64_t first_in_us(const struct db *db)
{
    const uint64_t interval_ms = db->settings->scrub_interval_ms, least_ms = at_most(interval_ms, FIRST_MS);
    int64_t left_ms = db->scrub.scrub.note.due_ms - clock_wall_ms(db->clock);

    if (left_ms < 0 || (uint64_t)left_ms < least_ms)
        return least_ms * 1000;
    return at_most((uint64_t)left_ms, interval_ms) * 1000;
}

/* The pages of a file that somebody put there are not those that were damaged: nothing is known of what was written. */
static void take_file(struct db *db)
{
    struct local_scrub *n = &db->scrub.scrub.note;
    const struct db_live *l = db->live;
    uint32_t kept = 0;

    if (n->inode == (uint64_t)l->conn->inode)
        return;
    for (uint32_t i = 0; i < n->count; i++) {
        n->pages[kept] = n->pages[i];
        n->pages[kept].want = page_hash_get(l->hashes, n->pages[i].pgno);
        kept += n->pages[kept].want != 0; /* else it has no such page */
    }
    n->count = kept;
    n->inode = (uint64_t)l->conn->inode;
    n->next = 1;
    n->unlisted = n->unlisted_last = 0;
}

void db_scrub_recall(struct db *db)
{
    struct db_scrub *k = &db->scrub;

    local_scrub_read(db->fs, db->state_dir, &k->scrub.note);
    for (uint32_t i = 0; i < k->scrub.note.count; i++)
        k->scrub.note.pages[i].told = true; /* when it was found; the status goes on telling */
    k->recalled = true;
    publish(db);
}

void db_scrub_started(struct db *db)
{
    struct db_scrub *k = &db->scrub;

    if (!k->recalled)
        db_scrub_recall(db);
    take_file(db);
    k->scrub.suspect_count = 0;
    k->recheck_us = 0;
    publish(db);
}

void db_scrub_close(struct db *db)
{
    save(db);
    scrub_fini(&db->scrub.scrub);
}

/* --- when ----------------------------------------------------------------------------------------------------------
 */

/* Microseconds that a page stands for: the whole database in an interval, but no more than `rate` bytes a second. */
static uint64_t page_us(const struct db *db)
{
    const struct db_settings *set = db->settings;
    uint64_t us, least;

    us = set->scrub_interval_ms * 1000 / (db->scrub.pages > 0 ? db->scrub.pages : 1);
    least = set->scrub_rate > 0 ? db->live->conn->page_size * 1000000ULL / set->scrub_rate : 0;
    return us > least ? us : least;
}

static uint32_t budget(struct db *db, uint64_t now_us)
{
    struct db_scrub *k = &db->scrub;
    const uint64_t interval_us = db->settings->scrub_interval_ms * 1000, us = page_us(db);
    const uint64_t chunk_us = us * (SCRUB_CHUNK_SIZE / db->live->conn->page_size);
    const uint64_t longest = interval_us > chunk_us ? interval_us : chunk_us;
    uint64_t pages;

    if (interval_us == 0)
        return 0;
    if (!k->begun) {
        k->begun = true;
        k->due_us = now_us + first_in_us(db);
    }
    if (k->due_us > now_us + longest)
        k->due_us = now_us + longest; /* the settings changed */
    if (now_us < k->due_us)
        return 0;
    if (now_us - k->due_us > ARREARS_US)
        k->due_us = now_us - ARREARS_US;
    pages = us > 0 ? (now_us - k->due_us) / us + 1 : UINT32_MAX;
    return (uint32_t)at_most(pages, STEP_SIZE_MAX / db->live->conn->page_size);
}

static uint64_t recheck_ms(const struct db *db)
{
    uint64_t interval_ms = db->settings->scrub_interval_ms;

    return interval_ms == 0 ? RECHECK_MS : at_most(interval_ms, RECHECK_MS);
}

void db_scrub_before(struct db *db)
{
    struct db_scrub *k = &db->scrub;
    const uint64_t now_us = clock_mono_us(db->clock);

    k->may = db->state == DB_RUNNING;
    if (!k->may)
        return;
    k->step = (struct scrub_step){
        .budget = budget(db, now_us),
        .recheck = k->scrub.note.count > 0 && now_us >= k->recheck_us,
        .hint = k->hint,
    };
    k->hint = 0;
    if (k->step.recheck)
        k->recheck_us = now_us + recheck_ms(db) * 1000;
}

void db_scrub_in_lane(struct db *db)
{
    struct db_scrub *k = &db->scrub;

    /* The file at the path may be another by now, and then this one is nobody's concern. */
    k->may = k->may && !rc_failed(db->job_rc) && db->step.state == WAL_READER_QUIET && !db->step.paused
             && db->identity == WAL_CONN_SAME;
    if (k->may)
        scrub_step(&k->scrub, db->live, &k->step);
}

static void note_error(struct db *db)
{
    struct db_scrub *k = &db->scrub;

    if (k->step.err.code != E_OK) {
        if (k->err.code == E_OK)
            LOG_WARN("scrub: the database could not be read, will try again", F_STR("db", db->settings->path),
                F_ERR(&k->step.err));
        k->due_us = clock_mono_us(db->clock) + RETRY_MS * 1000ULL;
    }
    if (k->step.err.code != E_OK || k->step.read > 0)
        k->err = k->step.err;
}

void db_scrub_after(struct db *db)
{
    struct db_scrub *k = &db->scrub;

    if (!k->may)
        return;
    k->may = false;
    k->pages = k->step.pages;
    if (k->step.read > 0) {
        k->page_count += k->step.read;
        k->due_us += k->step.read * page_us(db);
        k->view.next = k->scrub.note.next;
        k->unsaved = true;
    }
    note_error(db);
    if (k->step.passed) {
        k->pass_count++;
        k->view.passed_ms = k->scrub.note.passed_ms;
        k->view.passed_pages = k->scrub.note.passed_pages;
        LOG_DEBUG("scrub: every page was looked at", F_STR("db", db->settings->path),
            F_U64("pages", k->scrub.note.passed_pages), F_U64("damaged", local_scrub_damaged(&k->scrub.note)));
    }
    if (k->step.news) {
        k->unsaved = true;
        tell(db);
        save(db);
    } else if (clock_mono_us(db->clock) >= k->save_us) {
        save(db);
    }
}

uint64_t db_scrub_pause_ms(const struct db *db, uint64_t pause_ms)
{
    const struct db_scrub *k = &db->scrub;
    uint64_t now_us = clock_mono_us(db->clock), due_ms;

    if (db->settings->scrub_interval_ms == 0 || !k->begun)
        return pause_ms;
    due_ms = k->due_us > now_us ? (k->due_us - now_us) / 1000 : 0;
    return at_most(pause_ms, due_ms > PAUSE_MIN_MS ? due_ms : PAUSE_MIN_MS);
}

void db_scrub_hint(struct db *db, uint32_t pgno)
{
    db->scrub.hint = pgno;
}
