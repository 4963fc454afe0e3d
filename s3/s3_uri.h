/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_uri - percent-encoding as AWS wants it, strict decoding, and URLs taken apart.
 *
 * Encoded: everything but A-Z a-z 0-9 - . _ ~, as %XX with upper-case digits; a '/' stays in paths only.  (AWS
 * documentation, "Create a signed AWS API request", UriEncode.)
 *
 * Decoding is strict: a '%' is followed by two hex digits, %00 is refused because all text here is 0-terminated, and
 * a '+' is a '+'.  URLs hold no spaces, control characters or fragments.
 *
 * Errors: E_CONFIG.  A message never quotes the user part or the query: there may be secrets in them.
 */
#ifndef S3_URI_H
#define S3_URI_H

#include "buf.h"

enum { S3_URI_MAX = 8192, S3_URI_PARAMS_MAX = 64 };

/* For a '/' in the text. */
enum s3_uri_slash { S3_URI_KEEP_SLASH, S3_URI_ENCODE_SLASH };

struct s3_uri_param {
    char *name, *value; /* owned; decoded; value "" also without '=' */
};

struct s3_uri {
    char *scheme;                /* owned; lower case */
    char *host;                  /* owned; as written, with the port when there is one; may be "" */
    bool has_user;               /* something stood before an '@' */
    char *path;                  /* owned; as written, encoded; "" or begins with '/' */
    struct s3_uri_param *params; /* owned */
    size_t param_count;
};

void s3_uri_encode(const char *text, enum s3_uri_slash slash, struct buf *out);
/* Append the decoded text; `what` is for the message. */
MUST_USE struct rc s3_uri_decode(struct span text, const char *what, struct buf *out, struct err *err);

/* scheme://[user@]host[:port][/path][?query] */
MUST_USE struct rc s3_uri_parse(const char *url, struct s3_uri *out, struct err *err);
void s3_uri_fini(struct s3_uri *uri); /* wipes; fine on a zeroed struct */

/* The port of "host:port" or "[::1]:port", and the length of the host before it.  False when something else than a
 * name, an IPv4 address or an IPv6 address in brackets stands there, or a port that is none.  Port 0: none given. */
bool s3_uri_host(const char *host, size_t *name_size, unsigned *port);
/* An IPv4 or IPv6 address rather than a name; and one of this machine ("localhost", "127.0.0.1", "[::1]"). */
bool s3_uri_host_is_ip(const char *host);
bool s3_uri_host_is_loopback(const char *host);

#endif
