/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_table - the keys of the configuration: name, type, range, and where the value lives in struct config or struct
 * config_db.  File, environment and command line set values through this table, and the printer reads them back, so
 * that each key exists once.
 *
 * A text becomes a value by the type of its key alone:
 *
 *     TEXT       anything that is not empty          DURATION   250ms, 10s, 5m, 24h, 7d
 *     PATH       absolute                            SIZE       512, 64KiB, 64MB, 1GiB
 *     BOOL       true or false                       COUNT      a whole number
 *     CHOICE     one of a few words                  LISTEN     HOST:PORT, [IPV6]:PORT or :PORT
 *
 * Some of the numbers can be switched off as well, by the word "off".
 */
#ifndef CONFIG_TABLE_H
#define CONFIG_TABLE_H

#include "config.h"

enum config_type {
    CONFIG_TEXT,
    CONFIG_PATH,
    CONFIG_BOOL,
    CONFIG_CHOICE,
    CONFIG_DURATION,
    CONFIG_SIZE,
    CONFIG_COUNT,
    CONFIG_LISTEN,
};

struct config_key {
    const char *name; /* "sync.interval": the path of the key in the file, one or two levels */
    enum config_type type;
    size_t offset;      /* of the value: char *, bool, int, uint64_t */
    uint64_t min, max;  /* DURATION, SIZE, COUNT */
    bool has_off;       /* likewise: "off" is a value, too ... */
    uint64_t off;       /* ... and this stands for it */
    const char *choice; /* CHOICE: the words, separated by '|', in the order of their numbers */
    const char *help;   /* one line, for the printer */
};

extern const struct config_key config_table_db[CONFIG_DB_KEY_COUNT];
extern const struct config_key config_table_top[CONFIG_TOP_KEY_COUNT];

/* The index of the key, or -1. */
int config_table_find(const struct config_key *table, size_t count, const char *name);
/* Parse `text` into the value at `base`; what was there before is freed.  Empty texts are refused for every type.  The
 * error says what is wrong with the text. */
MUST_USE struct rc config_table_set(const struct config_key *key, void *base, const char *text, struct err *err);
/* The value as text that config_table_set() takes; mem_free'd.  NULL for a text that is not there. */
char *config_table_text(const struct config_key *key, const void *base);
void config_table_copy(const struct config_key *key, void *to, const void *from);
bool config_table_equal(const struct config_key *key, const void *a, const void *b);

/* The word of `words` (NULL at the end) that is nearest to a mistyped one, or NULL when none is near. */
const char *config_table_nearest(const char *word, const char *const *words);

/* What a database's entry does not say gets its default. */
void config_table_defaults(struct config_db *db);

#endif
