/* SPDX-License-Identifier: Apache-2.0 */
#include "config_table.h"

#include "alloc.h"
#include "merge.h"
#include "strx.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

enum { QUOTE_MAX = 100, WORD_MAX = 40 };

#define YEAR_MS     (366ULL * 24 * 3600 * 1000)
#define AT(member)  offsetof(struct config_db, member)
#define TOP(member) offsetof(struct config, member)

/* A second less would make a shipper that never waits; more than a year is a slip of the unit. */
const struct config_key config_table_db[CONFIG_DB_KEY_COUNT] = {
    [CONFIG_DB_PATH] = {.name = "path", .type = CONFIG_PATH, .offset = AT(path)},
    [CONFIG_DB_DIR] = {.name = "dir", .type = CONFIG_PATH, .offset = AT(dir)},
    [CONFIG_DB_PATTERN] = {.name = "pattern", .type = CONFIG_TEXT, .offset = AT(pattern)},
    [CONFIG_DB_WATCH] = {.name = "watch", .type = CONFIG_BOOL, .offset = AT(watch)},
    [CONFIG_DB_RECURSIVE] = {.name = "recursive", .type = CONFIG_BOOL, .offset = AT(recursive)},
    [CONFIG_DB_REPLICA] = {.name = "replica", .type = CONFIG_TEXT, .offset = AT(replica)},
    [CONFIG_DB_SYNC_INTERVAL] = {.name = "sync.interval",
        .type = CONFIG_DURATION,
        .offset = AT(sync_interval_ms),
        .max = YEAR_MS,
        .has_off = true,
        .off = CONFIG_INTERVAL_OFF,
        .help = "ship at most this long after a commit; off: when asked to, and at the end"},
    [CONFIG_DB_SYNC_COMMITS] = {.name = "sync.commits",
        .type = CONFIG_COUNT,
        .offset = AT(sync_commits),
        .max = UINT32_MAX,
        .has_off = true,
        .help = "or when this many commits wait; off: however many"},
    [CONFIG_DB_SNAPSHOT_INTERVAL] = {.name = "snapshot.interval",
        .type = CONFIG_DURATION,
        .offset = AT(snapshot_interval_ms),
        .max = YEAR_MS,
        .help = "at the latest, if anything changed; 0s: the first, and when merges have grown"},
    [CONFIG_DB_MERGE_INTERVAL] = {.name = "merge.interval",
        .type = CONFIG_DURATION,
        .offset = AT(merge_interval_ms),
        .max = YEAR_MS,
        .help = "merge what changed in between; 0s: never"},
    [CONFIG_DB_MERGE_LONG_INTERVAL] = {.name = "merge.long-interval",
        .type = CONFIG_DURATION,
        .offset = AT(merge_long_interval_ms),
        .max = YEAR_MS,
        .help = "and such merges into a larger one; 0s: never"},
    [CONFIG_DB_MERGE_PERCENT] = {.name = "merge.percent",
        .type = CONFIG_COUNT,
        .offset = AT(merge_percent),
        .max = MERGE_PERCENT_MAX,
        .help = "of the log's bytes, that each of the two may store; 0: no limit"},
    [CONFIG_DB_RETENTION_EXACT] = {.name = "retention.exact",
        .type = CONFIG_DURATION,
        .offset = AT(retention_exact_ms),
        .max = 100 * YEAR_MS,
        .help = "how far back every commit is kept"},
    [CONFIG_DB_RETENTION_DAILY] = {.name = "retention.daily",
        .type = CONFIG_COUNT,
        .offset = AT(retention_daily),
        .max = 100000,
        .help = "how many days keep one state behind that"},
    [CONFIG_DB_RETENTION_WEEKLY] = {.name = "retention.weekly",
        .type = CONFIG_COUNT,
        .offset = AT(retention_weekly),
        .max = 100000,
        .help = "weeks likewise"},
    [CONFIG_DB_RETENTION_MONTHLY] = {.name = "retention.monthly",
        .type = CONFIG_COUNT,
        .offset = AT(retention_monthly),
        .max = 100000,
        .help = "months likewise"},
    [CONFIG_DB_RETENTION_INTERVAL] = {.name = "retention.interval",
        .type = CONFIG_DURATION,
        .offset = AT(retention_interval_ms),
        .min = 1000,
        .max = YEAR_MS,
        .help = "how often what need not be kept is deleted"},
    [CONFIG_DB_DRILL_INTERVAL] = {.name = "drill.interval",
        .type = CONFIG_DURATION,
        .offset = AT(drill_interval_ms),
        .max = YEAR_MS,
        .help = "restore a recent commit to scratch this often, to prove that it can be done; 0s: never"},
    [CONFIG_DB_DRILL_WINDOW] = {.name = "drill.window",
        .type = CONFIG_DURATION,
        .offset = AT(drill_window_ms),
        .max = 100 * YEAR_MS,
        .help = "of the commits so far back any; 0s: always the newest"},
    [CONFIG_DB_DRILL_MAX_SIZE] = {.name = "drill.max-size",
        .type = CONFIG_SIZE,
        .offset = AT(drill_max_size),
        .max = 1ULL << 50,
        .help = "no drills of a larger database; 0: no limit"},
    [CONFIG_DB_DRILL_RATE] = {.name = "drill.rate",
        .type = CONFIG_SIZE,
        .offset = AT(drill_rate),
        .max = 1ULL << 40,
        .help = "bytes in a second that a drill fetches; 0: no limit"},
    [CONFIG_DB_SCRUB_INTERVAL] = {.name = "scrub.interval",
        .type = CONFIG_DURATION,
        .offset = AT(scrub_interval_ms),
        .max = YEAR_MS,
        .has_off = true,
        .help = "look once in this time at every page of the live file, whether it is what was committed; off: never"},
    [CONFIG_DB_SCRUB_RATE] = {.name = "scrub.rate",
        .type = CONFIG_SIZE,
        .offset = AT(scrub_rate),
        .max = 1ULL << 40,
        .help = "bytes in a second that are read for it at most; 0: no limit"},
    [CONFIG_DB_RESTORE_IF_MISSING] = {.name = "restore-if-missing",
        .type = CONFIG_BOOL,
        .offset = AT(restore_if_missing),
        .help = "restore from the replica when there is no database"},
    [CONFIG_DB_SEED] = {.name = "seed",
        .type = CONFIG_PATH,
        .offset = AT(seed),
        .help = "used when there is neither a database nor a replica"},
    [CONFIG_DB_NO_SWITCH] = {.name = "no-switch",
        .type = CONFIG_BOOL,
        .offset = AT(no_switch),
        .help = "refuse a database in rollback mode instead of switching it to WAL mode"},
    [CONFIG_DB_LOG_LIMIT] = {.name = "log-limit",
        .type = CONFIG_SIZE,
        .offset = AT(log_limit),
        .min = 1 << 20,
        .max = 1ULL << 50,
        .help = "log that is held back for a replica that does not answer"},
    [CONFIG_DB_SPOOL_LIMIT] = {.name = "spool-limit",
        .type = CONFIG_SIZE,
        .offset = AT(spool_limit),
        .max = 1ULL << 50,
        .help = "bytes on disk that wait for it beyond that"},
    [CONFIG_DB_FENCING] = {.name = "fencing",
        .type = CONFIG_CHOICE,
        .offset = AT(fencing),
        .choice = "require|warn",
        .help = "what to do when the replica cannot keep a second writer out"},
    [CONFIG_DB_FOLD_COUNT] = {.name = "fold.count",
        .type = CONFIG_COUNT,
        .offset = AT(fold_count),
        .max = 32,
        .help = "segments that become one object; 0: each stays"},
    [CONFIG_DB_FOLD_DELETE_AFTER] = {.name = "fold.delete-after",
        .type = CONFIG_DURATION,
        .offset = AT(fold_delete_after_ms),
        .max = YEAR_MS,
        .help = "how long such segments stay beside it"},
    [CONFIG_DB_PARK_AFTER] = {.name = "park-after",
        .type = CONFIG_DURATION,
        .offset = AT(park_after_ms),
        .max = YEAR_MS,
        .help = "how long a database of a dir is quiet before it is only watched; 0s: never"},
    [CONFIG_DB_STATE_DIR] = {.name = "state-dir",
        .type = CONFIG_PATH,
        .offset = AT(state_dir),
        .help = "where the local state is kept, in a folder of its own"},
    [CONFIG_DB_PRICE] = {.name = "price",
        .type = CONFIG_TEXT,
        .offset = AT(price),
        .help = "of 1,000 requests and of a GB for a month, for estimates"},
};

