/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control - the daemon's control socket: a Unix socket for its owner only (0600).
 *
 * A client sends one line and gets one line of JSON back:
 *
 *     status                 {"version": ..., "pid": ..., "databases": [...]}
 *     sync <path>            {"ok": true, "txid": N} when everything committed before is durable in the replica
 *     ship <path>            {"ok": true, "txid": N} at once: the last commit that was read; it is shipped soon
 *     snapshot <path>        {"ok": true, "txid": N} when it is taken
 *     anything that fails    {"ok": false, "code": "E_...", "error": "..."}
 *
 * Limits: a line of CONTROL_LINE_MAX bytes, CONTROL_CLIENTS_MAX clients at once; a client that sends nothing for
 * CONTROL_IDLE_MS is hung up on.
 *
 * A client may close its sending side behind the line and still gets its answer.
 *
 * The process must ignore SIGPIPE: a client may be gone when its answer is written.
 *
 * The client's side (control_ask) is blocking and for commands.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include "buf.h"

#include <uv.h>

enum { CONTROL_LINE_MAX = 8192, CONTROL_CLIENTS_MAX = 1024, CONTROL_IDLE_MS = 10000, CONTROL_ANSWER_MAX = 64 << 20 };

struct control;
struct control_call;

/* Answer with control_answer(), now or later; `argument` is "" when there is none. */
typedef void (*control_fn)(void *ctx, struct control_call *call, const char *command, const char *argument);

/* Listen at `path` (a left-over socket there is replaced).  `path` may be longer than a socket address allows. */
MUST_USE struct rc control_listen(
    struct control **out, uv_loop_t *loop, const char *path, control_fn fn, void *ctx, struct err *err);
/* Takes the text (one line, without the newline; mem_free'd).  The client may have gone: then it is dropped. */
void control_answer(struct control_call *call, char *text);
/* Stop listening and hang up; calls that are not answered yet must still be. */
void control_stop(struct control *c, void (*on_stopped)(void *ctx), void *ctx);

/* Ask the daemon at `path`.  E_NOTFOUND when nobody listens; E_TIMEOUT after `timeout_ms` (0: never). */
MUST_USE struct rc control_ask(
    const char *path, const char *line, uint64_t timeout_ms, struct buf *answer, struct err *err);

#endif
