/* SPDX-License-Identifier: Apache-2.0 */
#include "seal.h"

#include <string.h>

/* The owner ends up in messages, logs and on terminals: no control characters. */
static bool owner_ok(struct span owner)
{
    for (size_t i = 0; i < owner.size; i++)
        if (owner.data[i] < 0x20 || owner.data[i] == 0x7f)
            return false;
    return true;
}

/* The rules that hold on both sides. */
static const char *what_is_wrong(const struct seal *s)
{
    if (s->successor <= s->timeline)
        return "the successor is not a later timeline";
    if (s->txid == 0)
        return "txid 0";
    if (s->time_ms < 0)
        return "a time before 1970";
    return NULL;
}

struct rc seal_encode(const struct seal *s, struct buf *out, struct err *err)
{
    struct pack_header h = s->pack;
    struct span owner = span_of(s->owner, strnlen(s->owner, sizeof s->owner));
    const char *wrong = what_is_wrong(s);

    if (wrong != NULL)
        return rc_raise(err, E_BUG, "seal of timeline %u: %s", s->timeline, wrong);
    if (owner.size == sizeof s->owner || !owner_ok(owner))
        return rc_raise(err, E_BUG, "seal of timeline %u: owner is too long or has control characters", s->timeline);
    h.kind = PACK_SEAL;
    buf_clear(out);
    pack_put_header(out, &h);
    buf_varint(out, s->timeline);
    buf_varint(out, s->successor);
    buf_varint(out, s->txid);
    buf_varint(out, (uint64_t)s->time_ms);
    buf_varint(out, owner.size);
    buf_put(out, owner.data, owner.size);
    pack_put_trailer(out);
    return buf_check(out, "seal", err);
}

struct rc seal_decode(struct span object, struct seal *out, struct err *err)
{
    struct seal s = {0};
    struct span body = {NULL, 0}, owner;
    struct cursor c;
    const char *wrong;

    TRY(pack_open(object, PACK_SEAL, 0, &s.pack, &body, err));
    c = cursor_of(body);
    s.timeline = (uint32_t)cursor_varint_max(&c, UINT32_MAX);
    s.successor = (uint32_t)cursor_varint_max(&c, UINT32_MAX);
    s.txid = cursor_varint(&c);
    s.time_ms = (int64_t)cursor_varint_max(&c, INT64_MAX);
    owner = cursor_bytes(&c, (size_t)cursor_varint_max(&c, sizeof s.owner - 1));
    TRY(cursor_finish(&c, "seal", err));
    wrong = what_is_wrong(&s);
    if (wrong != NULL)
        return rc_raise(err, E_CORRUPT, "seal of timeline %u: %s", s.timeline, wrong);
    if (!owner_ok(owner))
        return rc_raise(err, E_CORRUPT, "seal of timeline %u: owner has control characters", s.timeline);
    if (owner.size > 0)
        memcpy(s.owner, owner.data, owner.size);
    *out = s;
    return RC_OK;
}
