/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_ini - the text of the AWS shared files (~/.aws/config and ~/.aws/credentials), item by item.
 *
 *     [profile a]                  sections; what follows the bracket may only be a comment
 *     key = value                  white space around both is not part of them; so is a comment after " #" or " ;"
 *     s3 =
 *       nested = value             a line that is indented more than the key above belongs to that key
 *     # comment, ; comment         whole lines
 *
 * Line ends are LF or CRLF; a byte order mark is passed over.  Sections and keys may come more than once: all are told,
 * in order, and the reader lets the last one win, as the AWS tools do.  Keys are compared without case.
 *
 * Nothing is copied: all spans point into the text, which may hold secrets.  Errors (E_CONFIG) name file and line,
 * never what stands there.
 */
#ifndef S3_INI_H
#define S3_INI_H

#include "span.h"

enum { S3_INI_SIZE_MAX = 1 << 20 };

enum s3_ini_kind {
    S3_INI_SECTION,
    S3_INI_KEY,
    S3_INI_NESTED, /* `key` is the one above, `value` the line */
};

struct s3_ini_item {
    enum s3_ini_kind kind;
    struct span section; /* what stands in the brackets */
    struct span key, value;
    unsigned line;
};

/* Call on_item for each item; its failure ends the reading.  `path` is for messages. */
MUST_USE struct rc s3_ini_parse(struct span text, const char *path,
    struct rc (*on_item)(void *ctx, const struct s3_ini_item *item, struct err *err), void *ctx, struct err *err);
bool s3_ini_key_is(struct span key, const char *name);
/* Is this the section of profile `name`?  In the config file "[profile name]" (for "default" see s3_cred_files), in the
 * credentials file "[name]". */
bool s3_ini_is_profile(struct span section, bool config_file, const char *name);

#endif
