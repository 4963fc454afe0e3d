/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_daemon - a configuration as the daemon's settings.
 *
 * What the daemon cannot carry out yet is refused here, with its place: nothing that somebody wrote into the
 * configuration is passed over in silence.
 */
#ifndef CONFIG_DAEMON_H
#define CONFIG_DAEMON_H

#include "config.h"
#include "daemon.h"

/* E_CONFIG: a key that this version does not carry out yet, or a replica that its store does not take. */
MUST_USE struct rc config_daemon_check(const struct config *c, const struct fsys *fs, struct err *err);
/* The texts are borrowed from `c`. */
void config_daemon_init(struct daemon_settings *out, const struct config *c);
void config_daemon_fini(struct daemon_settings *s);

/* Of one database; its texts are borrowed, its options mem_free'd. */
struct db_settings config_daemon_database(const struct config_db *db);
/* All zero when none is given. */
struct retention_policy config_daemon_retention(const struct config_db *db);

#endif
