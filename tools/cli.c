/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include "alloc.h"
#include "describe.h"
#include "strx.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    OPTIONS_MAX = 40,
    HELP_COLUMN = 28,
    HELP_WIDTH = 100,
    HELP_CODE = 1,    /* what getopt_long() gives for --help */
    OPTION_BASE = 256 /* and for option i: behind all letters */
};

/* --- help ----------------------------------------------------------------------------------------------------------
 */

/* Words from column `indent` on, broken before `HELP_WIDTH`; the cursor stands at `column`. */
static void print_wrapped(const char *text, int indent, int column)
{
    int spaces = 0; /* due before the next word, unless a line begins there */

    while (*text != 0) {
        int n = (int)strcspn(text, " \n");

        if (column + spaces + n > HELP_WIDTH && n > 0 && column > indent) {
            (void)printf("\n%*s", indent, "");
            column = indent;
        } else if (n > 0) {
            (void)printf("%*s", spaces, "");
            column += spaces;
        }
        (void)printf("%.*s", n, text);
        column += n;
        text += n;
        spaces = n > 0 ? 0 : spaces;
        if (*text == '\n') {
            (void)printf("\n%*s", text[1] == '\n' || text[1] == 0 ? 0 : indent, "");
            column = indent;
            spaces = 0;
            text++;
        } else if (*text == ' ') {
            spaces += column > indent;
            text++;
        }
    }
    (void)printf("\n");
}

static void print_option(const struct cli_option *o)
{
    char left[80];
    int n;

    if (o->letter != 0)
        n = snprintf(left, sizeof left, "  -%c, --%s%s%s", o->letter, o->name, o->argument != NULL ? " " : "",
            o->argument != NULL ? o->argument : "");
    else
        n = snprintf(left, sizeof left, "      --%s%s%s", o->name, o->argument != NULL ? " " : "",
            o->argument != NULL ? o->argument : "");
    if (n < HELP_COLUMN - 1)
        (void)printf("%-*s", HELP_COLUMN, left);
    else
        (void)printf("%s\n%*s", left, HELP_COLUMN, "");
    print_wrapped(o->help, HELP_COLUMN, HELP_COLUMN);
}

static void print_help(const struct cli *cli)
{
    static const struct cli_option help = {.name = "help", .help = "show this text"};

    (void)printf("Usage: weir %s %s\n\n", cli->command, cli->synopsis);
    print_wrapped(cli->about, 0, 0);
    (void)printf("\nOptions:\n");
    for (const struct cli_option *o = cli->options; o->name != NULL; o++)
        print_option(o);
    print_option(&help);
    if (cli->examples != NULL)
        (void)printf("\nExamples:\n%s", cli->examples);
}

/* --- complaints ----------------------------------------------------------------------------------------------------
 */

void cli_complain(const char *command, const char *fmt, ...)
{
    char text[ERR_MSG_SIZE + 256];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap); /* cut when too long */
    va_end(ap);
    (void)fflush(stdout); /* in order on a terminal */
    (void)fprintf(stderr, "weir%s%s: %s\n", command[0] != 0 ? " " : "", command, text);
}

int cli_fail(const char *command, const struct err *err)
{
    cli_complain(command, "%s", err->msg);
    return rc_exit_status(err->code);
}

char *cli_word(const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:,@%=";
    char *word, *to;

    if (text[0] != 0 && text[strspn(text, plain)] == 0)
        return mem_strdup(text);
    word = to = mem_new(strlen(text) * strlen("'\\''") + sizeof "''");
    *to++ = '\'';
    for (; *text != 0; text++) {
        if (*text == '\'') {
            memcpy(to, "'\\'", strlen("'\\'"));
            to += strlen("'\\'");
        }
        *to++ = *text;
    }
    *to++ = '\'';
    *to = 0;
    return word;
}

int cli_finish(const char *command, int status)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return status;
    cli_complain(command, "write to standard output: %s", strerrordesc_np(errno));
    return status != 0 ? status : 1;
}

enum outcome {
    RUN,
    HELP, /* printed */
    BAD,  /* complained */
};

static enum outcome bad(const struct cli *cli, const char *what)
{
    cli_complain(cli->command, "%s", what);
    (void)fprintf(stderr, "Try 'weir %s --help'.\n", cli->command);
    return BAD;
}

/* --- parsing -------------------------------------------------------------------------------------------------------
 */

/* The table in getopt's form; what it returns for option i is OPTION_BASE + i. */
static int make_long(const struct cli *cli, struct option *out, char *letters)
{
    int n = 0;

    *letters++ = ':'; /* a missing argument is told apart */
    for (const struct cli_option *o = cli->options; o->name != NULL; o++, n++) {
        assert(n < OPTIONS_MAX);
        out[n] = (struct option){o->name, o->argument != NULL ? required_argument : no_argument, NULL, OPTION_BASE + n};
        if (o->letter != 0) {
            *letters++ = o->letter;
            if (o->argument != NULL)
                *letters++ = ':';
        }
    }
    out[n] = (struct option){"help", no_argument, NULL, HELP_CODE};
    out[n + 1] = (struct option){0};
    *letters = 0;
    return n;
}

