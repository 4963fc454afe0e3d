/* SPDX-License-Identifier: Apache-2.0 */
#include "config_yaml.h"

#include "alloc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

struct parser {
    yaml_parser_t yaml;
    const char *file;
    struct span bytes;
    size_t node_count;
    unsigned depth;
    struct err *err;
};

/* --- the tree ----------------------------------------------------------------------------------------------------- */

static void wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    mem_free(text);
}

/* The depth is bounded, the number of siblings is not small: only the former recurses. */
void config_yaml_free(struct config_yaml *node)
{
    if (node == NULL)
        return;
    for (struct config_yaml *child = node->first, *next; child != NULL; child = next) {
        next = child->next;
        config_yaml_free(child);
    }
    wipe(node->text);
    mem_free(node->key);
    mem_free(node);
}

void config_yaml_freep(struct config_yaml **node)
{
    config_yaml_free(*node);
}

const struct config_yaml *config_yaml_get(const struct config_yaml *map, const char *key)
{
    assert(map->kind == CONFIG_YAML_MAP);
    for (const struct config_yaml *child = map->first; child != NULL; child = child->next)
        if (strcmp(child->key, key) == 0)
            return child;
    return NULL;
}

const char *config_yaml_kind_name(enum config_yaml_kind kind)
{
    static const char *const names[] = {"a single value", "a list", "a mapping"};

    return names[kind];
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

PRINTF(3, 4) static struct rc refuse(struct parser *p, const yaml_mark_t *mark, const char *fmt, ...)
{
    char text[ERR_MSG_SIZE];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap); /* cut when too long */
    va_end(ap);
    return rc_raise(p->err, E_CONFIG, "%s:%zu:%zu: %s", p->file, mark->line + 1, mark->column + 1, text);
}

/* libyaml tells only the byte where text stops being UTF-8. */
static yaml_mark_t mark_of_offset(const struct parser *p, size_t offset)
{
    yaml_mark_t mark = {0};

    for (size_t i = 0; i < offset && i < p->bytes.size; i++) {
        if (p->bytes.data[i] == '\n') {
            mark.line++;
            mark.column = 0;
        } else if ((p->bytes.data[i] & 0xc0) != 0x80) {
            mark.column++;
        }
    }
    return mark;
}

static struct rc syntax_error(struct parser *p)
{
    const yaml_parser_t *y = &p->yaml;
    yaml_mark_t mark = y->problem_mark;
    const char *problem = y->problem != NULL ? y->problem : "cannot be read";

    if (y->error == YAML_MEMORY_ERROR)
        return rc_raise(p->err, E_NOMEM, "%s: out of memory", p->file);
    if (y->error == YAML_READER_ERROR) {
        mark = mark_of_offset(p, y->problem_offset);
        return refuse(p, &mark, "this is not text in UTF-8: %s", problem);
    }
    if (y->context != NULL)
        return refuse(p, &mark, "not valid YAML: %s (%s, line %zu)", problem, y->context, y->context_mark.line + 1);
    return refuse(p, &mark, "not valid YAML: %s", problem);
}

static struct rc next_event(struct parser *p, yaml_event_t *event)
{
    if (yaml_parser_parse(&p->yaml, event) != 1)
        return syntax_error(p);
    return RC_OK;
}

/* --- events into nodes -------------------------------------------------------------------------------------------- */

static bool is_null(const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value;

    if (e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    return text[0] == 0 || strcmp(text, "~") == 0 || strcmp(text, "null") == 0;
}

static struct rc check_text(struct parser *p, const yaml_event_t *e)
{
    const unsigned char *text = e->data.scalar.value;
    size_t size = e->data.scalar.length;

    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\n')
            return refuse(p, &e->start_mark, "a value must be one line");
        if (text[i] < 0x20 || text[i] == 0x7f)
            return refuse(p, &e->start_mark, "a value must not hold control characters (here 0x%02x)", text[i]);
    }
    return RC_OK;
}

