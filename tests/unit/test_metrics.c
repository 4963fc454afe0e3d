/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "metrics.h"
#include "price.h"
#include "status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int64_t wall(const struct clock *c)
{
    (void)c;
    return 1700000100500;
}

static uint64_t mono(const struct clock *c)
{
    (void)c;
    return 2000ULL * PRICE_MEASURED_MIN_MS; /* microseconds: two hours */
}

static const struct clock then = {wall, mono};

struct rig {
    struct db db;
    struct db_settings settings;
    struct store store;
    char path[100], price[40];
    bool ready;
    struct buf out;
};

static void begin(struct rig *g)
{
    static const char path[] = "/srv/we\"ird\\\n\xc3\xa4\xff.db";

    memset(g, 0, sizeof *g);
    memcpy(g->path, path, sizeof path);
    g->settings.path = g->path;
    g->db.settings = &g->settings;
    g->db.clock = &then;
    g->db.state = DB_RUNNING;
    buf_init(&g->out, 1 << 20);
}

static void fill(struct rig *g)
{
    struct db *db = &g->db;

    static const struct store_ops no_ops = {0}; /* a folder's, for instance */

    memcpy(g->price, "put=1,gb-month=2", sizeof "put=1,gb-month=2");
    g->settings.price = g->price;
    g->settings.retention.exact_ms = 1;
    db->prune.time_ms = 1700000060000;
    db->prune.kept_bytes = 250000000;
    g->store.ops = &no_ops;
    g->store.counts.requests[STORE_PUT] = 50; /* in two hours: 18,000 a month */
    db->store = &g->store;
    g->store.counts.outcomes[STORE_PUT][STORE_OUTCOME_OK] = 41;
    g->store.counts.outcomes[STORE_GET][STORE_OUTCOME_NETWORK] = 2;
    g->store.counts.bytes_out = 7000;
    g->store.counts.bytes_in = 30;
    db->txid = 12;
    db->shipped_txid = 10;
    db->shipped_time_ms = 1700000098000;
    g->settings.sync_interval_ms = 250;
    db->timeline = 3;
    db->drill.last.tried_ms = 1700000050000;
    db->drill.last.good_ms = 1700000040000;
    db->drill.alert.code = E_CORRUPT;
    g->settings.drill_interval_ms = 86400000;
    g->settings.scrub_interval_ms = 3600500;
    db->scrub.view.damaged = 3;
    db->scrub.view.passed_ms = 1700000030000;
    db->scrub.page_count = 900;
    db->shipper.put_count = 40;
    db->shipper.put_bytes = 6000;
    db->shipper.raw_bytes = (uint64_t)1 << 54;
    db->shipper.last_error.code = E_IO;
    db->log_bytes = 4152;
    db->reset_count = 1;
    db->spool_bytes = 99;
    db->snapshot_ms = 1700000000000;
    db->last_gap.txid = 7;
    db->last_gap.time_ms = 1600000000123;
    db->resync_count = 1;
}

static const char *render(struct rig *g, enum metrics_format how)
{
    const struct metrics_database d = {
        .db = &g->db, .ready = g->ready, .failure_count = 5, .gap_count = 1, .failed_ms = 1700000099000};

    buf_clear(&g->out);
    metrics_process(
        &(struct metrics_process){
            .start_ms = 1700000000250, .loaded_ms = 1700000000000, .reload_failed = true, .unshown = 11},
        how, &g->out);
    for (unsigned i = 0; i < metrics_family_count(); i++) {
        metrics_head(i, how, &g->out);
        metrics_samples(i, &d, how, &g->out);
    }
    metrics_end(how, &g->out);
    assert_int_equal(g->out.failed, E_OK);
    return buf_str(&g->out);
}

#define DB "{db=\"/srv/we\\\"ird\\\\\\n\xc3\xa4?.db\"}"

static void has(const char *text, const char *lines)
{
    if (strstr(text, lines) == NULL)
        fail_msg("there is no\n%s\nin\n%s", lines, text);
}