static int index_of_letter(const struct cli *cli, int code)
{
    int i = 0;

    while (cli->options[i].letter != code)
        i++;
    return i;
}

static enum outcome take_option(const struct cli *cli, int index, bool *seen)
{
    const struct cli_option *o = &cli->options[index];
    char text[ERR_MSG_SIZE + 64];
    struct err err;

    if (*seen && !o->many) {
        (void)snprintf(text, sizeof text, "--%s is given twice", o->name);
        return bad(cli, text);
    }
    *seen = true;
    if (o->given != NULL)
        *o->given = true;
    if (o->argument == NULL) {
        *(bool *)o->target = true;
        return RUN;
    }
    if (rc_failed(o->parse(optarg, o->target, &err))) {
        (void)snprintf(text, sizeof text, "--%s: %s", o->name, err.msg);
        return bad(cli, text);
    }
    return RUN;
}

static enum outcome take_operands(const struct cli *cli, int argc, char **argv)
{
    char text[512];

    if (argc < cli->operand_min) {
        (void)snprintf(text, sizeof text, "something is missing: weir %s %s", cli->command, cli->synopsis);
        return bad(cli, text);
    }
    if (argc > cli->operand_max) {
        (void)snprintf(
            text, sizeof text, "'%.200s' is too much: weir %s %s", argv[cli->operand_max], cli->command, cli->synopsis);
        return bad(cli, text);
    }
    for (int i = 0; i < argc; i++) {
        if (argv[i][0] == 0)
            return bad(cli, "an empty argument");
        cli->operands[i] = argv[i];
    }
    return RUN;
}

static enum outcome refuse(const struct cli *cli, int code, char **argv)
{
    char text[512];

    if (optopt > 0 && optopt < OPTION_BASE && code == '?' && strncmp(argv[optind - 1], "--", 2) != 0)
        (void)snprintf(text, sizeof text, "unknown option '-%c'", optopt);
    else if (code == ':')
        (void)snprintf(text, sizeof text, "'%.200s' needs an argument", argv[optind - 1]);
    else
        (void)snprintf(text, sizeof text, "unknown option or bad use of '%.200s'", argv[optind - 1]);
    return bad(cli, text);
}

static enum outcome parse(const struct cli *cli, int argc, char **argv)
{
    struct option table[OPTIONS_MAX + 2];
    char letters[2 * OPTIONS_MAX + 2];
    bool seen[OPTIONS_MAX] = {false};
    int code;

    if (argc == 2 && strcmp(argv[1], "--describe") == 0) {
        describe_cli(cli);
        return HELP;
    }
    (void)make_long(cli, table, letters);
    optind = 0; /* glibc: start anew, also with another table */
    opterr = 0;
    while ((code = getopt_long(argc, argv, letters, table, NULL)) != -1) {
        enum outcome outcome;
        int index;

        if (code == HELP_CODE) {
            print_help(cli);
            return HELP;
        }
        if (code == '?' || code == ':')
            return refuse(cli, code, argv);
        index = code >= OPTION_BASE ? code - OPTION_BASE : index_of_letter(cli, code);
        outcome = take_option(cli, index, &seen[index]);
        if (outcome != RUN)
            return outcome;
    }
    return take_operands(cli, argc - optind, argv + optind);
}

bool cli_parse(const struct cli *cli, int argc, char **argv, int *status)
{
    const enum outcome outcome = parse(cli, argc, argv);

    *status = outcome == BAD ? rc_exit_status(E_CONFIG) : 0;
    return outcome == RUN;
}

/* --- values --------------------------------------------------------------------------------------------------------
 */

struct rc cli_text(const char *text, void *target, struct err *err)
{
    if (text[0] == 0)
        return rc_raise(err, E_CONFIG, "empty");
    *(const char **)target = text;
    return RC_OK;
}

struct rc cli_u64(const char *text, void *target, struct err *err)
{
    return strx_u64(text, 1, INT64_MAX, target, err);
}

struct rc cli_count(const char *text, void *target, struct err *err)
{
    return strx_u64(text, 0, INT64_MAX, target, err);
}

struct rc cli_timeline(const char *text, void *target, struct err *err)
{
    uint64_t v = 0;

    TRY(strx_u64(text, 1, UINT32_MAX, &v, err));
    *(uint32_t *)target = (uint32_t)v;
    return RC_OK;
}

struct rc cli_size(const char *text, void *target, struct err *err)
{
    return strx_size(text, target, err);
}

struct rc cli_duration(const char *text, void *target, struct err *err)
{
    return strx_duration_ms(text, target, err);
}

struct rc cli_duration_or_off(const char *text, void *target, struct err *err)
{
    uint64_t ignored;

    if (strcmp(text, "off") != 0)
        TRY(strx_duration_ms(text, &ignored, err));
    return cli_text(text, target, err);
}

struct rc cli_count_or_off(const char *text, void *target, struct err *err)
{
    uint64_t ignored;

    if (strcmp(text, "off") != 0)
        TRY(strx_u64(text, 1, UINT32_MAX, &ignored, err));
    return cli_text(text, target, err);
}

struct rc cli_time(const char *text, void *target, struct err *err)
{
    return strx_time_ms(text, target, err);
}
