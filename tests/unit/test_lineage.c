/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "lineage.h"

#include <stdio.h>
#include <string.h>

static const struct nonce history = {{1}}, other_history = {{2}};

/* A history at txid 50 of timeline 3 (forked from 2 at 40), ours, and a local state that is exactly there. */
struct scene {
    struct lineage_facts f;
    struct local_state_content local;
};

static void set(struct scene *s)
{
    *s = (struct scene){
        .local = {.database = history,
            .pos = {.timeline = 3, .txid = 50, .time_ms = 1795226481123, .checksum = 0xc50, .page_count = 9}},
        .f = {.path = "/data/app.db",
            .url = "file:///replica",
            .has_history = true,
            .database = history,
            .newest = 3,
            .newest_parent = 2,
            .newest_fork = 40,
            .newest_is_ours = true,
            .origin_is_ours = true,
            .newest_host = "alpha",
            .tip_txid = 50,
            .tip_checksum = 0xc50,
            .tip_time_ms = 1795226481123,
            .local_on_path = true,
            .found = LOCAL_STATE_GOOD},
    };
    s->f.local = &s->local;
}

/* Another writer went on: nothing there is ours any more. */
static void others_went_on(struct scene *s)
{
    s->f.newest = 4;
    s->f.newest_parent = 3;
    s->f.newest_fork = 50;
    s->f.newest_is_ours = s->f.origin_is_ours = false;
    s->f.newest_host[0] = 'b';
    s->f.tip_txid = 70;
    s->f.tip_checksum = 0xc70;
}

static void no_local_state(struct scene *s)
{
    s->f.found = LOCAL_STATE_NONE;
    s->local = (struct local_state_content){0};
}

static void hashed_nowhere(struct scene *s)
{
    no_local_state(s);
    s->f.file_hashed = true;
    s->f.file_checksum = 0xdead;
}

static void hashed_tip(struct scene *s)
{
    no_local_state(s);
    s->f.file_hashed = true;
    s->f.file_checksum = s->f.tip_checksum;
    s->f.file_timeline = s->f.newest;
    s->f.file_txid = s->f.tip_txid;
}

static void hashed_old(struct scene *s)
{
    no_local_state(s);
    s->f.file_hashed = true;
    s->f.file_checksum = 0xc20;
    s->f.file_timeline = 2;
    s->f.file_txid = 20;
}

#define ROW(name, ...)                \
    static void name(struct scene *s) \
    {                                 \
        __VA_ARGS__                   \
    }

ROW(as_it_is, (void)s;)
ROW(no_history, s->f.has_history = false; s->f.newest = 0;)
ROW(no_history_adopt, s->f.has_history = false; s->f.newest = 0; s->f.adopt = true;)
ROW(no_history_no_state, s->f.has_history = false; no_local_state(s);)
ROW(claimed_no_timeline, s->f.newest = 0; no_local_state(s);)
ROW(replica_ahead, s->f.tip_txid = 53;)
ROW(replica_behind, s->f.tip_txid = 47; s->f.tip_checksum = 0xc47;)
ROW(sealed, s->f.newest_sealed = true;)
ROW(sealed_fork, s->f.newest_sealed = true; s->f.fork = true;)
ROW(went_on, others_went_on(s);)
ROW(went_on_fork, others_went_on(s); s->f.fork = true;)
ROW(went_on_fork_off_path, others_went_on(s); s->f.fork = true; s->f.local_on_path = false;)
ROW(went_on_adopt, others_went_on(s); s->f.adopt = true;)
ROW(went_on_adopt_hashed, others_went_on(s); s->f.adopt = true; s->f.file_hashed = true; s->f.file_checksum = 1;)
ROW(foreign, s->f.foreign_after = true; s->f.tip_txid = 55;)
ROW(restored, s->local.restored = true; s->f.newest_is_ours = false; s->f.origin_is_ours = false;)
ROW(restored_old, s->local.restored = true; s->local.pos.txid = 20; s->local.pos.timeline = 2;
    s->local.pos.checksum = 0xc20; s->f.newest_is_ours = false;)
ROW(restored_idle, restored_old(s); s->f.tip_txid = 20; s->f.tip_checksum = 0xc20; s->f.newest_parent = 2;
    s->f.newest_fork = 20; s->f.origin_is_ours = false;)