/* Whoever ships on demand only may have a lag of any size, and files on the local disk, and all is well. */
static void on_demand(void **state)
{
    struct rig g;

    (void)state;
    begin(&g);
    fill(&g);
    g.settings.sync_interval_ms = DB_INTERVAL_OFF;
    g.db.spool_bytes = 1000;
    g.db.error.code = g.db.shipper.last_error.code = E_OK;
    has(render(&g, METRICS_OPEN), "\nweir_sync_interval_seconds" DB " +Inf\n");
    has(render(&g, METRICS_CLASSIC), "\nweir_sync_interval_seconds" DB " +Inf\n");
    assert_string_equal(status_state(&g.db), "replicating");
    assert_true(status_lag_commits(&g.db) > 0);
    g.db.shipper.last_error.code = E_NETWORK;
    assert_string_equal(status_state(&g.db), "spooling");
    g.settings.sync_interval_ms = 250;
    g.db.shipper.last_error.code = E_OK;
    assert_string_equal(status_state(&g.db), "spooling");
    buf_fini(&g.out);
}

static void open_format(void **state)
{
    struct rig g;
    const char *text;

    (void)state;
    begin(&g);
    fill(&g);
    text = render(&g, METRICS_OPEN);
    has(text, "# TYPE weir_build info\nweir_build_info{version=\"" WEIR_VERSION "\"} 1\n");
    has(text, "# UNIT weir_start_time_seconds seconds\nweir_start_time_seconds 1700000000.250\n");
    has(text, "weir_configuration_time_seconds 1700000000\n");
    has(text, "weir_configuration_error 1\n");
    has(text, "\nweir_databases_unshown 11\n");
    has(text, "\nweir_lag_seconds" DB " 2.500\n");
    has(text, "\nweir_lag_commits" DB " 2\n");
    g.db.unshipped_ms = 1700000100000; /* nothing had to be shipped between that and the last one that was */
    has(render(&g, METRICS_OPEN), "\nweir_lag_seconds" DB " 0.500\n");
    g.db.unshipped_ms = 1700000097000; /* that one is shipped by now */
    text = render(&g, METRICS_OPEN);
    has(text, "\nweir_lag_seconds" DB " 2.500\n");
    has(text, "\nweir_sync_interval_seconds" DB " 0.250\n");
    has(text, "\nweir_local_txid" DB " 12\n");
    has(text, "\nweir_shipped_txid" DB " 10\n");
    has(text, "\nweir_shipped_time_seconds" DB " 1700000098\n");
    has(text, "\nweir_timeline" DB " 3\n");
    has(text, "# TYPE weir_segments_shipped counter\nweir_segments_shipped_total" DB " 40\n");
    has(text,
        "# TYPE weir_shipped_bytes counter\n# UNIT weir_shipped_bytes bytes\nweir_shipped_bytes_total" DB " 6000\n");
    has(text, "\nweir_changed_bytes_total" DB " 18014398509481984.000\n");
    has(text,
        "# TYPE weir_replica_requests counter\nweir_replica_requests_total{db=\"/srv/we\\\"ird\\\\\\n\xc3\xa4?.db\","
        "kind=\"put\",outcome=\"ok\"} 41\nweir_replica_requests_total{db=\"/srv/we\\\"ird\\\\\\n\xc3\xa4?.db\","
        "kind=\"get\",outcome=\"network\"} 2\n# HELP ");
    has(text, "\nweir_replica_sent_bytes_total" DB " 7000\n");
    has(text, "\nweir_replica_received_bytes_total" DB " 30\n");
    has(text, "\nweir_estimated_price_month" DB " 18.500\n");
    has(text, "\nweir_estimated_requests_price_month" DB " 18\n");
    has(text, "\nweir_log_bytes" DB " 4152\n");
    has(text, "\nweir_log_resets" DB " 1\n");
    has(text, "\nweir_spool_bytes" DB " 99\n");
    has(text, "\nweir_snapshot_time_seconds" DB " 1700000000\n");
    has(text, "\nweir_snapshot_age_seconds" DB " 100.500\n");
    has(text, "\nweir_last_verified_restore_timestamp_seconds" DB " 1700000040\n");
    has(text, "\nweir_drill_failed" DB " 1\n");
    has(text, "\nweir_drill_interval_seconds" DB " 86400\n");
    has(text, "\nweir_scrub_interval_seconds" DB " 3600.500\n");
    has(text, "\nweir_damaged_pages" DB " 3\n");
    has(text, "\nweir_scrub_pass_timestamp_seconds" DB " 1700000030\n");
    has(text, "\nweir_scrub_pages_total" DB " 900\n");
    has(text, "\nweir_gaps_total" DB " 1\n");
    has(text, "\nweir_gap_time_seconds" DB " 1600000000.123\n");
    has(text, "\nweir_resyncs_total" DB " 1\n");
    has(text, "\nweir_failures_total" DB " 5\n");
    has(text, "\nweir_failure_time_seconds" DB " 1700000099\n");
    has(text, "\nweir_error" DB " 1\n");
    has(text, "\nweir_ready" DB " 0\n");
    has(text, "\nweir_fenced" DB " 0\n");
    assert_string_equal(text + strlen(text) - 6, "# EOF\n");
    buf_fini(&g.out);
}

