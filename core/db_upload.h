/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_upload - an object whose length and name are not known when it begins, stored part by part; it appears under its
 * key when it is finished, whole or not at all.
 *
 *     struct db_upload u = {.work = w, .store = s};
 *     u.key is filled, db_upload_start(&u, err)
 *     db_upload_send(&u, &bytes, last, err)        takes whole parts out of `bytes`; with `last` all of them
 *     u.key may be changed, db_upload_finish(&u, err)
 *     db_upload_abort(&u)                          nothing happens when it is finished, or never began
 *
 * Runs in a job thread: blocking.
 */
#ifndef DB_UPLOAD_H
#define DB_UPLOAD_H

#include "layout.h"
#include "work.h"

struct db_upload {
    struct work *work;
    struct store *store;
    layout_text key;
    char *id; /* owned; NULL: not begun, or finished */
    uint32_t part;
    uint64_t bytes; /* sent */
};

MUST_USE struct rc db_upload_start(struct db_upload *u, struct err *err);
MUST_USE struct rc db_upload_send(struct db_upload *u, struct buf *bytes, bool last, struct err *err);
MUST_USE struct rc db_upload_finish(struct db_upload *u, struct err *err);
void db_upload_abort(struct db_upload *u);

#endif
