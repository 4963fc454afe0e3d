/* SPDX-License-Identifier: Apache-2.0 */
#include "conflict.h"

#include "pack.h"
#include "pos.h"
#include "seal.h"

struct rc conflict_explain(const char *key, struct span object, struct err *err)
{
    enum pack_kind kind;
    struct seal seal;
    struct pack_header head;
    char writer[NONCE_TEXT_SIZE];

    TRY_CTX(pack_kind_of(object, &kind, err), err, "%s is taken", key);
    if (kind == PACK_SEAL) {
        TRY_CTX(seal_decode(object, &seal, err), err, "%s is taken", key);
        return rc_raise(err, E_FENCED,
            "%s: the timeline was sealed by %s, which writes timeline %u now; this database is no longer the one that "
            "is "
            "replicated (restore from the replica, or start with --fork to begin a timeline of its own)",
            key, seal.owner, seal.successor);
    }
    TRY_CTX(pack_decode_header(object, kind, UINT16_MAX, &head, err), err, "%s is taken", key);
    return rc_raise(err, E_FENCED,
        "%s was written by another writer (run %s): two processes replicate to the same place; stop one of them, then "
        "restore "
        "from the replica or start with --fork",
        key, nonce_format(&head.writer, writer));
}

struct rc conflict_explain_part(const char *key, struct err *err)
{
    return rc_raise(err, E_CORRUPT,
        "%s holds other bytes than were sent there: the store, or somebody with access to it, changed an object", key);
}