static void classic_format(void **state)
{
    struct rig g;
    const char *text;

    (void)state;
    begin(&g);
    fill(&g);
    text = render(&g, METRICS_CLASSIC);
    has(text, "# TYPE weir_segments_shipped_total counter\nweir_segments_shipped_total" DB " 40\n");
    has(text, "# TYPE weir_build_info gauge\nweir_build_info{");
    assert_null(strstr(text, "# UNIT"));
    assert_null(strstr(text, "# EOF"));
    assert_null(strstr(metrics_type(METRICS_CLASSIC), "openmetrics"));
    assert_non_null(strstr(metrics_type(METRICS_OPEN), "openmetrics"));
    buf_fini(&g.out);
}

/* Before anything happened: no times that never were, and every counter at 0. */
static void nothing_yet(void **state)
{
    static const char *const absent[] = {"\nweir_shipped_time_seconds{", "\nweir_snapshot_time_seconds{",
        "\nweir_snapshot_age_seconds{", "\nweir_gap_time_seconds{", "\nweir_last_verified_restore_",
        "\nweir_drill_failed{", "\nweir_damaged_pages{", "\nweir_scrub_pass_", "\nweir_drill_interval_",
        "\nweir_scrub_interval_", "\nweir_replica_sent_bytes_total{", "\nweir_replica_requests_total{",
        "\nweir_estimated_price_month{", "\nweir_estimated_requests_price_month{"};
    struct rig g;
    const char *text;

    (void)state;
    begin(&g);
    g.ready = true;
    text = render(&g, METRICS_OPEN);
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        assert_null(strstr(text, absent[i]));
    has(text, "\nweir_segments_shipped_total" DB " 0\n");
    has(text, "\nweir_lag_seconds" DB " 0\n");
    has(text, "\nweir_error" DB " 0\n");
    has(text, "\nweir_ready" DB " 1\n");
    buf_fini(&g.out);
}

/* What is not known is left out: the whole without stored bytes, both without an hour, or without prices. */
static void price_not_known(void **state)
{
    struct rig g;
    const char *text;

    (void)state;
    begin(&g);
    fill(&g);
    g.db.prune.time_ms = 0;
    text = render(&g, METRICS_OPEN);
    assert_null(strstr(text, "\nweir_estimated_price_month{"));
    has(text, "\nweir_estimated_requests_price_month" DB " 18\n");
    g.db.store_ms = PRICE_MEASURED_MIN_MS + 1;
    assert_null(strstr(render(&g, METRICS_OPEN), "\nweir_estimated_requests_price_month{"));
    g.db.store_ms = 0;
    g.settings.price = NULL;
    assert_null(strstr(render(&g, METRICS_OPEN), "\nweir_estimated_requests_price_month{"));
    buf_fini(&g.out);
}

static const struct status_closed parked_one = {
    .path = "/srv/t/p.db",
    .state = "replicating",
    .parked = true,
    .timeline = 2,
    .txid = 17,
    .snapshot_txid = 9,
    .resyncs = 3,
    .segments = 5,
    .bytes_shipped = 600,
    .bytes_changed = 7000,
    .ready = true,
    .failures = 4,
    .gaps = 2,
    .time_ms = 1700000000000,
    .snapshot_ms = 1600000000000,
    .failed_ms = 1650000000000,
};