ROW(restored_other_20, restored_idle(s); s->f.tip_checksum = 0xd20;)
ROW(restored_chosen, restored_old(s); s->local.chosen = true;)
ROW(followed_old, restored_old(s); s->local.followed = true;)
ROW(followed_at_tip, followed_old(s); s->f.file_hashed = true; s->f.file_txid = 50; s->f.file_timeline = 3;
    s->f.file_checksum = 0xc50;)
ROW(followed_elsewhere, followed_at_tip(s); s->f.file_txid = 30; s->f.file_checksum = 0xc30;)
ROW(followed_fork, followed_old(s); s->f.fork = true;)
ROW(restored_fork, restored_old(s); s->f.fork = true;)
ROW(own_claim, s->local.pos.timeline = 2; s->local.pos.txid = 40; s->f.tip_txid = 40;)
ROW(own_claim_sealed, own_claim(s); s->f.newest_sealed = true;)
ROW(own_claim_used, own_claim(s); s->f.tip_txid = 41;)
ROW(claim_of_others, own_claim(s); s->f.origin_is_ours = false; s->f.newest_is_ours = false;)
ROW(other_database, s->local.database = other_history;)
ROW(other_database_adopt, s->local.database = other_history; s->f.adopt = true;)
ROW(other_database_adopt_hashed, other_database_adopt(s); s->f.file_hashed = true;)
ROW(broken, s->f.found = LOCAL_STATE_BROKEN;)
ROW(broken_not_ours, s->f.found = LOCAL_STATE_BROKEN; s->f.newest_is_ours = false;)
ROW(broken_other_database, s->f.found = LOCAL_STATE_BROKEN; s->local.database = other_history;)
ROW(broken_sealed, s->f.found = LOCAL_STATE_BROKEN; s->f.newest_sealed = true;)
ROW(runs_only, s->local.pos.page_count = 0;)
ROW(runs_only_no_commit, s->local.pos.page_count = 0; s->f.tip_txid = 0;)
ROW(no_state, no_local_state(s);)
ROW(empty_timeline, no_local_state(s); s->f.newest_is_ours = false; s->f.tip_txid = 0;)
ROW(empty_timeline_adopt, empty_timeline(s); s->f.adopt = true;)
ROW(empty_timeline_replace, empty_timeline(s); s->f.replace_unbegun = true;)
ROW(tip_not_replaced, no_local_state(s); s->f.newest_is_ours = false; s->f.replace_unbegun = true;)
ROW(empty_timeline_fork, empty_timeline(s); s->f.fork = true;)
ROW(tip_found, hashed_tip(s);)
ROW(old_found, hashed_old(s);)
ROW(old_found_fork, hashed_old(s); s->f.fork = true;)
ROW(old_found_adopt, hashed_old(s); s->f.adopt = true;)
ROW(nowhere, hashed_nowhere(s);)
ROW(nowhere_fork, hashed_nowhere(s); s->f.fork = true;)
ROW(nowhere_adopt, hashed_nowhere(s); s->f.adopt = true;)
ROW(nowhere_begun_meanwhile, hashed_nowhere(s); s->f.replace_unbegun = true;)
ROW(nowhere_begun_meanwhile_adopt, hashed_nowhere(s); s->f.replace_unbegun = s->f.adopt = true;)

