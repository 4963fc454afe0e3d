/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon_intern.h"

#include "alloc.h"
#include "db_first.h"

#include <assert.h>
#include <signal.h>
#include <unistd.h>

enum { LOOK_MS = 200 };

/* --- is everything ready? ----------------------------------------------------------------------------------------- */

static bool is_late(const struct daemon *d)
{
    return clock_mono_ms(&clock_real) - d->child.begin_ms >= d->child.command->start_ms;
}

/* The database's file is there, or it is known that there is nothing to restore: the application cannot begin empty by
 * mistake. */
static bool is_safe(const struct daemon_member *m)
{
    return m->begun && atomic_load(&m->db.missing.done) != DB_MISSING_UNDECIDED;
}

static bool is_settled(const struct daemon *d, const struct daemon_member *m)
{
    const struct db *db = &m->db;

    if (db->state == DB_RUNNING || db->state == DB_WAITING)
        return true;
    if (is_safe(m) && (db->held || db->state == DB_RETRYING || is_late(d)))
        return true;
    return d->child.command->start_missing && db->state == DB_RETRYING && is_late(d);
}

static bool all_settled(const struct daemon *d)
{
    for (const struct daemon_member *m = d->members; m != NULL; m = m->next)
        if (m->item == NULL && !m->over && !is_settled(d, m))
            return false; /* a folder's may come and go at any time */
    return true;
}

/* Why the program must not begin; its error goes with the process. */
static const struct daemon_member *find_obstacle(const struct daemon *d)
{
    for (const struct daemon_member *m = d->members; m != NULL; m = m->next) {
        bool missing = m->item == NULL && m->db.state == DB_RETRYING && !is_safe(m) && !d->child.command->start_missing;

        if ((m->over && m->item == NULL) || (missing && is_late(d)))
            return m;
    }
    return NULL;
}

static void tell_unready(const struct daemon *d)
{
    for (const struct daemon_member *m = d->members; m != NULL; m = m->next) {
        const struct db *db = &m->db;

        if (db->state == DB_RUNNING || db->state == DB_WAITING || m->item != NULL)
            continue;
        if (!is_safe(m))
            LOG_WARN("starting without this database, although its replica was not asked: it may have a history",
                F_STR("db", db->settings->path), F_ERR(&db->error));
        else
            LOG_WARN("starting before this database is replicated; what is committed waits on the local disk",
                F_STR("db", db->settings->path), F_STR("state", db_state_name(db->state)),
                F_STR("error", db->error.code != E_OK ? db->error.msg : "none, it only takes long"));
    }
}

/* --- the program -------------------------------------------------------------------------------------------------- */

static void start_clock(struct daemon *d, uv_timer_cb fn, uint64_t ms, uint64_t repeat)
{
    int rc = uv_timer_start(&d->child.clock, fn, ms, repeat);

    assert(rc == 0);
}

static void on_impatient(uv_timer_t *timer)
{
    struct daemon *d = timer->data;

    LOG_WARN("the command has not ended in time: killing it", F_U64("waited_ms", d->child.command->kill_ms));
    d->child.child.group = true;
    child_signal(&d->child.child, SIGKILL);
}

static void end_program(struct daemon *d, int number)
{
    child_signal(&d->child.child, number);
    if (d->child.command->kill_ms > 0 && !uv_is_active((uv_handle_t *)&d->child.clock))
        start_clock(d, on_impatient, d->child.command->kill_ms, 0);
}

/* It may have made a database a moment ago, or the replica is back: one more try, within the time for the end. */
static void on_program_ended(struct child *c)
{
    struct daemon *d = c->ctx;

    d->child.command->status = c->status;
    LOG_INFO("the command has ended", F_I64("status", c->status));
    (void)uv_timer_stop(&d->child.clock);
    d->child.stage = DAEMON_LAST;
    daemon_start_deadline(d);
    for (struct daemon_member *m = d->members; m != NULL; m = m->next)
        if (m->begun && !m->over)
            db_hurry(&m->db);
    daemon_child_look(d);
}