static const char *render_closed(struct buf *out, const struct status_closed *c)
{
    buf_clear(out);
    for (unsigned i = 0; i < metrics_family_count(); i++)
        metrics_closed(i, c, 1600000060500, out);
    return buf_str(out);
}

/* What a database came to goes on while it is parked; what only an open one has is left out. */
static void closed(void **state)
{
    static const char *const want[] = {"parked", "1", "error", "0", "ready", "1", "fenced", "0", "lag_seconds", "0",
        "lag_commits", "0", "local_txid", "17", "shipped_txid", "17", "shipped_time_seconds", "1700000000", "timeline",
        "2", "segments_shipped_total", "5", "shipped_bytes_total", "600", "changed_bytes_total", "7000",
        "snapshot_time_seconds", "1600000000", "snapshot_age_seconds", "60.500", "gaps_total", "2", "resyncs_total",
        "3", "failures_total", "4", "failure_time_seconds", "1650000000"};
    CLEANUP(buf_fini) struct buf out;
    const char *text;
    size_t lines = 0;

    (void)state;
    buf_init(&out, 1 << 20);
    text = render_closed(&out, &parked_one);
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i += 2) {
        char line[200];

        (void)snprintf(line, sizeof line, "\nweir_%s{db=\"/srv/t/p.db\"} %s\n", want[i], want[i + 1]);
        has(text, line);
    }
    has(text, "weir_state{db=\"/srv/t/p.db\",state=\"replicating\"} 1\n");
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    for (unsigned i = 0; status_state_name(i) != NULL; i++)
        lines--;
    assert_int_equal(lines, sizeof want / sizeof want[0] / 2);
}

static void closed_and_failed(void **state)
{
    const struct err error = {.code = E_FENCED};
    const struct status_closed c = {.path = "x", .state = "fenced", .error = &error};
    CLEANUP(buf_fini) struct buf out;
    const char *text;

    (void)state;
    buf_init(&out, 1 << 20);
    text = render_closed(&out, &c);
    has(text, "weir_state{db=\"x\",state=\"fenced\"} 1\n");
    has(text, "\nweir_error{db=\"x\"} 1\n");
    has(text, "\nweir_ready{db=\"x\"} 0\n");
    has(text, "\nweir_fenced{db=\"x\"} 1\n");
    has(text, "\nweir_parked{db=\"x\"} 0\n");
    assert_null(strstr(text, "_time_seconds")); /* no times that never were */
    assert_null(strstr(text, "_age_seconds"));
}

/* So do drills and scrubs, which go on while it is parked. */
static void closed_and_proven(void **state)
{
    struct status_closed c = parked_one;
    CLEANUP(buf_fini) struct buf out;
    const char *text;

    (void)state;
    c.drill = (struct status_drill){.on = true, .good_ms = 1700000040000, .interval_ms = 86400000};
    c.scrub = (struct status_scrub){.on = true, .passed_ms = 1700000030000, .page_count = 900, .interval_ms = 3600000};
    buf_init(&out, 1 << 20);
    text = render_closed(&out, &c);
    has(text, "\nweir_last_verified_restore_timestamp_seconds{db=\"/srv/t/p.db\"} 1700000040\n");
    has(text, "\nweir_drill_failed{db=\"/srv/t/p.db\"} 0\n");
    has(text, "\nweir_drill_interval_seconds{db=\"/srv/t/p.db\"} 86400\n");
    has(text, "\nweir_scrub_interval_seconds{db=\"/srv/t/p.db\"} 3600\n");
    has(text, "\nweir_damaged_pages{db=\"/srv/t/p.db\"} 0\n");
    has(text, "\nweir_scrub_pass_timestamp_seconds{db=\"/srv/t/p.db\"} 1700000030\n");
    has(text, "\nweir_scrub_pages_total{db=\"/srv/t/p.db\"} 900\n");
    c.drill.failure = "drill: txid 5: gone";
    c.scrub.damaged = 4;
    text = render_closed(&out, &c);
    has(text, "\nweir_drill_failed{db=\"/srv/t/p.db\"} 1\n");
    has(text, "\nweir_damaged_pages{db=\"/srv/t/p.db\"} 4\n");
}

