/* SPDX-License-Identifier: Apache-2.0 */
#include "local_fields.h"

#include "strx.h"

#include <inttypes.h>
#include <string.h>

void local_fields_write(
    struct buf *text, const char *head, const char *const *names, size_t count, const uint64_t *values)
{
    buf_text(text, head);
    for (size_t i = 0; i < count; i++)
        buf_printf(text, "%s %" PRIu64 "\n", names[i], values[i]);
}

char *local_fields_read(const struct fsys *fs, const char *path, const char *head, struct buf *text)
{
    const size_t n = strlen(head);
    struct err ignored;

    if (rc_failed(fsys_read_file(fs, path, text, &ignored)))
        return NULL;
    buf_put(text, "", 1);
    if (rc_failed(buf_check(text, path, &ignored)) || strlen((const char *)text->data) + 1 != text->size
        || strncmp((const char *)text->data, head, n) != 0)
        return NULL;
    return (char *)text->data + n;
}

char *local_fields_line(char **at)
{
    char *line = *at, *end = strchr(line, '\n');

    if (end == NULL)
        return NULL;
    *end = 0;
    *at = end + 1;
    return line;
}

bool local_fields_take(char **at, const char *const *names, size_t count, uint64_t *values)
{
    struct err ignored;

    for (size_t i = 0; i < count; i++) {
        const char *line = local_fields_line(at);
        const size_t n = strlen(names[i]);

        if (line == NULL || strncmp(line, names[i], n) != 0 || line[n] != ' '
            || rc_failed(strx_u64(line + n + 1, 0, INT64_MAX, &values[i], &ignored)))
            return false;
    }
    return true;
}
