/* SPDX-License-Identifier: Apache-2.0 */
/* Verifications of a history built by hand: each object in turn is removed, cut, turned by a bit, exchanged, doubled.
 * Every damage is found and named, nothing else is, and what the report calls restorable can be restored. */
#include "check.h"

#include "fault_store.h"
#include "make_history.h"
#include "restore.h"
#include "session.h"
#include "store_wait.h"
#include "verify.h"

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE_SIZE = 1024, PATH_SIZE = 1024, FORK = 13, KEYS_MAX = 128 };

static struct {
    char dir[STORE_WAIT_PATH_SIZE], root[STORE_WAIT_PATH_SIZE + 16], url[STORE_WAIT_PATH_SIZE + 32];
    char target[STORE_WAIT_PATH_SIZE + 16];
    struct make_history h;
    struct verify_opts opts;
    struct verify_report report;
    struct restore_report restored;
    struct err err;
    char *keys[KEYS_MAX];
    size_t key_count;
} kit;

/* --- a history -----------------------------------------------------------------------------------------------------
 */

static int on_file(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)where;
    if (kind == FTW_F) {
        assert_true(kit.key_count < KEYS_MAX);
        kit.keys[kit.key_count++] = strdup(path + strlen(kit.root) + 1);
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void insert(unsigned flags)
{
    char sql[160];
    struct make_history *h = &kit.h;

    (void)snprintf(sql, sizeof sql, "INSERT INTO t VALUES(NULL, %zu, randomblob(%zu))", h->count, h->count * 37 % 900);
    make_history_sql(h, sql, flags);
}

static void merge(uint64_t base, uint64_t txid, unsigned level)
{
    struct make_history *h = &kit.h;

    make_history_merge(
        h, level, make_history_find(h, 1, base), make_history_find(h, 1, txid), make_history_find(h, 1, txid)->time_ms);
}

/* Timeline 1: 1 to 20, with merges, a resync at 14 and a new beginning at 16.  2 follows it.  3 leaves 1 at 13, inside
 * of a segment, with a large transaction at its end; 4 leaves 3. */
static void build(void)
{
    struct make_history *h = &kit.h;

    make_history_init(h, kit.root, PAGE_SIZE);
    make_history_timeline(h, 0, 0);
    make_history_sql(h, "CREATE TABLE t(id INTEGER PRIMARY KEY, n, b); CREATE INDEX i ON t(n)", SEG_SNAPSHOT);
    make_history_snapshot(h);
    for (unsigned txid = 2; txid <= 20; txid++) {
        insert(txid == 14 ? SEG_RESYNC : txid == 16 ? SEG_SNAPSHOT : 0);
        if (txid == 10 || txid == 16)
            make_history_snapshot(h);
        else if (txid % 3 == 0)
            make_history_cut(h);
        if (txid == 6 || txid == 9)
            merge(txid == 6 ? 1 : 6, txid, 1);
        if (txid == 9)
            merge(1, 9, 2);
        if (txid == 10 || txid == 12)
            merge(txid == 10 ? 9 : 10, txid, 1);
    }
    make_history_cut(h);
    make_history_seal(h, 2);
    make_history_timeline(h, 1, 20);
    for (unsigned txid = 21; txid <= 25; txid++)
        insert(0);
    make_history_cut(h);
    make_history_seal(h, 3);
    make_history_timeline(h, 1, FORK);
    insert(0);
    insert(0);
    make_history_cut(h);
    make_history_sql(h, "INSERT INTO t VALUES(NULL, 0, randomblob(9500000))", 0);
    make_history_snapshot(h);
    make_history_sql(h, "DELETE FROM t WHERE n = 0; VACUUM", 0);
    make_history_snapshot(h);
    make_history_seal(h, 4);
    make_history_timeline(h, 3, 17);
    insert(0);
    make_history_cut(h);
    insert(0);
    make_history_cut(h);
}

static int set_up(void **state)
{
    (void)state;
    store_wait_scratch(kit.dir);
    (void)snprintf(kit.root, sizeof kit.root, "%s/r", kit.dir);
    (void)snprintf(kit.url, sizeof kit.url, "file://%s", kit.root);
    (void)snprintf(kit.target, sizeof kit.target, "%s/t.db", kit.dir);
    build();
    assert_true(kit.h.parts >= 2);
    assert_int_equal(nftw(kit.root, on_file, 16, FTW_PHYS), 0);
    qsort(kit.keys, kit.key_count, sizeof kit.keys[0], by_name);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    verify_fini(&kit.report);
    for (size_t i = 0; i < kit.key_count; i++)
        free(kit.keys[i]);
    make_history_fini(&kit.h);
    store_wait_unscratch(kit.dir);
    return 0;
}

/* --- files ---------------------------------------------------------------------------------------------------------
 */

static void path_of(char out[PATH_SIZE], const char *key)
{
    (void)snprintf(out, PATH_SIZE, "%s/%s", kit.root, key);
}

static struct buf read_key(const char *key)
{
    char path[PATH_SIZE];
    struct buf b;

    path_of(path, key);
    buf_init(&b, 1 << 26);
    assert_ok_err(fsys_read_file(&fsys_real, path, &b, &kit.err), &kit.err);
    return b;
}

static void write_key(const char *key, const void *data, size_t n)
{
    char path[PATH_SIZE];
    int fd;

    path_of(path, key);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), n);
    assert_int_equal(close(fd), 0);
}

