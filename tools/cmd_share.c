/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
#include "commands.h"
#include "moment.h"
#include "session.h"
#include "settings.h"
#include "share.h"
#include "strx.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COMMAND "share"

struct request {
    const struct fsys *fs;
    const char *output, *file;
    struct share_opts opts;
    struct share_doc doc; /* owned */
    uint64_t expires_ms;
    struct moment moment;
};

static struct rc run(void *ctx, struct work *w, struct store *s, struct err *err)
{
    struct request *r = ctx;

    return share_make(w, s, r->fs, &r->opts, &r->doc, err);
}

static void wipe(struct buf *b)
{
    if (b->size > 0)
        explicit_bzero(b->data, b->size);
    buf_fini(b);
}

static struct rc write_out(const struct request *r, struct err *err)
{
    CLEANUP(wipe) struct buf text;

    buf_init(&text, SHARE_DOC_MAX);
    TRY(share_doc_encode(&r->doc, &text, err));
    if (r->output != NULL)
        return fsys_write_atomic(r->fs, r->output, text.data, text.size, 0600, err);
    (void)fwrite(text.data, 1, text.size, stdout); /* the stream is checked at the end */
    return RC_OK;
}

static void report(const struct request *r)
{
    char size[STRX_HUMAN_SIZE], when[STRX_TIME_SIZE];

    (void)printf("shared txid %" PRIu64 " of timeline %" PRIu32
                 " until %s in %s: %zu objects, %s; who has that file can "
                 "read them\n",
        r->doc.txid, r->doc.timeline, strx_format_time(r->doc.expires_ms, when), r->output, r->doc.count,
        strx_format_size(share_doc_bytes(&r->doc), size));
}

/* What is wrong with the options, or NULL. */
static const char *check_options(struct request *r)
{
    const char *wrong = moment_check(&r->moment, &r->opts.target);

    if (wrong != NULL)
        return wrong;
    if (r->expires_ms < 1000 || r->expires_ms > (uint64_t)STORE_PRESIGN_MAX * 1000)
        return "--expires is from 1s to 7d: longer links are not possible";
    r->opts.seconds = (uint32_t)(r->expires_ms / 1000);
    return NULL;
}

static int share(struct request *r, const char *source)
{
    const char *wrong = check_options(r);
    struct err err;
    struct rc rc;

    if (wrong != NULL) {
        cli_complain(COMMAND, "%s", wrong);
        return rc_exit_status(E_CONFIG);
    }
    rc = session_run_with(r->fs, r->file, source, run, r, &err);
    if (!rc_failed(rc))
        rc = write_out(r, &err);
    if (!rc_failed(rc) && r->output != NULL)
        report(r);
    share_doc_fini(&r->doc);
    return rc_failed(rc) ? cli_fail(COMMAND, &err) : 0;
}

int cmd_share(int argc, char **argv, const struct fsys *fs)
{
    struct request r = {.fs = fs, .expires_ms = 3600000};
    const char *source = NULL;
    const struct cli_option options[] = {
        {'o', "output", "FILE", "the document to write, readable by you alone; default: standard output", cli_text,
            &r.output, NULL},
        MOMENT_TXID_OPTION(&r.opts.target),
        MOMENT_TIME_OPTION(&r.opts.target),
        MOMENT_BEFORE_OPTION(&r.moment),
        {0, "timeline", "N", "the timeline to take it from; default: the newest", cli_timeline, &r.opts.target.timeline,
            NULL},
        {0, "expires", "TIME", "how long the links are valid, 1s to 7d; default: 1h", cli_duration, &r.expires_ms,
            NULL},
        SETTINGS_OPTION(&r.file),
        {0},
    };
    const struct cli cli = {
        .command = COMMAND,
        .synopsis = "SOURCE [-o FILE] [OPTION...]",
        .about =
            "Let somebody restore one state who has no credentials: a document with a link to each object that the "
            "restore needs, valid for a while.  SOURCE is the URL of a replica in S3, or a database of the "
            "configuration.\n\n"
            "Who has the document can read the state and what leads to it, so keep it as you keep the database.  "
            "It is used as share:///path/file.json, or as https://host/file.json, in place of a replica.",
        .examples = "  weir share s3://bucket/weir/app -o app-share.json --txid 1207 --expires 12h\n"
                    "  weir restore share:///tmp/app-share.json -o app.db\n",
        .options = options,
        .operands = &source,
        .operand_min = 1,
        .operand_max = 1,
    };
    int status;

    if (!cli_parse(&cli, argc, argv, &status))
        return status;
    return share(&r, source);
}
