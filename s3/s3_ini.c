/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_ini.h"

#include <string.h>
#include <strings.h>

struct reader {
    const char *path;
    struct s3_ini_item item; /* section and key of where we are */
    bool in_section, in_key;
    size_t key_indent;
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static struct span trim(struct span s)
{
    while (s.size > 0 && is_blank(s.data[0])) {
        s.data++;
        s.size--;
    }
    while (s.size > 0 && is_blank(s.data[s.size - 1]))
        s.size--;
    return s;
}

static bool is_comment(struct span s)
{
    return s.size > 0 && (s.data[0] == '#' || s.data[0] == ';');
}

/* A comment behind a value needs white space before it, because passwords may hold these characters. */
static struct span without_comment(struct span s)
{
    for (size_t i = 1; i < s.size; i++) {
        if (is_blank(s.data[i - 1]) && (s.data[i] == '#' || s.data[i] == ';'))
            return trim(span_of(s.data, i - 1));
    }
    return is_comment(s) ? span_of(s.data, 0) : s;
}

static const uint8_t *find(struct span s, char c)
{
    return s.size > 0 ? memchr(s.data, c, s.size) : NULL;
}

static struct rc read_section(struct reader *r, struct span s, struct err *err)
{
    const uint8_t *end = find(s, ']');
    struct span name, rest;

    if (end == NULL)
        return rc_raise(err, E_CONFIG, "%s:%u: no ']' after '['", r->path, r->item.line);
    name = trim(span_of(s.data + 1, (size_t)(end - s.data) - 1));
    rest = trim(span_of(end + 1, s.size - (size_t)(end - s.data) - 1));
    if (name.size == 0)
        return rc_raise(err, E_CONFIG, "%s:%u: a section without a name", r->path, r->item.line);
    if (rest.size > 0 && !is_comment(rest))
        return rc_raise(err, E_CONFIG, "%s:%u: something stands behind the ']'", r->path, r->item.line);
    r->item.kind = S3_INI_SECTION;
    r->item.section = name;
    r->item.key = r->item.value = span_of(name.data, 0);
    r->in_section = true;
    r->in_key = false;
    return RC_OK;
}

static struct rc read_key(struct reader *r, struct span s, size_t indent, struct err *err)
{
    const uint8_t *equals = find(s, '=');

    if (!r->in_section)
        return rc_raise(err, E_CONFIG, "%s:%u: a line before the first [section]", r->path, r->item.line);
    if (equals == NULL)
        return rc_raise(err, E_CONFIG, "%s:%u: no '=' in the line", r->path, r->item.line);
    r->item.kind = S3_INI_KEY;
    r->item.key = trim(span_of(s.data, (size_t)(equals - s.data)));
    r->item.value = without_comment(trim(span_of(equals + 1, s.size - (size_t)(equals - s.data) - 1)));
    if (r->item.key.size == 0)
        return rc_raise(err, E_CONFIG, "%s:%u: nothing before the '='", r->path, r->item.line);
    r->in_key = true;
    r->key_indent = indent;
    return RC_OK;
}

/* `*told` stays false for lines that say nothing. */
static struct rc read_line(struct reader *r, struct span line, bool *told, struct err *err)
{
    struct span s = trim(line);
    size_t indent = (size_t)(s.data - line.data);

    if (s.size == 0 || is_comment(s))
        return RC_OK;
    *told = true;
    if (r->in_key && indent > r->key_indent) {
        r->item.kind = S3_INI_NESTED;
        r->item.value = s;
        return RC_OK;
    }
    if (s.data[0] == '[')
        return read_section(r, s, err);
    return read_key(r, s, indent, err);
}

struct rc s3_ini_parse(struct span text, const char *path,
    struct rc (*on_item)(void *ctx, const struct s3_ini_item *item, struct err *err), void *ctx, struct err *err)
{
    struct reader r = {.path = path};

    if (text.size > S3_INI_SIZE_MAX)
        return rc_raise(err, E_CONFIG, "%s has %zu bytes, more than the limit of %d", path, text.size, S3_INI_SIZE_MAX);
    if (find(text, 0) != NULL)
        return rc_raise(err, E_CONFIG, "%s is not a text file", path);
    if (text.size >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0)
        text = span_of(text.data + 3, text.size - 3);
    while (text.size > 0) {
        const uint8_t *end = find(text, '\n');
        struct span line = span_of(text.data, end != NULL ? (size_t)(end - text.data) : text.size);
        size_t used = line.size + (end != NULL ? 1 : 0);
        bool told = false;

        r.item.line++;
        TRY(read_line(&r, line, &told, err));
        if (told)
            TRY(on_item(ctx, &r.item, err));
        text = span_of(text.data + used, text.size - used);
    }
    return RC_OK;
}

bool s3_ini_key_is(struct span key, const char *name)
{
    return key.size == strlen(name) && strncasecmp((const char *)key.data, name, key.size) == 0;
}

bool s3_ini_is_profile(struct span section, bool config_file, const char *name)
{
    static const char prefix[] = "profile";
    const size_t n = sizeof prefix - 1;

    if (config_file) {
        if (section.size <= n || memcmp(section.data, prefix, n) != 0 || !is_blank(section.data[n]))
            return false;
        section = trim(span_of(section.data + n, section.size - n));
        /* The AWS tools write names with spaces in quotes. */
        if (section.size >= 2 && (section.data[0] == '"' || section.data[0] == '\'')
            && section.data[section.size - 1] == section.data[0])
            section = span_of(section.data + 1, section.size - 2);
    }
    return section.size == strlen(name) && memcmp(section.data, name, section.size) == 0;
}
