/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_replica - URLs and options of replicas: where the replica of one database is, whether it is well described,
 * and how to print it without secrets.
 *
 * The replica of a database that was found in a folder: `{path}` in the URL stands for the path of the database below
 * the folder, `{name}` for the name of its file; when neither is there, "/{path}" is appended to the URL's path.  So
 *
 *     dir: /srv/tenants, recursive: true, replica: s3://backups/tenants?region=eu-central-1
 *
 * keeps /srv/tenants/a/app.db in s3://backups/tenants/a/app.db?region=eu-central-1.
 */
#ifndef CONFIG_REPLICA_H
#define CONFIG_REPLICA_H

#include "config.h"
#include "store.h"

/* The URL for a database; `relative` is NULL for one with an entry of its own.  *out is mem_free'd.  E_CONFIG when the
 * URL gets too long. */
MUST_USE struct rc config_replica_url(const struct config_db *db, const char *relative, char **out, struct err *err);
/* The same from the URL of a folder's databases. */
MUST_USE struct rc config_replica_expand(const char *url, const char *relative, char **out, struct err *err);
/* The options as stores take them; the array (mem_free'd) borrows the texts. */
struct store_option *config_replica_options(const struct config_db *db);

/*
 * Ask the stores whether URLs and options are right; nothing is sent.  The error names the place of the option that it
 * is about, or else of the replica.
 */
MUST_USE struct rc config_replica_check(const struct config *c, const struct fsys *fs, struct err *err);

/* The option's value must not be shown. */
bool config_replica_secret(const char *option);
/* The URL with what must not be shown replaced: a password, options that are secrets.  mem_free'd. */
char *config_replica_redact(const char *url);

#endif
