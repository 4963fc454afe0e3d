/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_docs - the documents of a replica: weir.json and each timeline.json, and whose history it is.
 *
 * Documents carry no checksum, segments do: so the segments have more to say about the id of the history.
 */
#ifndef VERIFY_DOCS_H
#define VERIFY_DOCS_H

#include "verify_intern.h"

/* Reads and judges all documents but for what only the logs can tell; fills in `origin` of each timeline. */
MUST_USE struct rc verify_docs_run(struct verify_job *j, struct err *err);

#endif
