/* SPDX-License-Identifier: Apache-2.0 */
#include "local_verified.h"

#include "alloc.h"
#include "local_fields.h"

enum { TEXT_MAX = 512, FIELDS = 4 };

static const char head[] = "weir verified 1\n";
static const char *const names[FIELDS] = {"timeline", "txid", "snapshot", "time"};

struct rc local_verified_write(const struct fsys *fs, const char *dir, const struct local_verified *v, struct err *err)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/verified", dir);
    const uint64_t values[FIELDS] = {v->timeline, v->txid, v->snapshot_txid, (uint64_t)v->time_ms};
    CLEANUP(buf_fini) struct buf text;
    struct stat st;

    buf_init(&text, TEXT_MAX);
    if (fs->stat(fs, dir, &st) != 0)
        return RC_OK;
    local_fields_write(&text, head, names, FIELDS, values);
    TRY(buf_check(&text, path, err));
    return fsys_write_atomic(fs, path, text.data, text.size, 0600, err);
}

void local_verified_read(const struct fsys *fs, const char *dir, struct local_verified *out)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/verified", dir);
    CLEANUP(buf_fini) struct buf text;
    uint64_t values[FIELDS];
    char *at;

    *out = (struct local_verified){0};
    buf_init(&text, TEXT_MAX);
    at = local_fields_read(fs, path, head, &text);
    if (at == NULL || !local_fields_take(&at, names, FIELDS, values) || *at != 0 || values[0] > UINT32_MAX)
        return;
    *out = (struct local_verified){(uint32_t)values[0], values[1], values[2], (int64_t)values[3]};
}