static void remove_key(const char *key)
{
    char path[PATH_SIZE];

    path_of(path, key);
    assert_int_equal(unlink(path), 0);
}

static bool is_document(const char *key)
{
    return strstr(key, ".json") != NULL;
}

/* --- looking -------------------------------------------------------------------------------------------------------
 */

static struct rc run_verify(void *ctx, struct work *w, struct store *s, struct err *err)
{
    (void)ctx;
    return verify_run(w, s, &kit.opts, &kit.report, err);
}

static void verify(void)
{
    verify_fini(&kit.report);
    assert_ok_err(session_run(&fsys_real, kit.url, run_verify, NULL, &kit.err), &kit.err);
}

static void print_findings(void)
{
    for (size_t i = 0; i < kit.report.finding_count; i++)
        print_error("  %s %s: %s\n", verify_answer_name(kit.report.findings[i].answer), kit.report.findings[i].key,
            kit.report.findings[i].text);
}

/* A snapshot that is not there has no time. */
static bool names(const struct verify_finding *f, const char *key)
{
    size_t n = strlen(f->key);

    return strcmp(f->key, key) == 0
           || (n > 4 && strcmp(f->key + n - 4, "-...") == 0 && strncmp(f->key, key, n - 3) == 0);
}

/* The report names these and nothing else. */
static void assert_findings(const char *what, enum verify_answer answer, const char *const *keys, size_t count)
{
    bool same = kit.report.finding_count == count;

    for (size_t i = 0; same && i < count; i++) {
        bool found = false;

        for (size_t k = 0; k < count; k++)
            found = found || (names(&kit.report.findings[k], keys[i]) && kit.report.findings[k].answer == answer);
        same = found;
    }
    if (same)
        return;
    print_error("%s: expected %zu %s:", what, count, verify_answer_name(answer));
    for (size_t i = 0; i < count; i++)
        print_error(" %s", keys[i]);
    print_error("\n");
    print_findings();
    fail();
}

static void assert_finding(const char *what, enum verify_answer answer, const char *key)
{
    assert_findings(what, answer, &key, 1);
}

/* --- restores against the report ------------------------------------------------------------------------------------
 */

static struct rc run_restore(void *ctx, struct work *w, struct store *s, struct err *err)
{
    return restore_run(w, s, &fsys_real, ctx, &kit.restored, err);
}

static bool can_restore(const struct make_history_state *s)
{
    struct restore_opts opts = {
        .output = kit.target, .by_txid = true, .txid = s->txid, .timeline = s->timeline, .force = true};
    struct rc rc = session_run(&fsys_real, kit.url, run_restore, &opts, &kit.err);

    (void)unlink(kit.target);
    if (rc_failed(rc) && rc.code != E_CORRUPT && rc.code != E_NOTFOUND)
        assert_ok_err(rc, &kit.err);
    return !rc_failed(rc);
}

static bool reported(const struct make_history_state *s)
{
    for (size_t i = 0; i < kit.report.timeline_count; i++) {
        const struct verify_timeline *t = &kit.report.timelines[i];

        for (size_t k = 0; t->number == s->timeline && k < t->range_count; k++)
            if (s->txid >= t->ranges[k].first_txid && s->txid <= t->ranges[k].last_txid)
                return true;
    }
    return false;
}

