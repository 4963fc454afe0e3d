/* SPDX-License-Identifier: Apache-2.0 */
#include "btree_schema.h"

#include "alloc.h"
#include "buf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { COLUMN_TYPE, COLUMN_NAME, COLUMN_TABLE, COLUMN_ROOT, COLUMN_COUNT };

void btree_schema_init(struct btree_schema *s)
{
    *s = (struct btree_schema){0};
}

void btree_schema_fini(struct btree_schema *s)
{
    for (size_t i = 0; i < s->count; i++) {
        mem_free(s->objects[i].name);
        mem_free(s->objects[i].table);
    }
    mem_free(s->objects);
    for (size_t i = 0; i < s->virtual_count; i++)
        mem_free(s->virtuals[i]);
    mem_free(s->virtuals);
    *s = (struct btree_schema){0};
}

/* --- records -------------------------------------------------------------------------------------------------------
 */

static uint64_t take_varint(struct cursor *c)
{
    uint64_t v = 0;

    for (int i = 0; i < 8; i++) {
        uint8_t byte = cursor_u8(c);

        v = v << 7 | (byte & 0x7f);
        if ((byte & 0x80) == 0)
            return v;
    }
    return v << 8 | cursor_u8(c);
}

/* Bytes of a value of this serial type. */
static uint64_t value_size(uint64_t type)
{
    static const uint8_t sizes[] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0};

    return type < 12 ? sizes[type] : (type - 12) / 2;
}

static bool is_text(uint64_t type)
{
    return type >= 13 && type % 2 == 1;
}

/* An integer that can be a page number; anything else is 0. */
static uint32_t page_number(uint64_t type, struct span value)
{
    uint64_t v = 0;

    if (type == 9)
        return 1;
    if (type < 1 || type > 6)
        return 0;
    for (size_t i = 0; i < value.size; i++)
        v = v << 8 | value.data[i];
    return v <= DBFMT_PAGE_COUNT_MAX && (value.data[0] & 0x80) == 0 ? (uint32_t)v : 0;
}

/* The first columns of the row; false when they are not all there. */
static bool take_columns(struct span prefix, uint64_t types[COLUMN_COUNT], struct span values[COLUMN_COUNT])
{
    struct cursor header = cursor_of(prefix), body;
    uint64_t header_size = take_varint(&header);

    if (header.bad || header_size > prefix.size)
        return false;
    body = cursor_of(span_of(prefix.data + header_size, prefix.size - (size_t)header_size));
    header.end = prefix.data + header_size;
    if (header.at > header.end)
        return false;
    for (int i = 0; i < COLUMN_COUNT; i++) {
        types[i] = take_varint(&header);
        if (value_size(types[i]) > cursor_left(&body))
            return false;
        values[i] = cursor_bytes(&body, (size_t)value_size(types[i]));
    }
    return !header.bad && !body.bad;
}

/* --- texts ---------------------------------------------------------------------------------------------------------
 */