const struct config_key config_table_top[CONFIG_TOP_KEY_COUNT] = {
    [CONFIG_TOP_HTTP_LISTEN] = {.name = "http.listen",
        .type = CONFIG_LISTEN,
        .offset = TOP(http_listen),
        .help = "metrics, health and dashboard"},
    [CONFIG_TOP_HTTP_TOKEN_FILE] = {.name = "http.token-file", .type = CONFIG_PATH, .offset = TOP(http_token_file)},
    [CONFIG_TOP_SOCKET] = {.name = "socket", .type = CONFIG_PATH, .offset = TOP(socket)},
    [CONFIG_TOP_LOG_LEVEL] = {.name = "log.level",
        .type = CONFIG_CHOICE,
        .offset = TOP(log_level),
        .choice = "error|warn|info|debug|trace"},
    [CONFIG_TOP_LOG_FORMAT] = {.name = "log.format",
        .type = CONFIG_CHOICE,
        .offset = TOP(log_format),
        .choice = "text|json"},
    [CONFIG_TOP_SHUTDOWN_TIMEOUT] = {.name = "shutdown-timeout",
        .type = CONFIG_DURATION,
        .offset = TOP(shutdown_ms),
        .max = YEAR_MS,
        .help = "how long SIGTERM may take to ship what is left"},
};