static bool reported_lost(const struct make_history_state *s)
{
    for (size_t i = 0; i < kit.report.timeline_count; i++) {
        const struct verify_timeline *t = &kit.report.timelines[i];

        for (size_t k = 0; t->number == s->timeline && k < t->loss_count; k++)
            if (s->txid >= t->losses[k].first_txid
                && (t->losses[k].last_txid == 0 || s->txid <= t->losses[k].last_txid))
                return true;
    }
    return false;
}

static void assert_restorable_as_reported(const char *what)
{
    for (size_t i = 0; i < kit.h.count; i++) {
        const struct make_history_state *s = &kit.h.states[i];
        bool can = can_restore(s);

        if (can == reported(s) && !(can && reported_lost(s)))
            continue;
        print_error("%s: txid %" PRIu64 " of timeline %" PRIu32 " can %sbe restored (%s), the report says otherwise\n",
            what, s->txid, s->timeline, can ? "" : "not ", can ? "" : kit.err.msg);
        print_findings();
        fail();
    }
}

/* --- tests ---------------------------------------------------------------------------------------------------------
 */

static void test_whole(void **state)
{
    (void)state;
    verify();
    print_findings();
    assert_int_equal(kit.report.finding_count, 0);
    assert_false(verify_failed(&kit.report));
    assert_int_equal(kit.report.totals[VERIFY_GOOD], kit.key_count);
    assert_int_equal(kit.report.timeline_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(kit.report.timelines[i].range_count, 1);
        assert_int_equal(kit.report.timelines[i].loss_count, 0);
    }
    assert_int_equal(kit.report.timelines[2].ranges[0].first_txid, FORK + 1);
    assert_restorable_as_reported("whole");
}

/* What a replica by itself cannot know: a later end, a merge, and a snapshot that nothing depends on. */
static bool can_be_missed(const char *key)
{
    return strstr(key, "t/00000004/log/0000000000000013") != NULL || strstr(key, "/merge/") != NULL
           || strstr(key, "t/00000001/snap/000000000000000a-") != NULL || strstr(key, "t/00000003/snap/") != NULL;
}

static void test_removed(void **state)
{
    (void)state;
    for (size_t i = 0; i < kit.key_count; i++) {
        const char *key = kit.keys[i];
        struct buf bytes = read_key(key);

        remove_key(key);
        verify();
        if (can_be_missed(key))
            assert_int_equal(kit.report.finding_count, 0);
        else
            assert_finding("removed", VERIFY_MISSING, key);
        if (strstr(key, "log/0000000000000013") == NULL) /* the commit that nobody knows of */
            assert_restorable_as_reported(key);
        write_key(key, bytes.data, bytes.size);
        buf_fini(&bytes);
    }
}

static void test_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < kit.key_count; i++) {
        const char *key = kit.keys[i];
        struct buf bytes = read_key(key);
        const size_t sizes[] = {0, 1, 55, 60, bytes.size / 2, bytes.size - 9, bytes.size - 3};

        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
            write_key(key, bytes.data, sizes[k]);
            verify();
            assert_finding("cut", VERIFY_DAMAGED, key);
        }
        if (i % 4 == 0)
            assert_restorable_as_reported(key);
        write_key(key, bytes.data, bytes.size);
        buf_fini(&bytes);
    }
}

/* Fields that are there for people: nothing else says the same. */
static bool for_people(const struct buf *json, size_t at)
{
    static const char *const fields[] = {
        "\"writer\"", "\"host\"", "\"pid\"", "\"path\"", "\"time_ms\"", "\"created_ms\"", "\"page_size\""};
    size_t begin = at;

    while (begin > 0 && json->data[begin - 1] != '\n')
        begin--;
    while (begin < json->size && json->data[begin] == ' ')
        begin++;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (strncmp((const char *)json->data + begin, fields[i], strlen(fields[i])) == 0)
            return true;
    return false;
}