static void start_program(struct daemon *d)
{
    struct daemon_command *command = d->child.command;
    struct err err;

    (void)uv_timer_stop(&d->child.clock);
    tell_unready(d);
    for (struct daemon_member *m = d->members; m != NULL; m = m->next)
        db_first_leave(&m->db);
    d->child.child.on_end = on_program_ended;
    d->child.child.ctx = d;
    d->child.child.group = command->group;
    if (rc_failed(child_start(&d->child.child, &d->loop, command->origin, command->argv, &err))) {
        d->worst = err;
        command->exec_failed = true;
        d->child.stage = DAEMON_OVER;
        daemon_stop(d, 0);
        return;
    }
    d->child.stage = DAEMON_RUNNING;
    command->started = true;
    LOG_INFO("the command has begun", F_STR("command", command->argv[0]), F_I64("pid", d->child.child.pid));
}

static void give_up(struct daemon *d, const struct daemon_member *m)
{
    struct err err = m->db.error;

    if (err.code == E_OK)
        rc_ignore(rc_raise(&err, E_BUG, "%s ended without a reason", m->settings.set.path), "it is kept below");
    if (!m->over)
        rc_ignore(rc_wrap(&err, "the command is not started, because its database could not be looked for"),
            "it is kept below");
    d->worst = err;
    d->child.stage = DAEMON_OVER;
    if (!d->stopping)
        daemon_stop(d, 0);
}

static void look_before(struct daemon *d)
{
    const struct daemon_member *obstacle = find_obstacle(d);

    if (obstacle != NULL)
        give_up(d, obstacle);
    else if (all_settled(d))
        start_program(d);
}

/* After its end: whatever has a file is being followed, or cannot be. */
static void look_at_last(struct daemon *d)
{
    for (const struct daemon_member *m = d->members; m != NULL; m = m->next)
        if (!m->over && (m->db.state == DB_STARTING || m->db.state == DB_CLOSING) && !m->db.held)
            return;
    d->child.stage = DAEMON_OVER;
    if (!d->stopping)
        daemon_stop(d, 0);
}

void daemon_child_look(struct daemon *d)
{
    if (d->child.command == NULL || d->ending || d->stopping || d->last_look)
        return;
    if (d->child.stage == DAEMON_BEFORE)
        look_before(d);
    else if (d->child.stage == DAEMON_LAST)
        look_at_last(d);
    daemon_check_end(d); /* databases that never began tell nobody that they are over */
}

void daemon_child_over(struct daemon *d, const struct db *db)
{
    if (d->child.command == NULL)
        return;
    if (d->child.stage == DAEMON_RUNNING && db->state == DB_FENCED) {
        LOG_ERROR("another writer owns the replica now: ending the command, whose commits would go nowhere",
            F_STR("db", db->settings->path));
        end_program(d, SIGTERM);
    } else {
        daemon_child_look(d);
    }
}

bool daemon_child_busy(const struct daemon *d)
{
    return d->child.command != NULL && d->child.stage != DAEMON_OVER && !d->stopping && d->worst.code == E_OK;
}

/* --- signals ------------------------------------------------------------------------------------------------------ */

/* The platform's own signal may come just after the program ended by itself: it must not cut the shipping short. */
static void on_signal_behind(struct daemon *d, int number)
{
    if (d->ending)
        return;
    if (d->child.signals_behind++ == 0)
        LOG_INFO("the command has ended already; shipping what is left", F_I64("signal", number));
    else
        daemon_stop(d, number);
}

static void on_signal_before(struct daemon *d, int number)
{
    if (d->child.command->signal == 0)
        d->child.command->signal = number;
    d->child.stage = DAEMON_OVER;
    daemon_stop(d, number);
    for (struct daemon_member *m = d->members; m != NULL; m = m->next)
        if (!m->over && !is_safe(m))
            daemon_member_abandon(m); /* a restore has nothing to ship, and its server may say nothing for long */
    daemon_check_end(d);              /* it may have waited for its turn */
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct daemon *d = handle->data;
    bool asks = number == SIGTERM || number == SIGINT || number == SIGQUIT;

    if (d->child.stage == DAEMON_RUNNING && asks)
        end_program(d, number);
    else if (d->child.stage == DAEMON_RUNNING)
        child_signal(&d->child.child, number);
    else if (number == SIGTSTP)
        (void)raise(SIGSTOP);
    else if ((asks || number == SIGHUP) && d->child.command->started)
        on_signal_behind(d, number);
    else if (asks || number == SIGHUP)
        on_signal_before(d, number);
}

