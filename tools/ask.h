/* SPDX-License-Identifier: Apache-2.0 */
/* ask - for commands that talk to a running daemon: find it by the database's local state, ask, parse the answer. */
#ifndef ASK_H
#define ASK_H

#include "fsys.h"
#include "http_ask.h"

#include <jansson.h>

/* The absolute path by which a database is known everywhere (its directory must exist); mem_free'd. */
MUST_USE struct rc ask_absolute(const char *path, char **out, struct err *err);

/*
 * Ask the daemon that replicates the database; the answer is an owned reference.  `state_base` is where its local state
 * is looked for before the usual place (settings_state_base()); NULL: only there.  E_CANCELED: no daemon replicates it.
 * A failure that the daemon reports keeps its code.
 */
MUST_USE struct rc ask_daemon(const struct fsys *fs, const char *database, const char *state_base,
    const struct http_ask *what, json_t **answer, struct err *err);

/* The same of the daemon that has this folder. */
MUST_USE struct rc ask_folder(const struct fsys *fs, const char *dir, const char *state_base,
    const struct http_ask *what, json_t **answer, struct err *err);

/* The same of the daemon that has this folder or one above it. */
MUST_USE struct rc ask_folder_of(const struct fsys *fs, const char *dir, const char *state_base,
    const struct http_ask *what, json_t **answer, struct err *err);

/* The same of the daemon behind this socket.  E_CANCELED: there is none. */
MUST_USE struct rc ask_socket(const char *socket_path, const struct http_ask *what, json_t **answer, struct err *err);

/* The whole of a command that asks, waits, and prints the txid of the answer; its exit status. */
struct ask_request {
    const char *command, *page; /* a POST */
    const char *options;        /* "wait=1"; NULL: none */
    const char *file;           /* the configuration of `-c`, whose socket is asked then; NULL: it was not given */
    const char *path;
    uint64_t timeout_ms;
    bool json;
};
int ask_print_txid(const struct ask_request *r, const struct fsys *fs);
/* The same, and prints the triggers that are in force. */
int ask_print_triggers(const struct ask_request *r, const struct fsys *fs);

#endif