static void folders(void **state)
{
    const struct metrics_folder f = {.dir = "/srv/\"t\"",
        .pattern = "*.db",
        .failed = true,
        .counts = {1, 2, 3, 4, 5},
        .unproven = {7, 8, 9},
        .gone_count = 6};
    CLEANUP(buf_fini) struct buf out;

    (void)state;
    buf_init(&out, 1 << 20);
    for (unsigned i = 0; i < metrics_folder_family_count(); i++) {
        metrics_folder_head(i, METRICS_OPEN, &out);
        metrics_folder(i, &f, &out);
    }
#define FOLDER "{dir=\"/srv/\\\"t\\\"\",pattern=\"*.db\""
    has(buf_str(&out),
        "# TYPE weir_folder_databases gauge\nweir_folder_databases" FOLDER
        ",state=\"open\"} 1\nweir_folder_databases" FOLDER ",state=\"parked\"} 2\nweir_folder_databases" FOLDER
        ",state=\"starting\"} 3\nweir_folder_databases" FOLDER ",state=\"waiting\"} 4\nweir_folder_databases" FOLDER
        ",state=\"failed\"} 5\n# HELP");
    has(buf_str(&out), "# TYPE weir_folder_unproven gauge\nweir_folder_unproven" FOLDER
                       ",why=\"drill_failed\"} 7\nweir_folder_unproven" FOLDER
                       ",why=\"drill_overdue\"} 8\nweir_folder_unproven" FOLDER ",why=\"damaged\"} 9\n# HELP");
    has(buf_str(&out), "# TYPE weir_folder_gone counter\nweir_folder_gone_total" FOLDER "} 6\n");
    has(buf_str(&out), "weir_folder_error" FOLDER "} 1\n");
}

/* One and only one of the states is 1, and the families agree with it. */
static void states(void **state)
{
    static const char *const names[] = {"waiting", "starting", "replicating", "restarting", "retrying", "stopping",
        "fenced", "failed", "stopped", "behind", "spooling", "gap"};
    struct rig g;

    (void)state;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        char want[100];
        const char *text, *at;
        unsigned ones = 0;

        begin(&g);
        if (i <= DB_STOPPED)
            g.db.state = (enum db_state)i;
        else if (i == DB_STOPPED + 1)
            g.db.shipper.last_error.code = E_NETWORK;
        else if (i == DB_STOPPED + 2)
            g.db.spool_bytes = 1;
        else
            g.db.in_gap = true;
        text = render(&g, METRICS_CLASSIC);
        (void)snprintf(want, sizeof want, ",state=\"%s\"} 1\n", names[i]);
        has(text, want);
        for (at = text; (at = strstr(at, ",state=\"")) != NULL; at++)
            ones += strstr(at, "} 1\n") != NULL && strstr(at, "} 1\n") < strchr(at, '\n');
        assert_int_equal(ones, 1);
        has(text, g.db.state == DB_FENCED ? "\nweir_fenced" DB " 1\n" : "\nweir_fenced" DB " 0\n");
        buf_fini(&g.out);
    }
    assert_null(status_state_name(sizeof names / sizeof names[0]));
}

/* Prometheus's own tool has nothing to say. */
static void promtool(void **state)
{
    char file[] = "/tmp/weir-metrics-XXXXXX", command[200];
    struct rig g;
    int fd, status;

    (void)state;
    if (access("/usr/bin/promtool", X_OK) != 0)
        check_skip("there is no promtool");
    begin(&g);
    fill(&g);
    (void)render(&g, METRICS_CLASSIC);
    fd = mkstemp(file);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, g.out.data, g.out.size), g.out.size);
    (void)close(fd);
    (void)snprintf(command, sizeof command, "promtool check metrics <%s >&2", file);
    status = system(command);
    (void)unlink(file);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    buf_fini(&g.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_format),
        cmocka_unit_test(on_demand),
        cmocka_unit_test(classic_format),
        cmocka_unit_test(nothing_yet),
        cmocka_unit_test(price_not_known),
        cmocka_unit_test(closed),
        cmocka_unit_test(closed_and_failed),
        cmocka_unit_test(closed_and_proven),
        cmocka_unit_test(folders),
        cmocka_unit_test(states),
        cmocka_unit_test(promtool),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
