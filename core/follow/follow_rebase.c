/* SPDX-License-Identifier: Apache-2.0 */
#include "follow_intern.h"

#include "alloc.h"
#include "dbfmt.h"
#include "restore.h"

#include <fcntl.h>
#include <inttypes.h>

/* --- the state beside ----------------------------------------------------------------------------------------------
 */

static struct rc restore_beside(struct follow *f, const char *path, struct restore_report *report, struct err *err)
{
    const struct restore_opts opts = {
        .output = path,
        .verify = RESTORE_VERIFY_NONE, /* each page is read from it, and the checksum compared */
        .force = true,
        .parallel = f->opts->parallel,
    };

    TRY(restore_run(f->work, f->store, f->fs, &opts, report, err));
    if (report->page_size != follow_copy_page_size(f->copy))
        return rc_raise(err, E_UNSUPPORTED,
            "the database has pages of %" PRIu32 " bytes now, the copy of %" PRIu32
            ", which cannot change under readers: stop them, and weir restore --follow --force",
            report->page_size, follow_copy_page_size(f->copy));
    return RC_OK;
}

static struct rc take_pages(struct follow *f, const char *path, const struct restore_report *r, struct err *err)
{
    const uint32_t lock_page = dbfmt_lock_page(r->page_size);
    CLEANUP(fsys_closep) struct fsys_fd file = {f->fs, -1};
    CLEANUP(mem_freep) uint8_t *page = mem_new(r->page_size);

    TRY(fsys_open(f->fs, path, O_RDONLY, 0, &file.fd, err));
    for (uint32_t pgno = 1; pgno <= r->page_count; pgno++) {
        if (pgno == lock_page)
            continue;
        TRY(fsys_read_at(f->fs, file.fd, path, page, r->page_size, (uint64_t)(pgno - 1) * r->page_size, err));
        TRY(follow_copy_page(f->copy, pgno, page, err));
    }
    return RC_OK;
}

static struct rc apply(struct follow *f, const char *path, const struct restore_report *r, struct err *err)
{
    const struct pos pos = {
        .timeline = r->timeline,
        .txid = r->txid,
        .time_ms = r->time_ms,
        .checksum = r->checksum,
        .page_size = r->page_size,
        .page_count = r->page_count,
    };
    struct err other;
    struct rc rc;

    TRY(follow_copy_begin(f->copy, err));
    rc = take_pages(f, path, r, err);
    if (!rc_failed(rc))
        rc = follow_copy_become(f->copy, &pos, err);
    if (!rc_failed(rc))
        rc = follow_commit(f, FOLLOW_REBASED, f->why, err);
    if (rc_failed(rc) && rc_failed(follow_copy_abort(f->copy, &other)))
        *err = other;
    return rc_failed(rc) ? rc_of(err) : rc;
}

static char *place(const struct follow *f)
{
    CLEANUP(mem_freep) char *dir = local_place_dir(f->opts->output, f->opts->state_base);

    return mem_printf("%s/newest", dir);
}

void follow_rebase_clear(struct follow *f)
{
    CLEANUP(mem_freep) char *path = place(f);
    struct err ignored;

    rc_ignore(fsys_remove(f->fs, path, &ignored), "the next one replaces it");
}

struct rc follow_rebase_run(struct follow *f, struct err *err)
{
    CLEANUP(mem_freep) char *path = place(f);
    struct restore_report report;
    struct rc rc = restore_beside(f, path, &report, err);

    if (!rc_failed(rc))
        rc = apply(f, path, &report, err);
    follow_rebase_clear(f);
    if (!rc_failed(rc) && report.warning[0] != 0)
        follow_tell(f, FOLLOW_WARNING, 0, 0, report.warning);
    return rc_failed(rc) ? rc_wrap(err, "another way to the newest state (%.200s)", f->why) : rc;
}
