/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain_url - where a plain database file is: a local path, file:///path, or an object by its own URL,
 * s3://bucket/folder/app.db?options.
 */
#ifndef PLAIN_URL_H
#define PLAIN_URL_H

#include "rc.h"

struct plain_url {
    char *path;        /* owned; a local file; NULL: an object */
    char *store, *key; /* owned; the URL of its folder, with the options, and its name there */
};

/* E_CONFIG with the reason. */
MUST_USE struct rc plain_url_parse(const char *text, struct plain_url *out, struct err *err);
void plain_url_fini(struct plain_url *u);

#endif
