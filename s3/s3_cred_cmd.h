/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_cred_cmd - a credential_process line as words, the way a POSIX shell takes quotes: white space separates, 'all of
 * this' is one word, "of this \" and \\ are special", and a backslash outside of quotes takes the next character as it
 * is.  Nothing is expanded: no variables, no ~, no patterns, as the AWS tools do it.
 */
#ifndef S3_CRED_CMD_H
#define S3_CRED_CMD_H

#include "rc.h"

enum { S3_CRED_CMD_WORDS_MAX = 256 };

/* `out`: NULL-terminated and owned by the caller; s3_cred_cmd_free().  E_CONFIG: no word, too many, or an open quote.
 */
MUST_USE struct rc s3_cred_cmd_split(const char *line, char ***out, struct err *err);
void s3_cred_cmd_free(char **words);
void s3_cred_cmd_freep(char ***words);

#endif
