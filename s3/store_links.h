/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_links - a share as a store: a part of a replica, read by links, without credentials.
 *
 *     share:///path/file.json     the document is a file
 *     https://host/file.json      the document is fetched with the first request; so is http:// from this machine
 *
 * What is listed, and how large it is, the document says; only GET sends anything.  Everything that would write is
 * E_DENIED.  A link that is refused is explained by the share's end where that has come.  An object of another size
 * than the document says is E_CORRUPT.
 *
 * Nothing is repeated here: store_retry is for that.  Links, and the query of the document's own URL, are in no error
 * and in no name of the store.
 */
#ifndef STORE_LINKS_H
#define STORE_LINKS_H

#include "share_doc.h"
#include "store.h"

/* Does this URL name a share? */
bool store_links_is_url(const char *url);
MUST_USE struct rc store_links_open(struct store_env *env, const char *url, struct store **out, struct err *err);

bool store_links_is(const struct store *s); /* wrapped or not */
/* The document, borrowed, of a share that has answered a request; NULL: it has not, or this is another store.
 * It does not change any more. */
const struct share_doc *store_links_doc(const struct store *s);

#endif
