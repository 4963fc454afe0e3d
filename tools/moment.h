/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moment - which one state a command is asked for: rows for its table of options, and what they mean together.
 *
 *     struct moment m = {0};
 *     MOMENT_TXID_OPTION(&opts), MOMENT_TIME_OPTION(&opts), MOMENT_BEFORE_OPTION(&m)
 *     wrong = moment_check(&m, &opts);
 */
#ifndef MOMENT_H
#define MOMENT_H

#include "cli.h"
#include "restore.h"

/* What restore_opts has no place for. */
struct moment {
    uint64_t before;
    bool by_before;
};

/* `opts` is a struct restore_opts *, `m` a struct moment *. */
#define MOMENT_TXID_OPTION(opts)                                                                                  \
    {                                                                                                             \
        0, "txid", "N", "the state after commit N; default: the newest", cli_u64, &(opts)->txid, &(opts)->by_txid \
    }
#define MOMENT_TIME_OPTION(opts)                                                                               \
    {                                                                                                          \
        0, "timestamp", "TIME", "the last commit at or before this time, like 2026-11-21T02:01:21Z", cli_time, \
            &(opts)->time_ms, &(opts)->by_time                                                                 \
    }
#define MOMENT_BEFORE_OPTION(m)                                                                                        \
    {                                                                                                                  \
        0, "before", "N", "the state just before commit N (weir log finds it)", cli_u64, &(m)->before, &(m)->by_before \
    }

/* What is wrong with the options, or NULL: then --before, if it was given, is in `opts` as the txid that it means. */
const char *moment_check(const struct moment *m, struct restore_opts *opts);

#endif
