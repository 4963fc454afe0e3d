/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_dir - a replica in a directory: keys are paths below it.
 *
 * A PUT writes `<root>/.tmp/<random>`, fsyncs, and renames it to its name; for create_only without replacing (renameat2
 * with RENAME_NOREPLACE, or link(), either of which is the directory's If-None-Match); then fsyncs the directory, and
 * every directory level that it had to make.  So an object is there whole or not at all, and durable when the request
 * completes.  E_EXISTS too comes only after the directory was synced: the object that took the key is durable.  A
 * DELETE is not synced: after a power cut the object may be back.
 *
 * The work runs on libuv's thread pool (four threads, UV_THREADPOOL_SIZE); a request that hangs in the kernel (a dead
 * NFS server) holds one of them.
 *
 * Names that are not keys, and `.tmp`, never show in listings.  Symbolic links are followed.  Left-over temporary files
 * older than a day are removed when the store is first written to, and daily.  Uploads that are left at store_stop()
 * are removed.
 *
 * Failure modes: the directory is missing (GET, LIST: E_NOTFOUND / empty), not writable (E_DENIED), the disk is full
 * (E_NOSPACE; the temporary file is removed), a path of the replica is a file where a directory is needed (E_IO,
 * named), the directory is another one, or has lost the first object that was read or written directly in it, the
 * replica's weir.json (PUT: E_IO), the file system has neither RENAME_NOREPLACE nor hard links (E_UNSUPPORTED), too
 * many uploads (E_BUSY), parts that are missing at FINISH (E_BUG).
 *
 * docs/format.md ("Objects in a directory") tells the same to those who look after the directory.
 */
#ifndef STORE_DIR_H
#define STORE_DIR_H

#include "store.h"

/* `root` is absolute.  It is not looked at before the first request.  E_CONFIG when it cannot be a path. */
MUST_USE struct rc store_dir_open(
    uv_loop_t *loop, const struct fsys *fs, const char *root, struct store **out, struct err *err);

#endif
