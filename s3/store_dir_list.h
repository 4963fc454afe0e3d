/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_dir_list - the directory store's listing: a walk in byte order of the whole keys.
 *
 * Only directories that can hold a key with the prefix and behind `after` are read.  Of each, at most about twice the
 * answer's limit of names is kept in memory, however many there are; the directory is read again for the next ones.
 */
#ifndef STORE_DIR_LIST_H
#define STORE_DIR_LIST_H

#include "store_dir_intern.h"

MUST_USE struct rc store_dir_list_keys(struct dir_work *w, struct err *err);

#endif