static struct rc check_properties(
    struct parser *p, const yaml_event_t *e, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor != NULL)
        return refuse(p, &e->start_mark, "anchors (&%.64s) are not supported: use defaults:", (const char *)anchor);
    if (tag != NULL)
        return refuse(p, &e->start_mark, "tags (%.64s) are not supported", (const char *)tag);
    return RC_OK;
}

static struct rc check_event(struct parser *p, const yaml_event_t *e)
{
    if (e->type == YAML_ALIAS_EVENT)
        return refuse(
            p, &e->start_mark, "aliases (*%.64s) are not supported: use defaults:", (char *)e->data.alias.anchor);
    if (e->type == YAML_SCALAR_EVENT) {
        TRY(check_properties(p, e, e->data.scalar.anchor, e->data.scalar.tag));
        return check_text(p, e);
    }
    if (e->type == YAML_SEQUENCE_START_EVENT)
        return check_properties(p, e, e->data.sequence_start.anchor, e->data.sequence_start.tag);
    assert(e->type == YAML_MAPPING_START_EVENT);
    return check_properties(p, e, e->data.mapping_start.anchor, e->data.mapping_start.tag);
}

static struct rc node_of_event(struct parser *p, const yaml_event_t *e, struct config_yaml **out)
{
    struct config_yaml *node;

    TRY(check_event(p, e));
    if (++p->node_count > CONFIG_YAML_NODES_MAX)
        return refuse(p, &e->start_mark, "more than %d values", CONFIG_YAML_NODES_MAX);
    node = mem_new(sizeof *node);
    node->line = (unsigned)e->start_mark.line + 1;
    node->column = (unsigned)e->start_mark.column + 1;
    if (e->type == YAML_SCALAR_EVENT) {
        node->kind = CONFIG_YAML_SCALAR;
        node->empty = is_null(e);
        node->text = mem_strdup((const char *)e->data.scalar.value);
    } else {
        node->kind = e->type == YAML_SEQUENCE_START_EVENT ? CONFIG_YAML_LIST : CONFIG_YAML_MAP;
    }
    *out = node;
    return RC_OK;
}

static void adopt(struct config_yaml *parent, struct config_yaml ***last, struct config_yaml *child)
{
    **last = child;
    *last = &child->next;
    parent->count++;
}

static struct rc parse_node(struct parser *p, const yaml_event_t *e, struct config_yaml **out);

/* The next value; NULL when the list or the mapping ends here. */
static struct rc parse_next(struct parser *p, struct config_yaml **out)
{
    CLEANUP(yaml_event_delete) yaml_event_t e = {0};

    TRY(next_event(p, &e));
    if (e.type != YAML_SEQUENCE_END_EVENT && e.type != YAML_MAPPING_END_EVENT)
        return parse_node(p, &e, out);
    *out = NULL;
    return RC_OK;
}

static struct rc parse_list(struct parser *p, struct config_yaml *list)
{
    struct config_yaml **last = &list->first;

    for (;;) {
        struct config_yaml *item = NULL;

        TRY(parse_next(p, &item));
        if (item == NULL)
            return RC_OK;
        adopt(list, &last, item);
    }
}

static struct rc check_key(struct parser *p, const struct config_yaml *map, const struct config_yaml *key)
{
    yaml_mark_t mark = {.line = key->line - 1, .column = key->column - 1};
    const struct config_yaml *before;

    if (key->kind != CONFIG_YAML_SCALAR)
        return refuse(p, &mark, "a key must be a single word, not %s", config_yaml_kind_name(key->kind));
    if (key->empty || key->text[0] == 0)
        return refuse(p, &mark, "a key is empty");
    if (map->count == CONFIG_YAML_KEYS_MAX)
        return refuse(p, &mark, "more than %d keys in one mapping", CONFIG_YAML_KEYS_MAX);
    before = config_yaml_get(map, key->text);
    if (before != NULL)
        return refuse(p, &mark, "'%.100s' stands here a second time, first in line %u", key->text, before->key_line);
    return RC_OK;
}

static struct rc parse_map(struct parser *p, struct config_yaml *map)
{
    struct config_yaml **last = &map->first;

