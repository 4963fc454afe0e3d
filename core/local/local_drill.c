/* SPDX-License-Identifier: Apache-2.0 */
#include "local_drill.h"

#include "alloc.h"
#include "local_fields.h"

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
    local_fields_write(&text, head, names, FIELDS, values);
    for (const char *p = d->why; *p != 0; p++)
        buf_u8(&text, (uint8_t)(*p == '\n' ? ' ' : *p)); /* one line */
    buf_text(&text, "\n");
    TRY(buf_check(&text, path, err));
    return fsys_write_atomic(fs, path, text.data, text.size, 0600, err);
}

/* The fields, and a line of text behind them. */
static bool parse(char *text, uint64_t values[FIELDS], char **why)
{
    if (!local_fields_take(&text, names, FIELDS, values))
        return false;
    *why = local_fields_line(&text);
    return *why != NULL && *text == 0 && strlen(*why) < ERR_MSG_SIZE;
}

void local_drill_read(const struct fsys *fs, const char *dir, struct local_drill *out)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/drilled", dir);
    CLEANUP(buf_fini) struct buf text;
    uint64_t v[FIELDS];
    char *at, *why = NULL;

    *out = (struct local_drill){0};
    buf_init(&text, TEXT_MAX);
    at = local_fields_read(fs, path, head, &text);
    if (at == NULL || !parse(at, v, &why) || v[2] > UINT32_MAX)
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