int config_table_find(const struct config_key *table, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* --- text to value ------------------------------------------------------------------------------------------------ */

static struct rc parse_bool(const char *text, bool *out, struct err *err)
{
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return rc_raise(err, E_CONFIG, "'%.*s' is not true or false", QUOTE_MAX, text);
    *out = text[0] == 't';
    return RC_OK;
}

/* The word number `n` of "a|b|c"; its length, 0 behind the last. */
static size_t choice_word(const char *choice, int n, const char **word)
{
    for (; n > 0; n--) {
        choice += strcspn(choice, "|");
        choice += *choice == '|';
    }
    *word = choice;
    return strcspn(choice, "|");
}

static struct rc parse_choice(const struct config_key *key, const char *text, int *out, struct err *err)
{
    const char *word;
    size_t n;

    for (int i = 0; (n = choice_word(key->choice, i, &word)) > 0; i++)
        if (strlen(text) == n && strncmp(text, word, n) == 0) {
            *out = i;
            return RC_OK;
        }
    return rc_raise(err, E_CONFIG, "'%.*s' is none of %s", QUOTE_MAX, text, key->choice);
}

static struct rc parse_listen(const char *text, struct err *err)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;
    bool plain, bracketed;

    if (colon == NULL)
        return rc_raise(err, E_CONFIG, "'%.*s' is not HOST:PORT", QUOTE_MAX, text);
    plain = strcspn(text, ":[] /") == (size_t)(colon - text);
    bracketed = text[0] == '[' && colon > text + 1 && colon[-1] == ']'
                && strspn(text + 1, "0123456789abcdefABCDEF:.") == (size_t)(colon - text - 2);
    if (!plain && !bracketed)
        return rc_raise(err, E_CONFIG, "'%.*s' is not HOST:PORT (an IPv6 address stands in brackets)", QUOTE_MAX, text);
    TRY_CTX(strx_u64(colon + 1, 0, UINT16_MAX, &port, err), err, "port");
    return RC_OK;
}

static struct rc parse_number(const struct config_key *key, const char *text, uint64_t *out, struct err *err)
{
    struct rc rc;
    uint64_t v = 0;

