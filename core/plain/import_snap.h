/* SPDX-License-Identifier: Apache-2.0 */
/* import_snap - all pages of a plain database file as a snapshot object, compressed on all cores, as a stream. */
#ifndef IMPORT_SNAP_H
#define IMPORT_SNAP_H

#include "import.h"
#include "snap.h"

/* `meta` has all but page count and checksum, which are filled in.  *stored: bytes of the object. */
MUST_USE struct rc import_snap_put(struct work *w, struct store *s, const struct import_opts *opts,
    struct snap_meta *meta, uint64_t *stored, struct err *err);

#endif