    for (;;) {
        CLEANUP(config_yaml_freep) struct config_yaml *key = NULL;
        struct config_yaml *value = NULL;

        TRY(parse_next(p, &key));
        if (key == NULL)
            return RC_OK;
        TRY(check_key(p, map, key));
        TRY(parse_next(p, &value));
        assert(value != NULL); /* libyaml gives an empty scalar for a missing one */
        value->key = MOVE(key->text);
        value->key_line = key->line;
        value->key_column = key->column;
        adopt(map, &last, value);
    }
}

static struct rc parse_node(struct parser *p, const yaml_event_t *e, struct config_yaml **out)
{
    CLEANUP(config_yaml_freep) struct config_yaml *node = NULL;

    if (p->depth == CONFIG_YAML_DEPTH_MAX)
        return refuse(p, &e->start_mark, "more than %d levels", CONFIG_YAML_DEPTH_MAX);
    TRY(node_of_event(p, e, &node));
    assert(node != NULL);
    p->depth++;
    if (node->kind == CONFIG_YAML_LIST)
        TRY(parse_list(p, node));
    else if (node->kind == CONFIG_YAML_MAP)
        TRY(parse_map(p, node));
    p->depth--;
    *out = MOVE(node);
    return RC_OK;
}

/* --- documents ---------------------------------------------------------------------------------------------------- */

static struct rc expect_end(struct parser *p)
{
    CLEANUP(yaml_event_delete) yaml_event_t end = {0};
    CLEANUP(yaml_event_delete) yaml_event_t next = {0};

    TRY(next_event(p, &end)); /* of the document */
    assert(end.type == YAML_DOCUMENT_END_EVENT);
    TRY(next_event(p, &next));
    if (next.type != YAML_STREAM_END_EVENT)
        return refuse(p, &next.start_mark, "a second document: there must be one");
    return RC_OK;
}

static struct rc parse_stream(struct parser *p, struct config_yaml **out)
{
    CLEANUP(config_yaml_freep) struct config_yaml *root = NULL;
    CLEANUP(yaml_event_delete) yaml_event_t stream = {0};
    CLEANUP(yaml_event_delete) yaml_event_t document = {0};
    CLEANUP(yaml_event_delete) yaml_event_t first = {0};

    TRY(next_event(p, &stream));
    TRY(next_event(p, &document));
    if (document.type == YAML_STREAM_END_EVENT) {
        root = mem_new(sizeof *root);
        root->kind = CONFIG_YAML_MAP;
        root->line = root->column = 1;
        *out = MOVE(root);
        return RC_OK;
    }
    TRY(next_event(p, &first));
    TRY(parse_node(p, &first, &root));
    TRY(expect_end(p));
    *out = MOVE(root);
    return RC_OK;
}

struct rc config_yaml_parse(struct config_yaml **out, const char *file, struct span bytes, struct err *err)
{
    struct parser p = {.file = file, .bytes = bytes, .err = err};
    struct rc rc;

    if (bytes.size > CONFIG_YAML_SIZE_MAX)
        return rc_raise(err, E_CONFIG, "%s: larger than %d bytes", file, CONFIG_YAML_SIZE_MAX);
    if (yaml_parser_initialize(&p.yaml) != 1)
        return rc_raise(err, E_NOMEM, "%s: out of memory", file);
    yaml_parser_set_input_string(&p.yaml, bytes.data, bytes.size);
    yaml_parser_set_encoding(&p.yaml, YAML_UTF8_ENCODING);
    rc = parse_stream(&p, out);
    yaml_parser_delete(&p.yaml);
    return rc;
}

struct rc config_yaml_load(struct config_yaml **out, const struct fsys *fs, const char *path, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes;
    struct rc rc;

    buf_init(&bytes, CONFIG_YAML_SIZE_MAX);
    rc = fsys_read_file(fs, path, &bytes, err);
    if (rc.code == E_CORRUPT) /* past the maximum */
        rc = rc_raise(err, E_CONFIG, "%s: larger than %d bytes", path, CONFIG_YAML_SIZE_MAX);
    else if (!rc_failed(rc))
        rc = config_yaml_parse(out, path, buf_span(&bytes), err);
    if (bytes.data != NULL)
        explicit_bzero(bytes.data, bytes.size);
    return rc;
}
