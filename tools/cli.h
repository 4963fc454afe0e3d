/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli - options, operands and help of one command, from one table.
 *
 *     const char *operands[2] = {0};
 *     const struct cli_option options[] = {
 *         {'o', "output", "FILE", "write the database there", cli_text, &output},
 *         {0, "force", NULL, "replace an existing file", NULL, &force},           a flag: target is a bool
 *         {0},
 *     };
 *     if (!cli_parse(&cli, argc, argv, &status))
 *         return status;
 *
 * Every value is parsed strictly and in whole.  An option that is given twice is an error, but for one with
 * `many`.  "--help" is always there.
 */
#ifndef CLI_H
#define CLI_H

#include "rc.h"

#include <stdint.h>

/* Parse `text` into what `target` points to; the error says what is wrong with the text. */
typedef struct rc (*cli_parse_fn)(const char *text, void *target, struct err *err);

struct cli_option {
    char letter;          /* 0: none */
    const char *name;     /* NULL ends the table */
    const char *argument; /* NULL: a flag */
    const char *help;     /* lines are broken by the printer */
    cli_parse_fn parse;   /* NULL for a flag */
    void *target;
    bool *given; /* may be NULL */
    bool many;   /* it may come again: `parse` adds to the target */
};

struct cli {
    const char *command;
    const char *synopsis; /* behind the command's name */
    const char *about;    /* one or more paragraphs */
    const char *examples; /* lines, may be NULL */
    const struct cli_option *options;
    const char **operands; /* filled in */
    int operand_min, operand_max;
};

/* True: go on.  False: help was printed, or what is wrong was complained about; the command ends with `*status`. */
bool cli_parse(const struct cli *cli, int argc, char **argv, int *status);

/* Parsers; the target's type is in the comment. */
struct rc cli_text(const char *text, void *target, struct err *err);     /* const char *; not empty */
struct rc cli_u64(const char *text, void *target, struct err *err);      /* uint64_t; 1 and up */
struct rc cli_count(const char *text, void *target, struct err *err);    /* uint64_t; 0 and up */
struct rc cli_timeline(const char *text, void *target, struct err *err); /* uint32_t; 1 and up */
struct rc cli_size(const char *text, void *target, struct err *err);     /* uint64_t */
struct rc cli_duration(const char *text, void *target, struct err *err); /* uint64_t, ms */
/* const char *, the text itself; as checked, or "off" */
struct rc cli_duration_or_off(const char *text, void *target, struct err *err);
struct rc cli_count_or_off(const char *text, void *target, struct err *err); /* 1 and up */
struct rc cli_time(const char *text, void *target, struct err *err);         /* int64_t, ms since 1970 */

/* "weir restore: ..." to stderr. */
PRINTF(2, 3) void cli_complain(const char *command, const char *fmt, ...);
/* The same for an error; its exit status. */
int cli_fail(const char *command, const struct err *err);
/* A text as one word of a command that somebody pastes into a shell; mem_free'd. */
char *cli_word(const char *text);
/* stdout is written out; 1 with a complaint when that does not work (a full disk, say), else `status`. */
int cli_finish(const char *command, int status);

#endif