/* Those that cannot be caught, say that we are broken, or are about ourselves (a child, a descriptor) are nobody
 * else's. */
static bool is_passed_on(int number)
{
    static const int never[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS, SIGCHLD,
        SIGPIPE, SIGPROF, SIGXCPU, SIGXFSZ, SIGSTKFLT, SIGTTOU, SIGTTIN};

    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        if (number == never[i])
            return false;
    return number < 32 || (number >= SIGRTMIN && number <= SIGRTMAX); /* the C library keeps some in between */
}

static void take_signals(struct daemon *d)
{
    struct daemon_child *c = &d->child;

    for (int number = 1; number <= SPAWN_SIGNAL_MAX; number++) {
        uv_signal_t *handle = &c->signals[c->signal_count];
        int rc;

        if (!is_passed_on(number))
            continue;
        rc = uv_signal_init(&d->loop, handle);
        assert(rc == 0);
        handle->data = d;
        rc = uv_signal_start(handle, on_signal, number);
        assert(rc == 0);
        c->signal_count++;
    }
}

/* --- the turn ----------------------------------------------------------------------------------------------------- */

/* Somebody else holds one of the databases; what cannot be found out, the beginning will tell. */
static bool is_taken(struct daemon *d, const struct daemon_settings *settings)
{
    for (size_t i = 0; i < settings->database_count; i++) {
        CLEANUP(mem_freep) char *dir = local_place_dir(settings->databases[i].path, settings->databases[i].state_dir);
        struct local_state_holder holder = {0};
        struct err ignored;

        if (rc_failed(local_state_holder(d->fs, dir, &holder, &ignored)) || !holder.held)
            continue;
        if (!d->child.told_turn)
            LOG_INFO("standing by: another process replicates this database", F_STR("db", settings->databases[i].path),
                F_I64("pid", holder.pid));
        d->child.told_turn = true;
        return true;
    }
    return false;
}

static void on_look(uv_timer_t *timer)
{
    struct daemon *d = timer->data;

    if (d->child.stage == DAEMON_TURN && !d->stopping && !is_taken(d, d->child.settings) && daemon_listen_turn(d)) {
        LOG_INFO("it is our turn now");
        d->child.stage = DAEMON_BEFORE;
        d->child.begin_ms = clock_mono_ms(&clock_real);
        daemon_begin_members(d, d->child.settings);
    }
    daemon_child_look(d);
}

void daemon_child_begin(struct daemon *d, const struct daemon_settings *settings)
{
    struct daemon_child *c = &d->child;
    int rc;

    if (c->command == NULL) {
        c->closed = true;
        daemon_begin_members(d, settings);
        return;
    }
    take_signals(d);
    rc = uv_timer_init(&d->loop, &c->clock);
    assert(rc == 0);
    c->clock.data = d;
    c->settings = settings;
    c->begin_ms = clock_mono_ms(&clock_real);
    start_clock(d, on_look, LOOK_MS, LOOK_MS);
    if (c->command->standby && (is_taken(d, settings) || !daemon_listen_turn(d)))
        return;
    c->stage = DAEMON_BEFORE;
    daemon_begin_members(d, settings);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void on_child_closed(struct child *c)
{
    struct daemon *d = c->ctx;

    d->child.closed = true;
    daemon_check_end(d);
}

void daemon_child_close(struct daemon *d)
{
    struct daemon_child *c = &d->child;

    if (c->command == NULL || c->clock.data == NULL) {
        c->closed = true; /* the settings could not be loaded */
        return;
    }
    for (int i = 0; i < c->signal_count; i++)
        uv_close((uv_handle_t *)&c->signals[i], NULL);
    uv_close((uv_handle_t *)&c->clock, NULL);
    c->child.ctx = d;
    child_close(&c->child, on_child_closed);
}
