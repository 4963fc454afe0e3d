/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_build - the catalog from a listing and the documents of the history; see catalog_load() in catalog.h. */
#ifndef CATALOG_BUILD_H
#define CATALOG_BUILD_H

#include "catalog.h"

/* `limits` NULL: all there is. */
MUST_USE struct rc catalog_build_load(
    struct catalog **out, struct work *w, struct store *s, const struct catalog_limits *limits, struct err *err);

#endif
