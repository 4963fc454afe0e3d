/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_dir_upload - the directory store's uploads: a temporary file that parts are written into.
 *
 * The ids are names in a table of this store, not paths: what a caller gives is looked up and never opened.
 */
#ifndef STORE_DIR_UPLOAD_H
#define STORE_DIR_UPLOAD_H

#include "store_dir_intern.h"

/* Loop thread: before the work is queued (a failure is the request's answer), and when it came back. */
MUST_USE struct rc store_dir_upload_before(struct dir_work *w, struct err *err);
void store_dir_upload_after(struct dir_work *w);

/* Pool thread. */
MUST_USE struct rc store_dir_upload_start(struct dir_work *w, struct err *err);
MUST_USE struct rc store_dir_upload_part(struct dir_work *w, struct err *err);
MUST_USE struct rc store_dir_upload_finish(struct dir_work *w, struct err *err);
MUST_USE struct rc store_dir_upload_abort(struct dir_work *w, struct err *err);
/* Close and remove the files of all uploads that are left, and free them; nothing else is in flight. */
void store_dir_upload_drop_all(struct store_dir *d);

#endif
