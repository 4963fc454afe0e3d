/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_cred_quote - what a stranger said (a server's message, a program's complaint) in a form that may stand in an
 * error: one line, printable ASCII, at most S3_CRED_QUOTE_MAX characters, and without anything that looks like a
 * secret.
 *
 * A secret looks like this: 24 or more characters of base64, base64url or hex in one piece, with a digit, '+' or '='
 * among them; 40 of these characters, whatever they are; and what begins like a JSON web token.  Such a piece is
 * replaced by "(masked)", which now and then hits a long path; that is the better mistake.
 */
#ifndef S3_CRED_QUOTE_H
#define S3_CRED_QUOTE_H

#include "span.h"

enum { S3_CRED_QUOTE_MAX = 240, S3_CRED_QUOTE_SIZE = S3_CRED_QUOTE_MAX + 16 };

/* Returns `out`. */
const char *s3_cred_quote_text(struct span text, char out[S3_CRED_QUOTE_SIZE]);

#endif