static const struct {
    const char *name;
    void (*make)(struct scene *s);
    enum err_code code;
    enum lineage_action action;
    uint32_t parent;
    uint64_t fork, checksum;
    const char *say[4]; /* in the message or the note */
} rows[] = {
#define GOOD(make, action, parent, fork, sum, ...)              \
    {                                                           \
#make, make, E_OK, LINEAGE_##action, parent, fork, sum, \
        {                                                       \
            __VA_ARGS__                                         \
        }                                                       \
    }
#define REFUSED(make, code, ...)                      \
    {                                                 \
#make, make, code, LINEAGE_CONTINUE, 0, 0, 0, \
        {                                             \
            __VA_ARGS__                               \
        }                                             \
    }
    GOOD(as_it_is, CONTINUE, 0, 0, 0),
    REFUSED(no_history, E_CONFIG, "nothing at file:///replica", "txid 50", "disk mounted", "--adopt"),
    GOOD(no_history_adopt, NEW_HISTORY, 0, 0, 0),
    GOOD(no_history_no_state, NEW_HISTORY, 0, 0, 0),
    GOOD(claimed_no_timeline, NEW_HISTORY, 0, 0, 0),
    GOOD(replica_ahead, RETRACE, 0, 0, 0),
    GOOD(replica_behind, ADOPT, 3, 47, 0xc47, "lost commits", "txid 47", "txid 50"),
    REFUSED(sealed, E_FENCED, "another writer owns the history", "weir restore", "--fork"),
    GOOD(sealed_fork, TAKE_OVER, 3, 50, 0xc50, "txid 50", "timeline 3"),
    REFUSED(went_on, E_FENCED, "txid 50", "txid 70", "blpha", "--fork"),
    GOOD(went_on_fork, TAKE_OVER, 3, 50, 0xc50, "txid 50 of 2026-11-21", "timeline 3"),
    REFUSED(went_on_fork_off_path, E_CONFIG, "not a state of the history", "txid 50", "file:///replica", "--adopt"),
    GOOD(went_on_adopt, HASH_FILE, 0, 0, 0),
    GOOD(went_on_adopt_hashed, ADOPT, 4, 70, 0xc70, "txid 70"),
    REFUSED(foreign, E_FENCED, "another writer owns the history", "txid 50", "txid 55", "--fork"),
    GOOD(restored, TAKE_OVER, 3, 50, 0xc50, "txid 50"),
    REFUSED(restored_old, E_FENCED, "restored as the newest state (txid 20",
        "the replica at file:///replica is at txid 50", "alpha", "--fork"),
    GOOD(restored_idle, TAKE_OVER, 2, 20, 0xc20, "txid 20", "timeline 2"),
    REFUSED(restored_other_20, E_FENCED, "restored as the newest state (txid 20"),
    GOOD(restored_chosen, TAKE_OVER, 2, 20, 0xc20, "txid 20", "timeline 2"),
    GOOD(followed_old, HASH_FILE, 0, 0, 0, ""),
    GOOD(followed_at_tip, TAKE_OVER, 3, 50, 0xc50, "the copy is ahead of its local state", "txid 50"),
    REFUSED(followed_elsewhere, E_FENCED, "restored as the newest state (txid 20"),
    GOOD(followed_fork, TAKE_OVER, 2, 20, 0xc20, "txid 20", "timeline 2"),
    GOOD(restored_fork, TAKE_OVER, 2, 20, 0xc20, "txid 20", "timeline 2"),
    GOOD(own_claim, CONTINUE, 0, 0, 0),
    REFUSED(own_claim_sealed, E_FENCED, "txid 40", "weir restore", "--fork"),
    REFUSED(own_claim_used, E_FENCED, "txid 40", "txid 41", "--fork"),
    REFUSED(claim_of_others, E_FENCED, "another writer", "--fork"),
    REFUSED(other_database, E_CONFIG, "02000000000000000000000000000000", "01000000000000000000000000000000",
        "file:///replica", "--adopt"),
    GOOD(other_database_adopt, HASH_FILE, 0, 0, 0),
    GOOD(other_database_adopt_hashed, ADOPT, 3, 50, 0xc50, "adopted"),
    GOOD(broken, RESNAPSHOT, 0, 0, 0, "goes on with a snapshot"),
    GOOD(broken_not_ours, HASH_FILE, 0, 0, 0),
    GOOD(broken_other_database, HASH_FILE, 0, 0, 0),
    GOOD(broken_sealed, HASH_FILE, 0, 0, 0),
    GOOD(runs_only, RESNAPSHOT, 0, 0, 0, "snapshot"),
    GOOD(runs_only_no_commit, NEW_HISTORY, 0, 0, 0),
    GOOD(no_state, HASH_FILE, 0, 0, 0),
    REFUSED(empty_timeline, E_FENCED, "alpha", "has not written its first commit yet", "--adopt", "file:///replica"),
    GOOD(empty_timeline_adopt, ADOPT, 3, 0, 0),
    GOOD(empty_timeline_replace, ADOPT, 3, 0, 0, "never got to its first commit"),
    GOOD(tip_not_replaced, HASH_FILE, 0, 0, 0),
    GOOD(empty_timeline_fork, ADOPT, 3, 0, 0),
    GOOD(tip_found, TAKE_OVER, 3, 50, 0xc50, "the file is exactly txid 50"),
    REFUSED(old_found, E_FENCED, "txid 20", "txid 50", "weir restore", "--fork"),
    GOOD(old_found_fork, TAKE_OVER, 2, 20, 0xc20, "txid 20"),
    GOOD(old_found_adopt, ADOPT, 3, 50, 0xc50, "adopted", "txid 50"),
    REFUSED(nowhere, E_CONFIG, "000000000000dead", "0000000000000c50", "weir restore", "--adopt"),
    REFUSED(nowhere_fork, E_CONFIG, "000000000000dead", "weir restore", "--adopt"),
    GOOD(nowhere_adopt, ADOPT, 3, 50, 0xc50, "adopted"),
    REFUSED(nowhere_begun_meanwhile, E_FENCED, "on alpha", "txid 50", "weir restore"),
    GOOD(nowhere_begun_meanwhile_adopt, ADOPT, 3, 50, 0xc50, "adopted"),
};

