/* SPDX-License-Identifier: Apache-2.0 */
#include "rc.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *text;
    bool retry;
    int exit_status;
} table[] = {
#define X(name, text, retry, exit_status) [name] = {#name, text, retry, exit_status},
    ERR_CODES(X)
#undef X
};

static bool known(enum err_code code)
{
    return (size_t)code < sizeof table / sizeof table[0];
}

const char *rc_text(enum err_code code)
{
    assert(known(code));
    return table[code].text;
}

const char *rc_name(enum err_code code)
{
    assert(known(code));
    return table[code].name;
}

bool rc_retryable(enum err_code code)
{
    assert(known(code));
    return table[code].retry;
}

int rc_exit_status(enum err_code code)
{
    assert(known(code));
    return table[code].exit_status;
}

enum err_code rc_from_errno(int sys)
{
    switch (sys) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return E_NOSPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return E_DENIED;
    case ENOENT:
        return E_NOTFOUND;
    case EEXIST:
        return E_EXISTS;
    case ENOMEM:
        return E_NOMEM;
    default:
        return E_IO;
    }
}

/* The text is made in a buffer of its own, because an argument may be the old err->msg.  The system's reason stands
 * last and is never the part that is cut. */
struct rc rc_raise_at(struct err *err, enum err_code code, int sys, const char *file, int line, const char *fmt, ...)
{
    char msg[ERR_MSG_SIZE], reason[80] = "";
    size_t used, most;
    va_list ap;

    assert(code != E_OK);
    assert(known(code));
    if (sys != 0) {
        const char *text = strerrordesc_np(sys);

        if (text != NULL)
            (void)snprintf(reason, sizeof reason, ": %s", text); /* all texts of glibc fit */
        else
            (void)snprintf(reason, sizeof reason, ": errno %d", sys);
    }
    va_start(ap, fmt);
    if (vsnprintf(msg, sizeof msg, fmt, ap) < 0)
        msg[0] = 0;
    va_end(ap);

    most = sizeof msg - 1 - strlen(reason);
    used = strnlen(msg, most);
    *err = (struct err){.code = code, .sys = sys, .file = file, .line = line};
    memcpy(err->msg, msg, used);
    memcpy(err->msg + used, reason, strlen(reason) + 1);
    return (struct rc){code};
}

/* The root cause is worth more than the context: when the two do not fit, the context is cut. */
struct rc rc_wrap(struct err *err, const char *fmt, ...)
{
    enum { CONTEXT_MIN = 16 }; /* a shorter rest says nothing */
    char ctx[ERR_MSG_SIZE];
    size_t have = strlen(err->msg), room = sizeof err->msg - 1 - have, n;
    const char *join = ": ";
    va_list ap;

    assert(err->code != E_OK);
    va_start(ap, fmt);
    if (vsnprintf(ctx, sizeof ctx, fmt, ap) < 0)
        ctx[0] = 0;
    va_end(ap);
    n = strlen(ctx);
    if (n + strlen(join) > room) {
        join = "...: ";
        if (room < CONTEXT_MIN + strlen(join))
            return (struct rc){err->code};
        n = room - strlen(join);
    }
    memmove(err->msg + n + strlen(join), err->msg, have + 1);
    memcpy(err->msg, ctx, n);
    memcpy(err->msg + n, join, strlen(join));
    return (struct rc){err->code};
}

struct rc rc_of(const struct err *err)
{
    return (struct rc){err->code};
}

void rc_ignore(struct rc rc, const char *why)
{
    (void)rc;
    (void)why;
}