static void flip(const char *key, struct buf *bytes, size_t at, unsigned bit)
{
    char what[64];

    (void)snprintf(what, sizeof what, "bit %u of byte %zu", bit, at);
    bytes->data[at] = (uint8_t)(bytes->data[at] ^ 1u << bit);
    write_key(key, bytes->data, bytes->size);
    verify();
    if (!is_document(key) || !for_people(bytes, at) || kit.report.finding_count > 0)
        assert_finding(what, VERIFY_DAMAGED, key);
    bytes->data[at] = (uint8_t)(bytes->data[at] ^ 1u << bit);
}

static void test_turned_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < kit.key_count; i++) {
        const char *key = kit.keys[i];
        struct buf bytes = read_key(key);
        const size_t n = bytes.size;
        const size_t places[] = {
            0, 7, 8, 12, 17, 33, 48, 55, 56, 57, 64, n / 3, n / 2, n - 100, n - 20, n - 9, n - 8, n - 1};

        for (size_t at = i % 5; is_document(key) && at < n - 1; at += 5)
            flip(key, &bytes, at, (unsigned)at % 7);
        for (size_t k = 0; !is_document(key) && k < sizeof places / sizeof places[0]; k++)
            if (places[k] < n)
                flip(key, &bytes, places[k], (unsigned)k % 8);
        write_key(key, bytes.data, bytes.size);
        buf_fini(&bytes);
    }
}

static void test_exchanged(void **state)
{
    (void)state;
    for (size_t distance = 1; distance <= 3; distance += 2)
        for (size_t i = 0; i < kit.key_count; i++) {
            const char *const pair[] = {kit.keys[i], kit.keys[(i + distance) % kit.key_count]};
            struct buf a = read_key(pair[0]), b = read_key(pair[1]);

            write_key(pair[0], b.data, b.size);
            write_key(pair[1], a.data, a.size);
            verify();
            assert_findings("exchanged", VERIFY_DAMAGED, pair, 2);
            write_key(pair[0], a.data, a.size);
            write_key(pair[1], b.data, b.size);
            buf_fini(&a);
            buf_fini(&b);
        }
}

static void put_copy(const char *from, const char *to)
{
    struct buf bytes = read_key(from);

    write_key(to, bytes.data, bytes.size);
    buf_fini(&bytes);
}

static const char *key_with(const char *text)
{
    for (size_t i = 0; i < kit.key_count; i++)
        if (strstr(kit.keys[i], text) != NULL)
            return kit.keys[i];
    fail();
    return NULL;
}

