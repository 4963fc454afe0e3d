/* SPDX-License-Identifier: Apache-2.0 */
/* scrub_tell - what a scrub found, in words: the alert of a database, and the lines of the log. */
#ifndef SCRUB_TELL_H
#define SCRUB_TELL_H

#include "local_scrub.h"

/* The first page that is known to be damaged by number, or NULL. */
const struct local_scrub_page *scrub_tell_first(const struct local_scrub *n);
/* Code E_OK: no page of the database is damaged.  `txid`: its state now. */
void scrub_tell_alert(const struct local_scrub *n, const char *path, uint64_t txid, struct err *alert);
/* Each of the first pages that nobody was told of has a line in the log, and so has what is not damaged any more, which
 * is forgotten then. */
void scrub_tell_pages(struct local_scrub *n, const char *path, uint64_t txid);
void scrub_tell_many(const char *path, uint64_t damaged);

#endif