    if (key->has_off && strcmp(text, "off") == 0) {
        *out = key->off;
        return RC_OK;
    }
    if (key->type == CONFIG_COUNT)
        return strx_u64(text, key->min, key->max, out, err);
    rc = key->type == CONFIG_SIZE ? strx_size(text, &v, err) : strx_duration_ms(text, &v, err);
    TRY(rc);
    if (v < key->min || v > key->max) {
        char least[STRX_HUMAN_SIZE], most[STRX_HUMAN_SIZE];

        if (key->type == CONFIG_SIZE)
            return rc_raise(err, E_CONFIG, "'%.*s' is not between %s and %s", QUOTE_MAX, text,
                strx_format_size(key->min, least), strx_format_size(key->max, most));
        return rc_raise(err, E_CONFIG, "'%.*s' is not between %s and %s", QUOTE_MAX, text,
            strx_format_duration(key->min, least), strx_format_duration(key->max, most));
    }
    *out = v;
    return RC_OK;
}

static struct rc check_path(const char *text, struct err *err)
{
    if (text[0] != '/')
        return rc_raise(err, E_CONFIG, "'%.*s' is not an absolute path", QUOTE_MAX, text);
    if (strlen(text) >= 4096) /* PATH_MAX */
        return rc_raise(err, E_CONFIG, "the path is longer than 4095 bytes");
    return RC_OK;
}

static void set_text(char **at, const char *text)
{
    char *copy = text != NULL ? mem_strdup(text) : NULL;

    mem_free(*at);
    *at = copy;
}

/* The value's address in the struct whose table the key is in: the type in the table is the type of the member. */
static void *member(const struct config_key *key, void *base)
{
    return (char *)base + key->offset;
}

static const void *member_of(const struct config_key *key, const void *base)
{
    return (const char *)base + key->offset;
}

struct rc config_table_set(const struct config_key *key, void *base, const char *text, struct err *err)
{
    void *at = member(key, base);

    if (text[0] == 0)
        return rc_raise(err, E_CONFIG, "%s has no value", key->name);
    switch (key->type) {
    case CONFIG_BOOL:
        return parse_bool(text, at, err);
    case CONFIG_CHOICE:
        return parse_choice(key, text, at, err);
    case CONFIG_DURATION:
    case CONFIG_SIZE:
    case CONFIG_COUNT:
        return parse_number(key, text, at, err);
    case CONFIG_PATH:
        TRY(check_path(text, err));
        break;
    case CONFIG_LISTEN:
        TRY(parse_listen(text, err));
        break;
    case CONFIG_TEXT:
        break;
    }
    set_text(at, text);
    return RC_OK;
}

/* --- value to text ------------------------------------------------------------------------------------------------ */

struct unit {
    uint64_t factor;
    const char *name;
};

/* In the largest unit that leaves nothing over. */
static char *with_unit(uint64_t v, const struct unit *units)
{
    while (units->factor > 1 && (v == 0 || v % units->factor != 0))
        units++;
    return mem_printf("%" PRIu64 "%s", v / units->factor, units->name);
}

