/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rc - result codes and error details.
 *
 * Every function that can fail returns `struct rc` and takes `struct err *` as its last parameter.  The code is what
 * a caller may branch on; the text is what a person reads, outermost context first, root cause last:
 *
 *     sync /data/app.db: read wal frame 1203: short read at 4956: No space left on device
 *
 * struct rc is a one-field struct on purpose: SQLite, libcurl, libuv, zstd and errno all say "int", and a struct makes
 * mixing any of them up a compile error.
 *
 * Rules: rc_raise() is the only source of a failure; a level that knows more adds it with TRY_CTX(); outputs are
 * written on success only; layers below core return errors and never log them.
 */
#ifndef RC_H
#define RC_H

#include <stdbool.h>
#include <stddef.h>

#define MUST_USE     __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
#define CLEANUP(fn)  __attribute__((cleanup(fn)))
#define UNUSED       __attribute__((unused))

/*
 * name, text, is a retry worth it?, process exit status.
 * Exit statuses are part of the command line's contract: 1 failed, 2 wrong usage or configuration, 3 no such backup,
 * 4 integrity failure, 5 fenced by another writer.
 */
#define ERR_CODES(X)                                         \
    X(E_OK, "ok", false, 0)                                  \
    X(E_NOMEM, "out of memory", true, 1)                     \
    X(E_IO, "i/o error", true, 1)                            \
    X(E_NOSPACE, "no space left", true, 1)                   \
    X(E_CORRUPT, "data is corrupt", false, 4)                \
    X(E_NOTFOUND, "not found", false, 3)                     \
    X(E_EXISTS, "exists already", false, 1)                  \
    X(E_BUSY, "busy", true, 1)                               \
    X(E_TIMEOUT, "timed out", true, 1)                       \
    X(E_NETWORK, "network failure", true, 1)                 \
    X(E_THROTTLED, "server asks to slow down", true, 1)      \
    X(E_SERVER, "server failure", true, 1)                   \
    X(E_DENIED, "permission denied", false, 1)               \
    X(E_CANCELED, "canceled", false, 1)                      \
    X(E_CONFIG, "wrong usage or configuration", false, 2)    \
    X(E_UNSUPPORTED, "not supported", false, 1)              \
    X(E_FENCED, "another writer owns the replica", false, 5) \
    X(E_BUG, "internal error", false, 1)

enum err_code {
#define X(name, text, retry, exit_status) name,
    ERR_CODES(X)
#undef X
};

struct rc {
    enum err_code code;
};

#define RC_OK ((struct rc){E_OK})

enum { ERR_MSG_SIZE = 1024 };

/* Owned by the caller, usually on its stack. */
struct err {
    enum err_code code;
    int sys;          /* errno at the root cause, or 0 */
    int http;         /* HTTP status at the root cause, or 0 */
    const char *file; /* where the root cause was raised */
    int line;
    char msg[ERR_MSG_SIZE];
};

static inline bool rc_failed(struct rc rc)
{
    return rc.code != E_OK;
}

/* Raise an error.  The only way a non-OK struct rc comes into being.  That it is one, compilers and analysers cannot
 * see in rc_raise_at(), which asserts it; told here, they know that outputs are written wherever a TRY() goes on. */
#define rc_raise(err, code, ...) rc_raise_sys(err, code, 0, __VA_ARGS__)
#define rc_raise_sys(err, code, sys, ...)                                                 \
    ({                                                                                    \
        struct rc raised_ = rc_raise_at(err, code, sys, __FILE__, __LINE__, __VA_ARGS__); \
        if (!rc_failed(raised_))                                                          \
            __builtin_unreachable();                                                      \
        raised_;                                                                          \
    })
MUST_USE PRINTF(6, 7) struct rc
    rc_raise_at(struct err *err, enum err_code code, int sys, const char *file, int line, const char *fmt, ...);

/* The code that fits an errno: ENOSPC, EDQUOT and EFBIG are E_NOSPACE, EACCES, EPERM and EROFS E_DENIED, ENOENT
 * E_NOTFOUND, EEXIST E_EXISTS, ENOMEM E_NOMEM, everything else E_IO. */
enum err_code rc_from_errno(int sys);

/* Say what we were doing when `err` came up from below; keeps its code. */
MUST_USE PRINTF(2, 3) struct rc rc_wrap(struct err *err, const char *fmt, ...);

/* The result again of an error that was kept (for example one that crossed threads). */
MUST_USE struct rc rc_of(const struct err *err);

/* The one way to drop a failure; `why` is for the reader and for grep. */
void rc_ignore(struct rc rc, const char *why);

const char *rc_text(enum err_code code);
const char *rc_name(enum err_code code); /* "E_IO": for JSON and logs */
bool rc_retryable(enum err_code code);
int rc_exit_status(enum err_code code);

/* Hand ownership on: yields the pointer and leaves NULL behind, so a CLEANUP does nothing. */
#define MOVE(p)                     \
    ({                              \
        __typeof__(p) moved_ = (p); \
        (p) = NULL;                 \
        moved_;                     \
    })

/* Return early on failure.  Safe because resources are CLEANUP()ed. */
#define TRY(expr)               \
    do {                        \
        struct rc rc_ = (expr); \
        if (rc_failed(rc_))     \
            return rc_;         \
    } while (0)
#define TRY_CTX(expr, err, ...)               \
    do {                                      \
        if (rc_failed(expr))                  \
            return rc_wrap(err, __VA_ARGS__); \
    } while (0)

#endif
