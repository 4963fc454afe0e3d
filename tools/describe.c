/* SPDX-License-Identifier: Apache-2.0 */
#include "describe.h"

#include "alloc.h"
#include "config_table.h"
#include "settings.h"

#include <jansson.h>
#include <stdio.h>

static void print(json_t *document)
{
    (void)json_dumpf(document, stdout, JSON_INDENT(1)); /* cli_finish() looks whether it went well */
    json_decref(document);
    (void)printf("\n");
}

/* JSON's null where there is no text. */
static json_t *text_or_null(const char *text)
{
    return text != NULL ? json_string(text) : json_null();
}

/* --- the configuration -------------------------------------------------------------------------------------------- */

static const char *type_name(enum config_type type)
{
    switch (type) {
    case CONFIG_TEXT:
        return "text";
    case CONFIG_PATH:
        return "path";
    case CONFIG_BOOL:
        return "flag";
    case CONFIG_CHOICE:
        return "choice";
    case CONFIG_DURATION:
        return "time";
    case CONFIG_SIZE:
        return "size";
    case CONFIG_COUNT:
        return "count";
    case CONFIG_LISTEN:
        return "address";
    }
    return "text";
}

static json_t *keys(const struct config_key *table, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:o}", "name", table[i].name, "type", type_name(table[i].type), "choice",
                      text_or_null(table[i].choice), "help", text_or_null(table[i].help)));
    return list;
}

/* --- the documents ------------------------------------------------------------------------------------------------ */

void describe_program(bool (*next)(size_t i, struct describe_command *out))
{
    json_t *commands = json_array();
    struct describe_command c;

    for (size_t i = 0; next(i, &c); i++)
        (void)json_array_append_new(commands, json_pack("{s:s, s:s}", "name", c.name, "about", c.about));
    print(json_pack("{s:s, s:o, s:o, s:o}", "version", WEIR_VERSION, "commands", commands, "database_keys",
        keys(config_table_db, CONFIG_DB_KEY_COUNT), "keys", keys(config_table_top, CONFIG_TOP_KEY_COUNT)));
}

void describe_cli(const struct cli *cli)
{
    json_t *options = json_array();

    for (const struct cli_option *o = cli->options; o->name != NULL; o++) {
        const char letter[2] = {o->letter, 0};

        (void)json_array_append_new(options,
            json_pack("{s:o, s:s, s:o, s:s, s:b}", "letter", text_or_null(o->letter != 0 ? letter : NULL), "name",
                o->name, "argument", text_or_null(o->argument), "help", o->help, "many", (int)o->many));
    }
    print(json_pack("{s:s, s:s, s:s, s:o, s:i, s:o}", "command", cli->command, "synopsis", cli->synopsis, "about",
        cli->about, "examples", text_or_null(cli->examples), "operand_max", cli->operand_max, "options", options));
}

int describe_databases(const struct fsys *fs, const char *file)
{
    struct config *c = NULL;
    struct err err;
    struct rc rc = settings_load(&c, (struct config_request){.fs = fs, .file = file, .any_count = true}, &err);

    if (rc_failed(rc)) {
        rc_ignore(rc, "the command that is being typed will tell");
        return rc_exit_status(E_CONFIG);
    }
    for (size_t i = 0; i < c->db_count; i++)
        if (c->dbs[i].path != NULL)
            (void)printf("%s\n", c->dbs[i].path);
    config_free(c);
    return cli_finish("", 0);
}
