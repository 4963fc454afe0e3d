/* SPDX-License-Identifier: Apache-2.0 */
#include "moment.h"

const char *moment_check(const struct moment *m, struct restore_opts *opts)
{
    if (opts->by_txid + opts->by_time + m->by_before > 1)
        return "--txid, --timestamp and --before exclude each other";
    if (m->by_before && m->before == 1)
        return "--before 1: there is no state before the first commit";
    if (m->by_before) {
        opts->by_txid = true;
        opts->txid = m->before - 1;
    }
    return NULL;
}
