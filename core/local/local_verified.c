/* SPDX-License-Identifier: Apache-2.0 */
#include "local_verified.h"

#include "alloc.h"
#include "strx.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 512, FIELDS = 4 };

static const char head[] = "weir verified 1\n";
static const char *const names[FIELDS] = {"timeline", "txid", "snapshot", "time"};

struct rc local_verified_write(const struct fsys *fs, const char *dir, const struct local_verified *v, struct err *err)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/verified", dir);
    char text[TEXT_MAX];
    struct stat st;
    int n;

    if (fs->stat(fs, dir, &st) != 0)
        return RC_OK;
    n = snprintf(text, sizeof text,
        "%stimeline %" PRIu32 "\ntxid %" PRIu64 "\nsnapshot %" PRIu64 "\ntime %" PRId64 "\n", head, v->timeline,
        v->txid, v->snapshot_txid, v->time_ms);
    return fsys_write_atomic(fs, path, text, (size_t)n, 0600, err);
}

/* "name value\n", each in its place. */
static bool parse(char *text, uint64_t values[FIELDS])
{
    struct err ignored;

    for (size_t i = 0; i < FIELDS; i++) {
        char *end = strchr(text, '\n');
        size_t n = strlen(names[i]);

        if (end == NULL || strncmp(text, names[i], n) != 0 || text[n] != ' ')
            return false;
        *end = 0;
        if (rc_failed(strx_u64(text + n + 1, 0, INT64_MAX, &values[i], &ignored)))
            return false;
        text = end + 1;
    }
    return *text == 0;
}

void local_verified_read(const struct fsys *fs, const char *dir, struct local_verified *out)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/verified", dir);
    CLEANUP(buf_fini) struct buf text;
    uint64_t values[FIELDS];
    struct err ignored;

    *out = (struct local_verified){0};
    buf_init(&text, TEXT_MAX);
    if (rc_failed(fsys_read_file(fs, path, &text, &ignored)))
        return;
    buf_put(&text, "", 1);
    if (rc_failed(buf_check(&text, path, &ignored)) || strlen((const char *)text.data) + 1 != text.size
        || strncmp((const char *)text.data, head, sizeof head - 1) != 0
        || !parse((char *)text.data + sizeof head - 1, values) || values[0] > UINT32_MAX)
        return;
    *out = (struct local_verified){(uint32_t)values[0], values[1], values[2], (int64_t)values[3]};
}