static void test_added(void **state)
{
    static const struct {
        const char *like, *key;
        enum verify_answer answer;
    } added[] = {
        {"weir.json", "notes.txt", VERIFY_UNEXPECTED},
        {"weir.json", "t/00000001/log/readme", VERIFY_UNEXPECTED},
        {"weir.json", "t/00000002/more/0000000000000001", VERIFY_UNEXPECTED},
        {"/part/", "t/00000003/part/0000000000000010-00000000-00000000", VERIFY_UNEXPECTED},
        {"/part/", "t/00000001/part/0000000000000010-00000000-00000000", VERIFY_UNEXPECTED},
        {"/snap/", "t/00000001/snap/0000000000000005-0000000000000001", VERIFY_DAMAGED},
        {"/log/0000000000000001", "t/00000001/log/0000000000000003", VERIFY_DAMAGED},
        {"/log/0000000000000002", "t/00000003/log/0000000000000013", VERIFY_DAMAGED},
        {"/log/0000000000000002", "t/00000004/log/0000000000000014", VERIFY_DAMAGED},
        {"/log/0000000000000002", "t/00000002/log/0000000000000002", VERIFY_DAMAGED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof added / sizeof added[0]; i++) {
        char path[PATH_SIZE];

        path_of(path, added[i].key);
        *strrchr(path, '/') = 0;
        assert_ok_err(fsys_make_dirs(&fsys_real, path, 0755, &kit.err), &kit.err);
        put_copy(key_with(added[i].like), added[i].key);
        verify();
        assert_finding(added[i].key, added[i].answer, added[i].key);
        assert_int_equal(verify_failed(&kit.report), added[i].answer != VERIFY_UNEXPECTED);
        assert_int_equal(kit.report.totals[VERIFY_GOOD], kit.key_count);
        if (strstr(added[i].key, "/log/") != NULL)
            assert_restorable_as_reported(added[i].key);
        remove_key(added[i].key);
    }
}

/* A snapshot of a state that the log does not have, by the run that wrote the log and by another one. */
static void test_snapshot_of_another_state(void **state)
{
    const struct make_history_state *s = make_history_find(&kit.h, 4, 18);
    struct make_history_state other = *s;
    struct nonce writer = kit.h.writer;
    layout_text key;

    (void)state;
    other.txid = 19;
    other.time_ms = 1;
    layout_snapshot(key, 4, 19, 1);
    make_history_snapshot_of(&kit.h, &other, 1);
    verify();
    assert_finding("same run", VERIFY_DAMAGED, key);
    remove_key(key);
    kit.h.writer = nonce_new();
    make_history_snapshot_of(&kit.h, &other, 1);
    verify();
    assert_finding("other run", VERIFY_UNEXPECTED, key);
    remove_key(key);
    other.txid = 25;
    layout_snapshot(key, 4, 25, 1);
    make_history_snapshot_of(&kit.h, &other, 1);
    verify();
    assert_finding("behind the end", VERIFY_UNEXPECTED, key);
    remove_key(key);
    kit.h.writer = writer;
}

/* A segment that is whole and in its place, but does not go on where the one before it ends. */
static void test_another_chain(void **state)
{
    struct buf bytes = read_key("t/00000004/log/0000000000000013");

    (void)state;
    remove_key("t/00000004/log/0000000000000013");
    kit.h.now = kit.h.count - 2; /* go on from txid 18 once more, with a lie before */
    kit.h.states[kit.h.now].checksum ^= 1;
    insert(0);
    make_history_cut(&kit.h);
    kit.h.states[kit.h.count - 3].checksum ^= 1;
    verify();
    assert_finding("another chain", VERIFY_DAMAGED, "t/00000004/log/0000000000000013");
    free(kit.h.states[--kit.h.count].image);
    kit.h.now = kit.h.count - 1;
    assert_restorable_as_reported("another chain");
    write_key("t/00000004/log/0000000000000013", bytes.data, bytes.size);
    buf_fini(&bytes);
}

/* A part that is whole and of the right size, but not the one that the segment lists; and the one before it is gone. */
static void test_another_part(void **state)
{
    const char *first = key_with("t/00000003/part/");
    char second[PATH_SIZE];
    struct buf before, part, other;

    (void)state;
    (void)snprintf(second, sizeof second, "%s", first);
    second[strlen(second) - 1]++;
    before = read_key(first);
    part = read_key(second);
    other = read_key(second);
    buf_trim(&other, other.size - PACK_TRAILER_SIZE);
    other.data[other.size / 2] ^= 1;
    pack_put_trailer(&other);
    write_key(second, other.data, other.size);
    verify();
    assert_finding("another part", VERIFY_DAMAGED, second);
    remove_key(first);
    verify();
    assert_int_equal(kit.report.finding_count, 2);
    assert_int_equal(kit.report.counts[LAYOUT_PART][VERIFY_MISSING], 1);
    assert_int_equal(kit.report.counts[LAYOUT_PART][VERIFY_DAMAGED], 1);
    assert_restorable_as_reported("another part");
    write_key(first, before.data, before.size);
    write_key(second, part.data, part.size);
    buf_fini(&before);
    buf_fini(&part);
    buf_fini(&other);
}

static void test_one_timeline(void **state)
{
    (void)state;
    kit.opts.timeline = 2;
    verify();
    assert_int_equal(kit.report.timeline_count, 2);
    assert_int_equal(kit.report.finding_count, 0);
    kit.opts.timeline = 9;
    verify_fini(&kit.report);
    assert_fails(session_run(&fsys_real, kit.url, run_verify, NULL, &kit.err), E_NOTFOUND);
    kit.opts.timeline = 0;
}

static void test_nothing_there(void **state)
{
    char url[PATH_SIZE];

    (void)state;
    (void)snprintf(url, sizeof url, "file://%s/nowhere", kit.dir);
    verify_fini(&kit.report);
    assert_fails(session_run(&fsys_real, url, run_verify, NULL, &kit.err), E_NOTFOUND);
    assert_non_null(strstr(kit.err.msg, "no replica at"));
}

/* --- a daemon that goes on -----------------------------------------------------------------------------------------
 */

/* Documents are read behind the first listing: what happens now was not listed. */
static void cut_meanwhile(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    (void)done;
    (void)total;
    make_history_cut(&kit.h);
}

static void seal_meanwhile(void *ctx, uint64_t done, uint64_t total)
{
    bool *sealed = ctx;

    (void)done;
    (void)total;
    if (*sealed)
        return;
    *sealed = true;
    make_history_seal(&kit.h, 5);
    make_history_timeline(&kit.h, 4, 20);
}

static void test_while_it_is_written(void **state)
{
    const struct make_history_state *s;
    bool sealed = false;
    layout_text key;

    (void)state;
    insert(0); /* captured, not shipped */
    s = &kit.h.states[kit.h.count - 1];
    make_history_snapshot_of(&kit.h, s, s->time_ms);
    layout_snapshot(key, 4, s->txid, s->time_ms);
    verify();
    assert_finding("a snapshot ahead of its log", VERIFY_UNEXPECTED, key);
    kit.opts.on_progress = cut_meanwhile;
    verify();
    assert_findings("its segment comes", VERIFY_UNEXPECTED, NULL, 0);
    kit.opts = (struct verify_opts){.on_progress = seal_meanwhile, .ctx = &sealed};
    verify();
    assert_findings("a takeover", VERIFY_UNEXPECTED, NULL, 0);
    assert_true(sealed);
    kit.opts = (struct verify_opts){0};
    verify();
    assert_findings("after a takeover", VERIFY_UNEXPECTED, NULL, 0);
    assert_int_equal(kit.report.timeline_count, 5);
    remove_key("t/00000005/timeline.json");
    verify();
    assert_finding("half a takeover", VERIFY_MISSING, "t/00000005/timeline.json");
}

/* --- a store that fails --------------------------------------------------------------------------------------------
 */

struct faulty {
    struct work_item item; /* must be first */
    struct work *work;
    struct fault_store store;
    struct rc rc;
};

static void run_faulty(struct work_item *item)
{
    struct faulty *f = (struct faulty *)item;

    f->rc = verify_run(f->work, &f->store.base, &kit.opts, &kit.report, &kit.err);
}

static void on_stopped(void *ctx)
{
    (void)ctx;
}

static void on_faulty_done(struct work_item *item)
{
    struct faulty *f = (struct faulty *)item;

    store_stop(&f->store.base, on_stopped, NULL);
    work_stop(f->work);
}

static long verify_with_fault(enum fault_store_kind kind, long n, bool forever, struct rc *rc)
{
    struct faulty f = {.item = {.run = run_faulty, .done = on_faulty_done}};
    struct store_wait below;

    store_wait_open(&below, &fsys_real, kit.root);
    fault_store_init(&f.store, &below.loop, below.store);
    fault_store_arm(&f.store, kind, n, forever);
    f.work = work_new(&below.loop, 2);
    verify_fini(&kit.report);
    work_job(f.work, &f.item);
    assert_int_equal(uv_run(&below.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&below.loop), 0);
    *rc = f.rc;
    return f.store.fired;
}

static void test_every_request_fails(void **state)
{
    static const enum err_code wanted[] = {
        [FAULT_STORE_REFUSED] = E_NETWORK, [FAULT_STORE_THROTTLED] = E_THROTTLED, [FAULT_STORE_LOST] = E_TIMEOUT};

    (void)state;
    for (size_t kind = 0; kind < sizeof wanted / sizeof wanted[0]; kind++)
        for (long n = 1;; n++) {
            struct rc rc;

            if (verify_with_fault((enum fault_store_kind)kind, n, false, &rc) == 0) {
                assert_ok_err(rc, &kit.err);
                assert_true(n > (long)kit.key_count);
                break;
            }
            assert_int_equal(rc.code, wanted[kind]);
        }
}

/* Bytes that were spoilt on their way once are no damage; spoilt every time they are, and never called good. */
static void test_spoilt_answers(void **state)
{
    (void)state;
    for (size_t kind = FAULT_STORE_HALF_BODY; kind <= FAULT_STORE_WRONG_BODY; kind++)
        for (long n = 1;; n++) {
            struct rc rc;

            if (verify_with_fault((enum fault_store_kind)kind, n, false, &rc) == 0)
                break;
            if (!rc_failed(rc) && verify_failed(&kit.report))
                print_findings();
            assert_ok_err(rc, &kit.err);
            assert_false(verify_failed(&kit.report));
            assert_true(verify_with_fault((enum fault_store_kind)kind, n, true, &rc) > 0);
            assert_true(rc_failed(rc) || verify_failed(&kit.report));
        }
}

/* Merges that are whole but not of this history's states; hashes and checksums are all right in themselves. */
static void test_merges_that_lie(void **state)
{
    struct make_history_state base = *make_history_find(&kit.h, 1, 10), end = *make_history_find(&kit.h, 1, 12);
    static const struct {
        uint64_t base_lie, end_lie;
        const char *text;
    } cases[] = {
        {1, 0, "it builds on state checksum"},
        {0, 1, "the state checksum of its base with its pages is"},
    };
    layout_text key;

    (void)state;
    layout_merge(key, 1, 3, 10, 12, end.time_ms);
    kit.h.timeline = 1;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        base.checksum ^= cases[i].base_lie;
        end.checksum ^= cases[i].end_lie;
        make_history_merge(&kit.h, 3, &base, &end, end.time_ms);
        base.checksum ^= cases[i].base_lie;
        end.checksum ^= cases[i].end_lie;
        verify();
        assert_finding(cases[i].text, VERIFY_DAMAGED, key);
        assert_non_null(strstr(kit.report.findings[0].text, cases[i].text));
    }
    /* Nothing proves the base: the log still knows better. */
    end.checksum ^= 1;
    base.txid = 11; /* inside of a segment, where no snapshot is */
    base.checksum = make_history_find(&kit.h, 1, 11)->checksum;
    remove_key(key);
    make_history_merge(&kit.h, 3, &base, &end, end.time_ms);
    layout_merge(key, 1, 3, 11, 12, end.time_ms);
    verify();
    assert_finding("of another state", VERIFY_DAMAGED, key);
    assert_non_null(strstr(kit.report.findings[0].text, "the log says"));
    remove_key(key);
    kit.h.timeline = 4;
}

