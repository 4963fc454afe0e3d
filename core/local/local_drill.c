/* SPDX-License-Identifier: Apache-2.0 */
#include "local_drill.h"

#include "alloc.h"
#include "strx.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FIELDS = 7, TEXT_MAX = 512 + ERR_MSG_SIZE };

static const char head[] = "weir drilled 1\n";
static const char *const names[FIELDS] = {"tried", "good", "timeline", "txid", "state", "failed", "failed-txid"};

struct rc local_drill_write(const struct fsys *fs, const char *dir, const struct local_drill *d, struct err *err)
{
    const uint64_t values[FIELDS] = {(uint64_t)d->tried_ms, (uint64_t)d->good_ms, d->timeline, d->txid,
        (uint64_t)d->state_ms, (uint64_t)d->failed_ms, d->failed_txid};
    CLEANUP(mem_freep) char *path = mem_printf("%s/drilled", dir);
    CLEANUP(buf_fini) struct buf text;

    buf_init(&text, TEXT_MAX);
    buf_text(&text, head);
    for (size_t i = 0; i < FIELDS; i++)
        buf_printf(&text, "%s %" PRIu64 "\n", names[i], values[i]);
    for (const char *p = d->why; *p != 0; p++)
        buf_u8(&text, (uint8_t)(*p == '\n' ? ' ' : *p)); /* one line */
    buf_text(&text, "\n");
    TRY(buf_check(&text, path, err));
    return fsys_write_atomic(fs, path, text.data, text.size, 0600, err);
}

/* "name value\n", each in its place, and a line of text behind them. */
static bool parse(char *text, uint64_t values[FIELDS], char **why)
{
    struct err ignored;
    char *end;

    for (size_t i = 0; i < FIELDS; i++) {
        size_t n = strlen(names[i]);

        end = strchr(text, '\n');
        if (end == NULL || strncmp(text, names[i], n) != 0 || text[n] != ' ')
            return false;
        *end = 0;
        if (rc_failed(strx_u64(text + n + 1, 0, INT64_MAX, &values[i], &ignored)))
            return false;
        text = end + 1;
    }
    end = strchr(text, '\n');
    if (end == NULL || end[1] != 0 || end - text >= ERR_MSG_SIZE)
        return false;
    *end = 0;
    *why = text;
    return true;
}

void local_drill_read(const struct fsys *fs, const char *dir, struct local_drill *out)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/drilled", dir);
    CLEANUP(buf_fini) struct buf text;
    uint64_t v[FIELDS];
    struct err ignored;
    char *why = NULL;

    *out = (struct local_drill){0};
    buf_init(&text, TEXT_MAX);
    if (rc_failed(fsys_read_file(fs, path, &text, &ignored)))
        return;
    buf_put(&text, "", 1);
    if (rc_failed(buf_check(&text, path, &ignored)) || strlen((const char *)text.data) + 1 != text.size
        || strncmp((const char *)text.data, head, sizeof head - 1) != 0
        || !parse((char *)text.data + sizeof head - 1, v, &why) || v[2] > UINT32_MAX)
        return;
    *out = (struct local_drill){.tried_ms = (int64_t)v[0],
        .good_ms = (int64_t)v[1],
        .timeline = (uint32_t)v[2],
        .txid = v[3],
        .state_ms = (int64_t)v[4],
        .failed_ms = (int64_t)v[5],
        .failed_txid = v[6]};
    (void)snprintf(out->why, sizeof out->why, "%s", why);
}
