/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon_trigger.h"

#include "alloc.h"
#include "db_park.h"
#include "db_sync.h"
#include "strx.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    FAILED_PAUSE_MIN_MS = 60 * 1000,
    FAILED_PAUSE_MAX_MS = 60 * 60 * 1000,
};

/* --- settings ----------------------------------------------------------------------------------------------------- */

static char *copy_text(const char *text)
{
    return text != NULL ? mem_strdup(text) : NULL;
}

/* What a store is told may be a secret, so it is wiped. */
static void free_option(const struct store_option *o)
{
    char *name, *value;

    memcpy(&name, &o->name, sizeof name); /* const for everybody who borrows it; this is the owner */
    memcpy(&value, &o->value, sizeof value);
    explicit_bzero(value, strlen(value));
    mem_free(name);
    mem_free(value);
}

void daemon_member_copy_fini(struct daemon_copy *c)
{
    for (size_t i = 0; i < c->set.option_count; i++)
        free_option(&c->options[i]);
    mem_free(c->options);
    mem_free(c->set.path);
    mem_free(c->set.url);
    mem_free(c->set.seed);
    mem_free(c->set.price);
    mem_free(c->set.state_dir);
    *c = (struct daemon_copy){0};
}

void daemon_member_copy_init(struct daemon_copy *c, const struct db_settings *set)
{
    c->set = *set;
    c->set.path = copy_text(set->path);
    c->set.url = copy_text(set->url);
    c->set.seed = copy_text(set->seed);
    c->set.price = copy_text(set->price);
    c->set.state_dir = copy_text(set->state_dir);
    c->options = mem_new((set->option_count + 1) * sizeof *c->options); /* never of no size */
    for (size_t i = 0; i < set->option_count; i++)
        c->options[i] = (struct store_option){copy_text(set->options[i].name), copy_text(set->options[i].value)};
    c->set.options = c->options;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_options(const struct db_settings *a, const struct db_settings *b)
{
    if (a->option_count != b->option_count)
        return false;
    for (size_t i = 0; i < a->option_count; i++)
        if (strcmp(a->options[i].name, b->options[i].name) != 0
            || strcmp(a->options[i].value, b->options[i].value) != 0)
            return false;
    return true;
}

bool daemon_member_same_replica(const struct db_settings *a, const struct db_settings *b)
{
    return strcmp(a->url, b->url) == 0 && same_options(a, b);
}

bool daemon_member_can_take(const struct db_settings *now, const struct db_settings *set)
{
    return daemon_member_same_replica(now, set) && same_text(now->state_dir, set->state_dir)
           && now->spool_limit == set->spool_limit && now->require_fence == set->require_fence
           && now->fold_count == set->fold_count && now->fold_delete_after_ms == set->fold_delete_after_ms;
}

struct daemon_member *daemon_member_next(const struct daemon *d, struct daemon_place *at)
{
    struct daemon_member *m = at->member;

    if (at->change_count == d->change_count && m == NULL && at->number != 0)
        return NULL; /* it was behind the last one already */
    if (at->change_count != d->change_count || m == NULL) {
        for (m = d->members; m != NULL && m->number <= at->number; m = m->next)
            ;
    } else {
        m = m->next;
    }
    at->change_count = d->change_count;
    at->member = m;
    if (m != NULL)
        at->number = m->number;
    return m;
}

/* --- going -------------------------------------------------------------------------------------------------------- */

static void unlink_member(struct daemon_member *m)
{
    struct daemon_member **at = &m->daemon->members;

    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    m->daemon->change_count++;
    m->daemon->member_count--;
}

static void begin_successor(struct daemon_member *m);

/* Everything it had is closed: it gives its place to the successor. */
static void gone(struct daemon_member *m)
{
    struct daemon *d = m->daemon;

    unlink_member(m);
    if (m->item != NULL)
        daemon_item_closed(m->item);
    for (struct daemon_folder *f = d->folders; f != NULL && (m->item == NULL || m->returns); f = f->next)
        daemon_folder_kick(f); /* it may be the folder's from now on */
    daemon_queue_kick(d);
    if (m->has_successor && !d->stopping)
        begin_successor(m);
    daemon_member_copy_fini(&m->settings);
    daemon_member_copy_fini(&m->successor);
    mem_free(m->socket_path);
    samples_free(m->samples);
    mem_free(m->gaps);
    mem_free(m);
    daemon_check_end(d);
}

static void on_patience_closed(uv_handle_t *handle)
{
    gone(handle->data);
}

static void on_actor_closed(struct db *db)
{
    struct daemon_member *m = db->ctx;

    if (m->patience_open)
        uv_close((uv_handle_t *)&m->patience, on_patience_closed);
    else
        gone(m);
}

void daemon_member_close(struct daemon_member *m)
{
    assert(m->over);
    if (m->closing)
        return;
    m->closing = true;
    daemon_listen_close(&m->control, m->socket_path);
    if (m->begun)
        db_end(&m->db, on_actor_closed);
    else
        on_actor_closed(&m->db);
}

static void try_again_later(struct daemon_member *m);

/* --- over --------------------------------------------------------------------------------------------------------- */

static void describe_unshipped(const struct db *db, struct err *out)
{
    unsigned long long count = db->txid > db->shipped_txid ? db->txid - db->shipped_txid : 0;

    if (count == 0) /* nobody knows how many are behind what was read */
        rc_ignore(rc_raise(out, E_TIMEOUT, "%s: its log was not read to its end in time", db->settings->path),
            "it is the outcome");
    else if (db->shipper.last_error.code != E_OK)
        rc_ignore(rc_raise(out, E_TIMEOUT, "%s: %llu commits were not shipped (last error: %s)", db->settings->path,
                      count, db->shipper.last_error.msg),
            "it is the outcome");
    else
        rc_ignore(rc_raise(out, E_TIMEOUT, "%s: %llu commits were not shipped in time", db->settings->path, count),
            "it is the outcome");
}

/* What matters most to whoever looks at the exit status: fenced before anything, then the first failure. */
void daemon_member_note(struct daemon *d, const struct daemon_member *m)
{
    const struct db *db = &m->db;
    const struct err *why = &db->error;
    struct err unshipped;

    if (db->state == DB_FENCED || why->code != E_OK) {
        if (d->worst.code == E_OK || (why->code == E_FENCED && d->worst.code != E_FENCED))
            d->worst = *why;
        return;
    }
    if (db_is_shipped(db) || d->worst.code != E_OK)
        return;
    describe_unshipped(db, &unshipped);
    d->worst = unshipped;
}

static void log_leaving(const struct daemon_member *m)
{
    struct err unshipped;

    if (db_is_shipped(&m->db)) {
        LOG_INFO(
            "stopped, everything is shipped", F_STR("db", m->settings.set.path), F_U64("txid", m->db.shipped_txid));
    } else if (m->begun && m->db.error.code == E_OK) {
        describe_unshipped(&m->db, &unshipped);
        LOG_ERROR("stopped before everything was shipped", F_STR("db", m->settings.set.path), F_ERR(&unshipped));
    }
}

static void on_over(struct db *db)
{
    struct daemon_member *m = db->ctx;

    m->over = true;
    if (db->error.code == E_OK && m->begin_error.code != E_OK)
        db->error = m->begin_error;
    if (m->item != NULL) {
        daemon_item_over(m->item);
        if (!m->daemon->stopping)
            return;
    }
    if (m->leaving && !m->daemon->stopping) {
        log_leaving(m);
        daemon_member_close(m);
        return;
    }
    daemon_child_over(m->daemon, db);
    try_again_later(m);
    daemon_check_end(m->daemon);
}

static void on_settled(struct db *db)
{
    struct daemon_member *m = db->ctx;

    daemon_child_look(m->daemon);
}

void daemon_member_abandon(struct daemon_member *m)
{
    if (m->begun)
        db_abandon(&m->db);
}

static void on_impatient(uv_timer_t *timer)
{
    struct daemon_member *m = timer->data;

    if (m->over)
        return; /* in time, and only what it had open is being closed still */
    LOG_ERROR("the time for an orderly stop is over", F_STR("db", m->settings.set.path));
    daemon_member_abandon(m);
}

static void start_timer(struct daemon_member *m, uv_timer_cb fn, uint64_t ms)
{
    int rc = uv_timer_init(&m->daemon->loop, &m->patience);

    assert(rc == 0);
    m->patience.data = m;
    m->patience_open = true;
    rc = uv_timer_start(&m->patience, fn, ms, 0);
    assert(rc == 0);
}

static void start_patience(struct daemon_member *m)
{
    start_timer(m, on_impatient, m->daemon->shutdown_ms);
}

void daemon_member_leave(struct daemon_member *m, const struct db_settings *successor)
{
    daemon_member_copy_fini(&m->successor);
    m->has_successor = successor != NULL;
    if (successor != NULL)
        daemon_member_copy_init(&m->successor, successor);
    if (m->leaving)
        return;
    m->leaving = true;
    if (m->over) {
        daemon_member_close(m);
        return;
    }
    start_patience(m);
    db_stop(&m->db);
}

void daemon_member_return(struct daemon_member *m)
{
    daemon_member_leave(m, NULL);
    m->returns = true;
}

void daemon_member_park(struct daemon_member *m)
{
    daemon_facts_show(m->item);
    m->leaving = true;
    start_patience(m);
    db_park_begin(&m->db);
}

void daemon_member_take(struct db_settings *now, const struct db_settings *set)
{
    now->sync_interval_ms = set->sync_interval_ms;
    now->sync_commits = set->sync_commits;
    now->sync_changed = set->sync_changed;
    now->snapshot_interval_ms = set->snapshot_interval_ms;
    now->merge_interval_ms = set->merge_interval_ms;
    now->merge_long_interval_ms = set->merge_long_interval_ms;
    now->merge_percent = set->merge_percent;
    now->retention = set->retention;
    now->retention_interval_ms = set->retention_interval_ms;
    now->drill_interval_ms = set->drill_interval_ms;
    now->drill_window_ms = set->drill_window_ms;
    now->drill_max_size = set->drill_max_size;
    now->drill_rate = set->drill_rate;
    now->scrub_interval_ms = set->scrub_interval_ms;
    now->scrub_rate = set->scrub_rate;
    now->log_limit = set->log_limit;
    now->park_after_ms = set->park_after_ms;
    now->may_switch = set->may_switch;
    mem_free(now->price);
    now->price = copy_text(set->price);
}

void daemon_member_adjust(struct daemon_member *m, const struct db_settings *set)
{
    daemon_trigger_adjust(m, set);
    daemon_member_take(&m->settings.set, set);
    if (m->db.state == DB_RUNNING)
        db_sync_kick(&m->db);
}

/* --- another try -------------------------------------------------------------------------------------------------- */

/* The tests cannot wait for so long; 0: this is no test. */
static uint32_t test_pause_ms(void)
{
    const char *text = getenv("WEIR_TEST_FAILED_PAUSE");
    uint64_t ms;
    struct err err;

    return text != NULL && !rc_failed(strx_duration_ms(text, &ms, &err)) && ms < FAILED_PAUSE_MIN_MS ? (uint32_t)ms : 0;
}

uint32_t daemon_member_failed_pause(uint32_t before_ms)
{
    uint32_t test_ms = test_pause_ms();

    if (test_ms > 0)
        return test_ms;
    if (before_ms < FAILED_PAUSE_MIN_MS)
        return FAILED_PAUSE_MIN_MS;
    return before_ms > FAILED_PAUSE_MAX_MS / 2 ? FAILED_PAUSE_MAX_MS : before_ms * 2;
}

static void on_try_again(uv_timer_t *timer)
{
    struct daemon_member *m = timer->data;
    struct daemon_copy same;

    if (m->daemon->stopping || m->leaving)
        return;
    daemon_member_copy_init(&same, &m->settings.set);
    daemon_member_leave(m, &same.set);
    daemon_member_copy_fini(&same);
}

/* Nothing that weir does mends it, but a person may have.  Where others keep the daemon alive; alone it ends. */
static void try_again_later(struct daemon_member *m)
{
    if (m->item != NULL || m->db.state != DB_FAILED || m->leaving || m->patience_open || m->daemon->stopping
        || m->daemon->child.command != NULL)
        return;
    m->failed_pause_ms = daemon_member_failed_pause(m->failed_pause_ms);
    start_timer(m, on_try_again, m->failed_pause_ms);
}

/* --- beginning ---------------------------------------------------------------------------------------------------- */

static void add_member(struct daemon *d, struct daemon_member *m)
{
    struct daemon_member **last = &d->members;

    while (*last != NULL)
        last = &(*last)->next;
    *last = m;
    m->number = ++d->member_number;
    d->change_count++;
    d->member_count++;
}

/* A start has ended, say: room for another one. */
static void on_move(struct db *db)
{
    struct daemon_member *m = db->ctx;

    if (db->fence != FENCE_UNKNOWN)
        m->item->folder->fence = db->fence;
    daemon_queue_kick(m->daemon);
}

static struct daemon_member *member_new(struct daemon *d, const struct db_settings *set)
{
    struct daemon_member *m = mem_new(sizeof *m);
    struct db *db = &m->db;

    m->daemon = d;
    m->begun_ms = clock_wall_ms(&clock_real);
    daemon_member_copy_init(&m->settings, set);
    db->settings = &m->settings.set;
    db->loop = &d->loop;
    db->work = d->work;
    db->fs = d->fs;
    db->env = d->env;
    db->drill.turn = &d->drill_turn;
    db->clock = &clock_real;
    db->lane = d->lane++ % work_lane_count(d->work);
    db->on_over = on_over;
    db->on_news = daemon_watch_news;
    db->on_settled = on_settled;
    db->ctx = m;
    add_member(d, m);
    return m;
}

static void begin(struct daemon_member *m)
{
    struct db *db = &m->db;
    struct rc rc = db_begin(db, &m->begin_error);

    if (!rc_failed(rc)) {
        m->begun = true;
        rc = daemon_listen_member(m, &m->begin_error);
    }
    if (!rc_failed(rc)) {
        m->begin_error.code = E_OK;
        return;
    }
    rc_ignore(rc_wrap(&m->begin_error, "%s", m->settings.set.path), "it is kept");
    LOG_ERROR("cannot begin", F_STR("db", m->settings.set.path), F_ERR(&m->begin_error));
    if (m->begun) {
        db_stop(db); /* nobody could ask it */
        return;
    }
    db->error = m->begin_error;
    db->state = m->begin_error.code == E_FENCED ? DB_FENCED : DB_FAILED;
    m->over = true;
    daemon_watch_news(db);
    try_again_later(m);
}

static void begin_successor(struct daemon_member *m)
{
    struct daemon_member *next = member_new(m->daemon, &m->successor.set);

    next->failed_pause_ms = m->failed_pause_ms;
    begin(next);
}

struct daemon_member *daemon_member_begin(struct daemon *d, const struct db_settings *set)
{
    struct daemon_member *m = member_new(d, set);

    begin(m);
    return m;
}

struct daemon_member *daemon_member_begin_item(struct daemon_item *item, const struct db_settings *set)
{
    struct daemon_member *m = member_new(item->folder->daemon, set);

    m->item = item;
    item->member = m;
    m->db.fence = item->folder->fence;
    m->db.on_move = on_move;
    begin(m);
    if (m->begun && fence_weakness(m->db.fence) != NULL)
        store_without_conditions(m->db.store); /* as was found out for another database at the same place */
    if (m->begun)
        daemon_facts_give(item);
    return m;
}