/* What restores over a similar file are told of its pages.  The state itself is there, whatever that is. */
static void test_page_hashes_that_lie(void **state)
{
    const struct make_history_state *base = make_history_find(&kit.h, 1, 10), *end = make_history_find(&kit.h, 1, 12);
    struct make_history_state other = *make_history_find(&kit.h, 4, 19);
    layout_text key;

    uint32_t found = 0;

    (void)state;
    other.time_ms = 1;
    kit.h.hashed = true;
    layout_snapshot(key, 4, 19, 1);
    for (uint32_t wrong = 0; wrong < 3; wrong++) {
        kit.h.wrong_hash = wrong;
        make_history_snapshot_of(&kit.h, &other, 1);
        verify();
        if (wrong > 0) {
            assert_finding("snapshot", VERIFY_DAMAGED, key);
            assert_non_null(strstr(kit.report.findings[0].text, "the hash that it carries of page"));
        }
        assert_int_equal(kit.report.finding_count, wrong > 0);
        assert_restorable_as_reported("snapshot");
        remove_key(key);
    }
    kit.h.timeline = 1;
    layout_merge(key, 1, 3, 10, 12, end->time_ms);
    for (uint32_t wrong = 0; wrong <= end->page_count; wrong++) { /* some of them it does not have */
        kit.h.wrong_hash = wrong;
        make_history_merge(&kit.h, 3, base, end, end->time_ms);
        verify();
        if (kit.report.finding_count > 0)
            assert_finding("merge", VERIFY_DAMAGED, key);
        found += kit.report.finding_count > 0;
        remove_key(key);
    }
    assert_in_range(found, 1, end->page_count);
    kit.h.hashed = false;
    kit.h.wrong_hash = 0;
    kit.h.timeline = 4;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_merges_that_lie),
        cmocka_unit_test(test_page_hashes_that_lie),
        cmocka_unit_test(test_removed),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_turned_bits),
        cmocka_unit_test(test_exchanged),
        cmocka_unit_test(test_added),
        cmocka_unit_test(test_snapshot_of_another_state),
        cmocka_unit_test(test_another_chain),
        cmocka_unit_test(test_another_part),
        cmocka_unit_test(test_one_timeline),
        cmocka_unit_test(test_nothing_there),
        cmocka_unit_test(test_every_request_fails),
        cmocka_unit_test(test_spoilt_answers),
        cmocka_unit_test(test_while_it_is_written),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
