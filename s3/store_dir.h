/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_dir - a replica in a directory: keys are paths below it.
 *
 * A PUT writes `<root>/.tmp/<random>`, fsyncs, and links it to its name (create_only: link() fails with EEXIST, which
 * is the directory's If-None-Match) or renames it; then fsyncs the directory, and every directory level it had to make.
 * So an object is there whole or not at all, and durable when the request completes.  The work runs on libuv's thread
 * pool; a request that hangs in the kernel (a dead NFS server) hangs alone.
 *
 * Names that are not keys, and `.tmp`, never show in listings.  Left-over temporary files older than a day are removed
 * when the store is first written to.
 *
 * Failure modes: the directory is missing (GET, LIST: E_NOTFOUND / empty), not writable (E_DENIED), the disk is full
 * (E_NOSPACE; the temporary file is removed), a path of the replica is a file where a directory is needed (E_IO,
 * named).
 */
#ifndef STORE_DIR_H
#define STORE_DIR_H

#include "store.h"

MUST_USE struct rc store_dir_open(
    uv_loop_t *loop, const struct fsys *fs, const char *root, struct store **out, struct err *err);

#endif