char *config_table_text(const struct config_key *key, const void *base)
{
    static const struct unit times[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    static const struct unit sizes[] = {{1ULL << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}, {1, ""}};
    const void *at = member_of(key, base);
    const char *word;
    size_t n;

    if (key->has_off && *(const uint64_t *)at == key->off)
        return mem_strdup("off");
    switch (key->type) {
    case CONFIG_BOOL:
        return mem_strdup(*(const bool *)at ? "true" : "false");
    case CONFIG_CHOICE:
        n = choice_word(key->choice, *(const int *)at, &word);
        return mem_printf("%.*s", (int)n, word);
    case CONFIG_DURATION:
        return *(const uint64_t *)at == 0 ? mem_strdup("0s") : with_unit(*(const uint64_t *)at, times);
    case CONFIG_SIZE:
        return with_unit(*(const uint64_t *)at, sizes);
    case CONFIG_COUNT:
        return mem_printf("%" PRIu64, *(const uint64_t *)at);
    case CONFIG_PATH:
    case CONFIG_LISTEN:
    case CONFIG_TEXT:
        break;
    }
    return *(char *const *)at != NULL ? mem_strdup(*(char *const *)at) : NULL;
}

static bool is_text(const struct config_key *key)
{
    return key->type == CONFIG_TEXT || key->type == CONFIG_PATH || key->type == CONFIG_LISTEN;
}

static size_t value_size(const struct config_key *key)
{
    return key->type == CONFIG_BOOL ? sizeof(bool) : key->type == CONFIG_CHOICE ? sizeof(int) : sizeof(uint64_t);
}

void config_table_copy(const struct config_key *key, void *to, const void *from)
{
    if (is_text(key))
        set_text(member(key, to), *(char *const *)member_of(key, from));
    else
        memcpy(member(key, to), member_of(key, from), value_size(key));
}

bool config_table_equal(const struct config_key *key, const void *a, const void *b)
{
    const void *x = member_of(key, a), *y = member_of(key, b);

    if (is_text(key)) {
        const char *s = *(char *const *)x, *t = *(char *const *)y;

        return s == t || (s != NULL && t != NULL && strcmp(s, t) == 0);
    }
    return memcmp(x, y, value_size(key)) == 0;
}

/* --- did you mean ------------------------------------------------------------------------------------------------- */

static size_t least(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;

    return m < c ? m : c;
}

/* Insertions, deletions, replacements and swapped neighbours that make one word of the other. */
static size_t distance(const char *a, const char *b)
{
    size_t m = strlen(a), n = strlen(b), d[WORD_MAX + 1][WORD_MAX + 1];

    for (size_t i = 0; i <= m; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= n; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= m; i++)
        for (size_t j = 1; j <= n; j++) {
            d[i][j] = least(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < d[i][j])
                d[i][j] = d[i - 2][j - 2] + 1;
        }
    return d[m][n];
}

const char *config_table_nearest(const char *word, const char *const *words)
{
    const char *nearest = NULL;
    size_t size = strlen(word), best = size / 3 + 2; /* a third of the letters and one more may be wrong */

    if (size > WORD_MAX)
        return NULL;
    for (; *words != NULL; words++) {
        size_t d;

        if (strlen(*words) > WORD_MAX)
            continue;
        d = distance(word, *words);
        if (d < best && d < size) {
            best = d;
            nearest = *words;
        }
    }
    return nearest;
}

void config_table_defaults(struct config_db *db)
{
    const struct {
        enum config_db_key key;
        uint64_t *member, value;
    } numbers[] = {
        {CONFIG_DB_SYNC_INTERVAL, &db->sync_interval_ms, 1000},
        {CONFIG_DB_SNAPSHOT_INTERVAL, &db->snapshot_interval_ms, 7 * 24ULL * 3600 * 1000},
        {CONFIG_DB_MERGE_INTERVAL, &db->merge_interval_ms, 3600ULL * 1000},
        {CONFIG_DB_MERGE_LONG_INTERVAL, &db->merge_long_interval_ms, 24ULL * 3600 * 1000},
        {CONFIG_DB_MERGE_PERCENT, &db->merge_percent, 50},
        {CONFIG_DB_RETENTION_INTERVAL, &db->retention_interval_ms, 24ULL * 3600 * 1000},
        {CONFIG_DB_DRILL_INTERVAL, &db->drill_interval_ms, 24ULL * 3600 * 1000},
        {CONFIG_DB_DRILL_WINDOW, &db->drill_window_ms, 7 * 24ULL * 3600 * 1000},
        {CONFIG_DB_DRILL_MAX_SIZE, &db->drill_max_size, 10ULL << 30},
        {CONFIG_DB_DRILL_RATE, &db->drill_rate, 16ULL << 20},
        {CONFIG_DB_SCRUB_INTERVAL, &db->scrub_interval_ms, 24ULL * 3600 * 1000},
        {CONFIG_DB_SCRUB_RATE, &db->scrub_rate, 16ULL << 20},
        {CONFIG_DB_LOG_LIMIT, &db->log_limit, 256ULL << 20},
        {CONFIG_DB_SPOOL_LIMIT, &db->spool_limit, 1ULL << 30},
        {CONFIG_DB_FOLD_COUNT, &db->fold_count, 32},
        {CONFIG_DB_FOLD_DELETE_AFTER, &db->fold_delete_after_ms, 600ULL * 1000},
        {CONFIG_DB_PARK_AFTER, &db->park_after_ms, 60ULL * 1000},
    };

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (db->at[numbers[i].key] == NULL)
            *numbers[i].member = numbers[i].value;
    if (db->at[CONFIG_DB_FENCING] == NULL)
        db->fencing = CONFIG_FENCING_WARN;
    if (db->pattern == NULL && db->dir != NULL)
        db->pattern = mem_strdup("*.db");
}
