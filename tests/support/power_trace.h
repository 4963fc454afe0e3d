/* SPDX-License-Identifier: Apache-2.0 */
/*
 * power_trace - what power_vfs writes down and power_cut reads: every change of a database, its log and its journal, in
 * the one order in which all processes made them.
 */
#ifndef POWER_TRACE_H
#define POWER_TRACE_H

#include <stdint.h>

#define POWER_TRACE_MAGIC 0x7265776f70726977u /* also tells another byte order */

enum power_trace_op {
    POWER_TRACE_WRITE,      /* `size` bytes follow */
    POWER_TRACE_TRUNCATE,   /* to `off` bytes */
    POWER_TRACE_SYNC,       /* what was written to the file is safe */
    POWER_TRACE_CREATE,     /* an empty file of this name */
    POWER_TRACE_DELETE,     /* the name is gone */
    POWER_TRACE_SYNC_NAMES, /* what was created and deleted is safe */
};

enum power_trace_file {
    POWER_TRACE_DB,
    POWER_TRACE_WAL,
    POWER_TRACE_JOURNAL,
    POWER_TRACE_FILES,
};

static const char *const power_trace_suffix[POWER_TRACE_FILES] = {"", "-wal", "-journal"};

/* At the begin of the file.  `end` moves when a record is whole, so a process that dies while it writes one leaves
 * nothing behind. */
struct power_trace_head {
    uint64_t magic, end;
};

struct power_trace_record {
    uint32_t op, file;
    uint64_t off, size;
    uint64_t done; /* it was not only announced, but carried out: unless its process died in between */
};

#endif