static void put_character(struct buf *out, uint32_t c)
{
    if (c >= 0x80 && c < 0xa0)
        c = 0xfffd; /* control characters, too */
    if (c < 0x80) {
        buf_u8(out, (uint8_t)(c < 0x20 || c == 0x7f ? '?' : c)); /* nothing that a terminal would obey */
    } else if (c < 0x800) {
        buf_u8(out, (uint8_t)(0xc0 | c >> 6));
        buf_u8(out, (uint8_t)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        buf_u8(out, (uint8_t)(0xe0 | c >> 12));
        buf_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
        buf_u8(out, (uint8_t)(0x80 | (c & 0x3f)));
    } else {
        buf_u8(out, (uint8_t)(0xf0 | c >> 18));
        buf_u8(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
        buf_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
        buf_u8(out, (uint8_t)(0x80 | (c & 0x3f)));
    }
}

static bool is_scalar(uint32_t c)
{
    return c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
}

/* One character of UTF-8; U+FFFD and one byte further for what is none. */
static uint32_t take_utf8(struct span text, size_t *at)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = text.data[(*at)++];
    unsigned n = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf8 ? 4 : 0;
    uint32_t c = n == 1 ? first : first & (0x7fu >> n);

    if (n == 1)
        return c;
    if (n == 0 || text.size - *at < n - 1)
        return 0xfffd;
    for (unsigned i = 0; i < n - 1; i++) {
        uint8_t byte = text.data[*at + i];

        if ((byte & 0xc0) != 0x80)
            return 0xfffd;
        c = c << 6 | (byte & 0x3f);
    }
    if (c < least[n] || !is_scalar(c))
        return 0xfffd;
    *at += n - 1;
    return c;
}

static uint32_t unit(struct span text, size_t at, bool big_endian)
{
    const uint8_t *p = text.data + at;

    return big_endian ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t take_utf16(struct span text, size_t *at, bool big_endian)
{
    uint32_t c, low;

    if (text.size - *at < 2) {
        *at = text.size;
        return 0xfffd;
    }
    c = unit(text, *at, big_endian);
    *at += 2;
    if (is_scalar(c))
        return c;
    if (c >= 0xdc00 || text.size - *at < 2)
        return 0xfffd;
    low = unit(text, *at, big_endian);
    if (low < 0xdc00 || low > 0xdfff)
        return 0xfffd;
    *at += 2;
    return 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
}

static char *to_utf8(unsigned encoding, struct span text)
{
    CLEANUP(buf_fini) struct buf out;

    buf_init(&out, (size_t)3 * text.size + 4); /* one byte may become U+FFFD */
    for (size_t at = 0; at < text.size;)
        put_character(&out, encoding == BTREE_PAGE_UTF16LE || encoding == BTREE_PAGE_UTF16BE
                                ? take_utf16(text, &at, encoding == BTREE_PAGE_UTF16BE)
                                : take_utf8(text, &at));
    return mem_strdup(buf_str(&out));
}

/* --- rows ----------------------------------------------------------------------------------------------------------
 */

static struct rc make_room(struct btree_schema *s, struct err *err)
{
    if (s->count + s->virtual_count >= BTREE_SCHEMA_OBJECTS_MAX)
        return rc_raise(err, E_UNSUPPORTED, "a database of more than %d tables and indexes", BTREE_SCHEMA_OBJECTS_MAX);
    if (!mem_grow(&s->objects, s->count, &s->room, sizeof *s->objects)
        || !mem_grow(&s->virtuals, s->virtual_count, &s->virtual_room, sizeof *s->virtuals))
        return rc_raise(err, E_NOMEM, "list of %zu tables and indexes", s->count + 1);
    return RC_OK;
}

struct rc btree_schema_add(
    struct btree_schema *s, unsigned encoding, struct span prefix, bool *damaged, struct err *err)
{
    uint64_t types[COLUMN_COUNT] = {0};
    struct span values[COLUMN_COUNT];
    CLEANUP(mem_freep) char *kind = NULL;
    uint32_t root;

    *damaged = !take_columns(prefix, types, values) || !is_text(types[COLUMN_TYPE]) || !is_text(types[COLUMN_NAME])
               || !is_text(types[COLUMN_TABLE]);
    if (*damaged || values[COLUMN_TYPE].size > 20) /* "trigger" in UTF-16 is 14 */
        return RC_OK;
    root = page_number(types[COLUMN_ROOT], values[COLUMN_ROOT]);
    kind = to_utf8(encoding, values[COLUMN_TYPE]);
    if (strcmp(kind, "table") != 0 && (root < 2 || strcmp(kind, "index") != 0))
        return RC_OK;
    if (root == 1)
        return RC_OK; /* nothing but sqlite_schema begins there */
    TRY(make_room(s, err));
    if (root == 0) {
        s->virtuals[s->virtual_count++] = to_utf8(encoding, values[COLUMN_NAME]);
        return RC_OK;
    }
    s->objects[s->count++] = (struct btree_schema_object){
        .index = kind[0] == 'i',
        .name = to_utf8(encoding, values[COLUMN_NAME]),
        .table = to_utf8(encoding, values[COLUMN_TABLE]),
        .root = root,
    };
    return RC_OK;
}

static int by_root(const void *a, const void *b)
{
    const struct btree_schema_object *x = a, *y = b;

    return x->root < y->root ? -1 : x->root > y->root;
}

/* --- virtual tables ------------------------------------------------------------------------------------------------
 */

static int by_name(const void *a, const void *b)
{
    return strcasecmp(*(char *const *)a, *(char *const *)b);
}

/* The begin of a name, as a key. */
static int by_begin(const void *key, const void *element)
{
    const struct span *begin = key;
    const char *name = *(char *const *)element;
    int order = strncasecmp((const char *)begin->data, name, begin->size);

    return order != 0 ? order : -(int)(name[begin->size] != 0);
}

/* SQLite knows by asking the module which tables are its own.  Without the module only the name tells: the longest
 * virtual table's before an underscore. */
static const char *find_virtual(const struct btree_schema *s, const char *table)
{
    for (size_t n = strlen(table); n-- > 1;) {
        const struct span begin = span_of(table, n);
        char **found;

        if (table[n] != '_')
            continue;
        found = bsearch(&begin, s->virtuals, s->virtual_count, sizeof *s->virtuals, by_begin);
        if (found != NULL)
            return *found;
    }
    return NULL;
}

void btree_schema_sort(struct btree_schema *s)
{
    if (s->count > 0)
        qsort(s->objects, s->count, sizeof *s->objects, by_root);
    if (s->virtual_count == 0)
        return;
    qsort(s->virtuals, s->virtual_count, sizeof *s->virtuals, by_name);
    for (size_t i = 0; i < s->count; i++)
        s->objects[i].virtual_table = find_virtual(s, s->objects[i].table);
}

struct btree_schema_object *btree_schema_find(const struct btree_schema *s, uint32_t root)
{
    struct btree_schema_object key = {.root = root};

    return s->count == 0 ? NULL : bsearch(&key, s->objects, s->count, sizeof *s->objects, by_root);
}
