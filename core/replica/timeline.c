/* SPDX-License-Identifier: Apache-2.0 */
#include "timeline.h"

#include "conflict.h"
#include "seal.h"
#include "seg.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DOCUMENT_MAX = 64 << 10 };

/* PUT create-only.  *taken: the key exists (by us or by somebody else). */
static struct rc put_new(
    struct work *w, struct store *s, const char *key, const struct buf *bytes, bool *taken, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_PUT, key, NULL, NULL);
    req.body = buf_span(bytes);
    req.create_only = true;
    rc = work_store(w, s, &req, err);
    *taken = rc.code == E_EXISTS;
    return *taken ? RC_OK : rc;
}

static struct rc get_document(struct work *w, struct store *s, const char *key, struct buf *out, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;

    store_req_init(&req, STORE_GET, key, NULL, NULL);
    TRY_CTX(work_store(w, s, &req, err), err, "%s", key);
    buf_put(out, req.data.data, req.data.size);
    return buf_check(out, key, err);
}

/* --- the identity --------------------------------------------------------------------------------------------- */

static struct rc read_identity(struct work *w, struct store *s, struct layout_identity *out, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes;

    buf_init(&bytes, DOCUMENT_MAX);
    TRY(get_document(w, s, LAYOUT_IDENTITY, &bytes, err));
    return layout_identity_decode(buf_span(&bytes), out, err);
}

struct rc timeline_identity(struct work *w, struct store *s, uint32_t page_size, int64_t now_ms,
    struct layout_identity *out, bool *created, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes = {0};
    struct layout_identity id = {.format = 1, .page_size = page_size, .created_ms = now_ms};
    bool taken;
    struct rc rc = read_identity(w, s, out, err);

    *created = false;
    if (rc.code != E_NOTFOUND)
        return rc;
    id.database = nonce_new();
    buf_init(&bytes, DOCUMENT_MAX);
    TRY(layout_identity_encode(&id, &bytes, err));
    TRY_CTX(put_new(w, s, LAYOUT_IDENTITY, &bytes, &taken, err), err, "create %s", LAYOUT_IDENTITY);
    if (taken)
        return read_identity(w, s, out, err);
    *created = true;
    *out = id;
    return RC_OK;
}

/* --- origins ------------------------------------------------------------------------------------------------------ */

void timeline_sign(struct layout_origin *origin, const char *path)
{
    if (gethostname(origin->host, sizeof origin->host) != 0)
        (void)snprintf(origin->host, sizeof origin->host, "unknown host");
    origin->host[sizeof origin->host - 1] = 0;
    origin->pid = (long)getpid();
    (void)snprintf(origin->path, sizeof origin->path, "%s", path);
}

struct rc timeline_create(struct work *w, struct store *s, const struct layout_origin *origin, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes;
    CLEANUP(buf_fini) struct buf found;
    struct layout_origin other;
    layout_text key;
    bool taken;

    buf_init(&bytes, DOCUMENT_MAX);
    buf_init(&found, DOCUMENT_MAX);
    layout_timeline(key, origin->timeline);
    TRY(layout_origin_encode(origin, &bytes, err));
    TRY_CTX(put_new(w, s, key, &bytes, &taken, err), err, "create %s", key);
    if (!taken)
        return RC_OK;
    TRY(get_document(w, s, key, &found, err));
    TRY_CTX(layout_origin_decode(buf_span(&found), &other, err), err, "%s", key);
    if (nonce_equal(&other.writer, &origin->writer))
        return RC_OK; /* our own: the first answer got lost */
    return rc_raise(err, E_FENCED, "timeline %u was begun by another writer (%s, process %ld, %s)", origin->timeline,
        other.host, other.pid, other.path);
}

/* --- seals ----------------------------------------------------------------------------------------------------------
 */

static struct rc judge_taken(const char *key, const struct buf *object, const struct nonce *run, struct err *err)
{
    enum pack_kind kind;
    struct seal seal;

    TRY_CTX(pack_kind_of(buf_span(object), &kind, err), err, "%s", key);
    if (kind != PACK_SEAL)
        return rc_raise(err, E_BUSY, "%s: the other writer is still writing", key);
    TRY_CTX(seal_decode(buf_span(object), &seal, err), err, "%s", key);
    if (nonce_equal(&seal.pack.writer, run))
        return RC_OK;
    return conflict_explain(key, buf_span(object), err);
}

struct rc timeline_seal(struct work *w, struct store *s, const struct nonce *database, const struct nonce *run,
    uint32_t timeline, uint64_t txid, int64_t now_ms, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes;
    CLEANUP(buf_fini) struct buf found;
    struct seal seal = {
        .pack = {.kind = PACK_SEAL, .database = *database, .writer = *run},
        .timeline = timeline,
        .successor = timeline + 1,
        .txid = txid,
        .time_ms = now_ms,
    };
    struct layout_origin self;
    layout_text key;
    bool taken;

    timeline_sign(&self, "");
    (void)snprintf(seal.owner, sizeof seal.owner, "%s (process %ld)", self.host, self.pid);
    buf_init(&bytes, DOCUMENT_MAX);
    buf_init(&found, SEG_OBJECT_MAX);
    layout_log(key, timeline, txid);
    TRY(seal_encode(&seal, &bytes, err));
    TRY_CTX(put_new(w, s, key, &bytes, &taken, err), err, "seal %s", key);
    if (!taken)
        return RC_OK;
    TRY(get_document(w, s, key, &found, err));
    return judge_taken(key, &found, run, err);
}