static void every_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lineage_decision d;
        struct scene s;
        struct err err = {0};
        struct rc rc;

        set(&s);
        rows[i].make(&s);
        rc = lineage_decide(&s.f, &d, &err);
        if (rc.code != rows[i].code)
            fail_msg("%s: %s, %s", rows[i].name, rc_name(rc.code), err.msg);
        for (size_t k = 0; k < 4 && rows[i].say[k] != NULL; k++) {
            const char *text = rc_failed(rc) ? err.msg : d.note;

            if (strstr(text, rows[i].say[k]) == NULL)
                fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].name, text, rows[i].say[k]);
        }
        if (rc_failed(rc)) {
            assert_non_null(strstr(err.msg, s.f.path));
            if (rows[i].make != restored_old) /* which says "the replica" */
                assert_non_null(strstr(err.msg, s.f.url));
            continue;
        }
        if (d.action != rows[i].action || d.parent != rows[i].parent || d.fork != rows[i].fork
            || d.fork_checksum != rows[i].checksum)
            fail_msg("%s: action %u, parent %u, fork %llu, checksum %llx", rows[i].name, d.action, d.parent,
                (unsigned long long)d.fork, (unsigned long long)d.fork_checksum);
        if (rows[i].say[0] == NULL)
            assert_string_equal(d.note, "");
    }
}

/* Whatever the facts are: with nothing allowed, nothing that is not provably ours is written to or taken over. */
static void never_by_accident(void **state)
{
    uint64_t seed = 9;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct lineage_decision d;
        struct scene s;
        struct err err;
        uint64_t bits = check_random(&seed);

        set(&s);
        s.f.newest_is_ours = bits & 1;
        s.f.origin_is_ours = bits >> 1 & 1;
        s.f.newest_sealed = bits >> 2 & 1;
        s.f.foreign_after = bits >> 3 & 1;
        s.local.restored = bits >> 4 & 1;
        s.local.chosen = bits >> 17 & 1;
        s.f.found = bits >> 5 & 3 ? LOCAL_STATE_GOOD : bits >> 7 & 1 ? LOCAL_STATE_NONE : LOCAL_STATE_BROKEN;
        s.f.tip_txid = 48 + (bits >> 8 & 3);
        s.local.pos.timeline = 2 + (bits >> 10 & 1);
        if ((bits >> 11 & 3) == 0)
            s.local.database = other_history;
        s.f.file_hashed = bits >> 13 & 1;
        if (bits >> 14 & 1) {
            s.f.file_txid = 48 + (bits >> 15 & 3);
            s.f.file_timeline = 3;
        }
        if (rc_failed(lineage_decide(&s.f, &d, &err))) {
            assert_true(err.code == E_FENCED || err.code == E_CONFIG);
            continue;
        }
        if (d.action == LINEAGE_CONTINUE || d.action == LINEAGE_RETRACE) {
            assert_int_equal(s.f.found, LOCAL_STATE_GOOD);
            assert_true(nonce_equal(&s.local.database, &history));
            assert_false(s.f.newest_sealed);
        }
        if (d.action == LINEAGE_RETRACE || (d.action == LINEAGE_CONTINUE && s.local.pos.timeline == 3))
            assert_false(s.f.foreign_after || s.local.restored);
        if (d.action == LINEAGE_RESNAPSHOT)
            assert_true(s.f.newest_is_ours && !s.f.newest_sealed && !s.f.foreign_after);
        if (d.action == LINEAGE_TAKE_OVER) /* a restored file, or one that is exactly the tip */
            assert_true(
                (s.local.restored
                    && (s.local.chosen || (s.f.tip_txid == 50 && s.f.tip_checksum == 0xc50 && s.f.local_on_path)))
                || (s.f.file_hashed && s.f.file_txid == s.f.tip_txid));
        if (d.action == LINEAGE_ADOPT) /* only where the replica lost what it had acknowledged */
            assert_true(s.f.found == LOCAL_STATE_GOOD && s.f.tip_txid < s.local.pos.txid && !s.f.foreign_after);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(never_by_accident),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
