/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store - where objects are kept: the one interface that the directory, S3 and the fault-injecting stores implement.
 *
 * A store lives on a libuv loop.  A request is submitted on the loop thread and completes exactly once, later, on the
 * loop thread (never from inside store_submit), also when it failed or was cut short by store_stop().  Request and the
 * memory it points to belong to the submitter and must live until then.
 *
 * Objects are written once and never changed, but for the few that are replaced by a PUT.  Keys are relative to the
 * replica's prefix: 1 to STORE_KEY_MAX bytes of [0-9A-Za-z._/-], no empty, "." or ".." part; the first part is not
 * ".tmp", which stores keep for themselves.  Listings are in byte order of the key.
 *
 * What uploads that came to no end left there is listed with the prefix STORE_SCRATCH, and may be deleted with
 * STORE_DELETE_MANY; the directory store clears its own away and lists nothing.
 *
 * Uploads that were begun and never finished show in no listing.  STORE_UPLOAD_SWEEP is for those of processes that
 * died; E_DENIED or E_UNSUPPORTED where they cannot be found.
 *
 * A PUT is durable when it completes with E_OK.  With `create_only`, E_EXISTS means that the key was taken and nothing
 * was changed; any other failure means "unknown": the object may or may not be there, whole.  It is never there in
 * part.
 *
 * Uploads are for objects too large for memory: STORE_UPLOAD_START, then STORE_UPLOAD_PART for parts 1, 2, 3 ...
 * (several may be in flight; each but the last exactly as large as START said), then STORE_UPLOAD_FINISH, or
 * STORE_UPLOAD_ABORT.  The object appears whole at FINISH.  FINISH and ABORT are for uploads with no part in flight.
 * After a failed PART the same part may be sent again.  A failed FINISH is "unknown", like a PUT; the upload may be
 * gone by then, so look for the object and start a new upload if it is not there.  An id lives as long as the store is
 * open. `create_only` on FINISH is not reliable on every store, so keys that must be created only once are written by a
 * plain PUT.
 *
 * Errors: E_NOTFOUND no such key; E_EXISTS; E_DENIED; E_NOSPACE; E_IO, E_NETWORK, E_TIMEOUT, E_THROTTLED, E_SERVER
 * (worth a retry, see rc_retryable); E_CORRUPT the store answered nonsense; E_CANCELED the store is stopping;
 * E_UNSUPPORTED.
 */
#ifndef STORE_H
#define STORE_H

#include "buf.h"

#include <uv.h>

#define STORE_SCRATCH ".tmp/"
enum {
    STORE_KEY_MAX = 512,
    STORE_LIST_MAX = 1000,    /* keys in one answer */
    STORE_GET_MAX = 64 << 20, /* bytes in one answer */
    STORE_PART_MAX = 512 << 20,
    STORE_ETAG_SIZE = 136,
};

enum store_verb {
    STORE_PUT,
    STORE_GET,
    STORE_LIST,
    STORE_DELETE, /* of a missing key: E_OK */
    STORE_UPLOAD_START,
    STORE_UPLOAD_PART,
    STORE_UPLOAD_FINISH,
    STORE_UPLOAD_ABORT, /* of an upload that is gone: E_OK */
    STORE_HEAD,         /* size and etag */
    STORE_DELETE_MANY,  /* `keys`; E_OK when none of them is there any more, else the first failure, and the others were
                           tried */
    STORE_UPLOAD_SWEEP, /* abort what others began below the prefix `key` and never finished, as far as it is old */
};
enum { STORE_VERB_COUNT = STORE_UPLOAD_SWEEP + 1 };

struct store_entry {
    char *key;           /* owned; a common prefix ends with '/' */
    uint64_t size;       /* bytes; 0 for a prefix */
    int64_t modified_ms; /* when it was written, by the store's clock; 0: not known */
    bool is_prefix;
};

struct store;
struct store_req;
struct store_who;
typedef void (*store_done_fn)(struct store_req *req);

struct store_req {
    /* Filled in by the submitter. */
    enum store_verb verb;
    char key[STORE_KEY_MAX + 1];   /* for LIST, SWEEP: the prefix (may be empty); for DELETE_MANY: empty */
    struct span body;              /* PUT, PART: borrowed */
    bool create_only;              /* PUT, FINISH */
    uint64_t offset, length;       /* GET: length 0 is "to the end" (E_CORRUPT when that is more than STORE_GET_MAX); an
                                      answer       cut short by the object's end is fine, but an offset at or beyond it is
                                      E_NOTFOUND,       unless both are 0: the whole of an empty object is an answer */
    char after[STORE_KEY_MAX + 1]; /* LIST: only keys behind this one */
    bool by_folder;                /* LIST: keys with a '/' behind the prefix are folded into prefixes; an entry is
                                      listed when it, as a string, is behind `after`: so the last entry of one answer,
                                      key or prefix, is the `after` of the next */
    unsigned limit;                /* LIST: at most this many entries, 0 is STORE_LIST_MAX */
    char *upload;                  /* PART, FINISH, ABORT: the id that START gave; borrowed */
    bool key_final;                /* START: FINISH will have the same key, which saves some stores a copy */
    uint64_t expected;             /* START: about so many bytes at most, as far as it is known; else 0 */
    uint32_t part;                 /* PART: 1, 2, 3 ...; FINISH: their count */
    const char *const *keys;       /* DELETE_MANY: borrowed */
    size_t key_count;              /* 1 to STORE_LIST_MAX */
    char if_match[STORE_ETAG_SIZE]; /* PUT: only over the object with this etag; otherwise E_EXISTS and nothing changes.
                                       "": no condition.  E_UNSUPPORTED where the store cannot */
    uint64_t age_ms;                /* SWEEP: what was begun so long ago by the store's clock, or longer */
    bool dry_run;                   /* SWEEP: only count */
    bool once;                      /* the submitter has a schedule of retries of its own */
    store_done_fn on_done;
    void *ctx;

    /* The answer. */
    struct err err;              /* err.code is E_OK on success */
    uint32_t retry_after_ms;     /* with a failure: the store asks to wait this long; 0: it does not say */
    bool sent_twice;             /* PUT, E_EXISTS: it went out twice, so the object there may be the very one */
    bool unknown_to_store;       /* E_DENIED: the store does not take the credentials at all, whatever they may do */
    struct buf data;             /* GET; owned by the request */
    uint64_t size;               /* GET, HEAD: size of the whole object */
    char etag[STORE_ETAG_SIZE];  /* GET, HEAD, PUT: "" where the store has none */
    struct store_entry *entries; /* LIST; owned by the request */
    size_t entry_count;
    bool more;        /* LIST: there are more behind the last entry */
    int64_t store_ms; /* LIST: what the store's clock says; 0: it does not tell, or it is our own */
    size_t swept;     /* SWEEP: how many; a store takes only so many at once */
    char *upload_id;  /* START; owned by the request */
    size_t part_size; /* START: bytes of its parts, all but the last: the store's, or more when many are expected */

    /* For the store. */
    struct store_req *next;
    void *impl;
};

/*
 * What is counted: requests as the store carries them out, one kind for each verb and those that no verb stands for.
 * For S3 these are HTTP requests, each try by itself, as they are billed.
 */
enum { STORE_KIND_COPY = STORE_VERB_COUNT, STORE_KIND_COUNT };
enum store_outcome {
    STORE_OUTCOME_OK,
    STORE_OUTCOME_ANSWER, /* E_NOTFOUND, E_EXISTS */
    STORE_OUTCOME_THROTTLED,
    STORE_OUTCOME_DENIED,
    STORE_OUTCOME_NETWORK, /* and time-outs */
    STORE_OUTCOME_FAILED,
};
enum { STORE_OUTCOME_COUNT = STORE_OUTCOME_FAILED + 1 };

struct store_counts {
    uint64_t requests[STORE_KIND_COUNT]; /* begun; what was canceled has no outcome */
    uint64_t outcomes[STORE_KIND_COUNT][STORE_OUTCOME_COUNT];
    uint64_t bytes_out, bytes_in; /* bodies of what succeeded */
};

struct store {
    const struct store_ops *ops;
    char *url;                  /* for messages; no secrets */
    size_t part_size;           /* bytes of an upload's part, when nothing larger is expected than fits */
    struct store_counts counts; /* loop thread; read it by store_counts_of() */
    struct store *below;        /* what carries out the requests, when this store only wraps it; else NULL */
    bool counts_itself;         /* by store_count_begin() and store_count_end() */
    bool may_lack_conditions;   /* see store_may_lack_conditions() */
    bool insecure;              /* see store_is_insecure() */
    bool without_conditions;    /* set by store_without_conditions() */
};

struct store_ops {
    void (*submit)(struct store *s, struct store_req *req);
    /* Cut short what is in flight (each completes with E_CANCELED or its own answer), then call `on_stopped` and free
     * the store.  No request may be submitted any more. */
    void (*stop)(struct store *s, void (*on_stopped)(void *ctx), void *ctx);
    /* See store_cancel(); NULL: requests of this store end by themselves. */
    void (*cancel)(struct store *s);
    /* See store_presign(); NULL: this store has no links. */
    struct rc (*presign)(
        struct store *s, const char *key, int64_t now_ms, uint32_t seconds, struct buf *url, struct err *err);
    /* See store_identify(); NULL: this store asks nobody who he is. */
    void (*identify)(struct store *s, struct store_who *who);
    /* See store_provider(); NULL: nobody bills for this store. */
    const char *(*provider)(const struct store *s);
};

/* Prepare a request (zeroed, on_done and ctx set); free what its answer owns.  A request that completed may be
 * submitted again: the former answer is freed first. */
void store_req_init(struct store_req *req, enum store_verb verb, const char *key, store_done_fn on_done, void *ctx);
void store_req_fini(struct store_req *req);

/* Count and pass on.  Key syntax and sizes are asserted: keys are weir's own. */
void store_submit(struct store *s, struct store_req *req);
void store_stop(struct store *s, void (*on_stopped)(void *ctx), void *ctx);
/*
 * Wait no longer: what is in flight completes soon, with E_CANCELED or its own answer, and so does whatever is
 * submitted from now on, with E_CANCELED.  Requests to files are carried out as before.  Again, or while stopping:
 * nothing happens.
 */
void store_cancel(struct store *s);
const char *store_verb_name(enum store_verb verb);
const char *store_kind_name(int kind); /* of a verb, or "copy" */
const char *store_outcome_name(enum store_outcome outcome);
/* The counts of the store that carries out the requests, whatever is wrapped around it. */
const struct store_counts *store_counts_of(const struct store *s);
/* What another store asked on its behalf is counted with its own. */
void store_counts_add(struct store *s, const struct store_counts *more);
bool store_key_ok(const char *key);
/* Below STORE_SCRATCH. */
bool store_is_scratch(const char *key);

/* For those who implement a store: count the outcome and hand the request back, which its owner may free at once.  On
 * the loop thread, once per request, never from inside `submit`. */
void store_complete(struct store *s, struct store_req *req);
/* For those who count themselves. */
void store_count_begin(struct store *s, int kind);
void store_count_end(struct store *s, int kind, enum err_code code);

/* For those who wrap a store: prepare `inner` to ask what `outer` asks, and hand its answer back. */
void store_req_forward(struct store_req *inner, const struct store_req *outer, store_done_fn on_done, void *ctx);
void store_req_take(struct store_req *outer, struct store_req *inner);

/* A list that was begun is not the answer after all. */
void store_req_drop_entries(struct store_req *req);

/* It was found out that conditional writes do not work here: from now on `create_only` is a look and then a plain PUT,
 * which does not stop a second writer.  Nothing changes for a store that cannot lack them. */
void store_without_conditions(struct store *s);
/* Whether they work is not known before it was tried.  Where they are known to be missing, `create_only` is
 * E_UNSUPPORTED until store_without_conditions(). */
bool store_may_lack_conditions(const struct store *s);
/* Everybody on the way can read what is sent: http:// to another machine. */
bool store_is_insecure(const struct store *s);

/*
 * Append a link by which anybody can read the object for so long (1 second to STORE_PRESIGN_MAX), whether it is there
 * or not.  On the loop thread, once a request has been answered; nothing is sent.  The link is a secret.
 *
 * E_UNSUPPORTED where there is no such thing; E_DENIED when the credentials cannot sign it, or end before it;
 * E_BUSY when they are just being renewed.
 */
enum { STORE_PRESIGN_MAX = 604800 }; /* seconds: seven days */
MUST_USE struct rc store_presign(
    struct store *s, const char *key, int64_t now_ms, uint32_t seconds, struct buf *url, struct err *err);

/*
 * Who we are to the store, and where in it the replica is; for people.  Nothing is sent to the store itself, but who
 * gives credentials may be asked.
 */
enum { STORE_WHO_SOURCE_SIZE = 256 };
struct store_who {
    /* Filled in by the submitter. */
    void (*on_done)(struct store_who *who); /* on the loop thread; also from inside store_identify() */
    void *ctx;

    /* The answer. */
    struct err err;                     /* E_OK, or why there are no credentials */
    char source[STORE_WHO_SOURCE_SIZE]; /* "environment", "profile default in ~/.aws/credentials" ... */
    bool anonymous;
    int64_t expires_ms;   /* of the credentials; 0: never */
    const char *provider; /* "aws" ..., as in s3_quirk; borrowed from the store, as the next two */
    const char *bucket, *prefix;
    bool kms; /* objects are encrypted by a key that needs rights of its own */
};
/* Loop thread.  False: nobody has to say who he is here, and on_done is not called. */
bool store_identify(struct store *s, struct store_who *who);
/* Whose store it is, as in s3_quirk, by what its configuration tells: nobody is asked.  Borrowed from the store.  NULL:
 * nobody's: it is a folder, or a share that is read by its links. */
const char *store_provider(const struct store *s);

/* The request's outcome: RC_OK, or its error copied to `err`. */
MUST_USE struct rc store_result(const struct store_req *req, struct err *err);

/*
 * What all stores on one loop share: connections and credentials, made when first needed.  Stop it when its stores have
 * stopped; `on_stopped` may be called at once.
 */
struct fsys;
struct store_env;
struct store_env *store_env_new(uv_loop_t *loop, const struct fsys *fs);
void store_env_stop(struct store_env *env, void (*on_stopped)(void *ctx), void *ctx);

/* An option of a replica, apart from its URL: the names are those of the URL's query (s3_config.h). */
struct store_option {
    const char *name, *value;
};

/*
 * Open the store that `url` names:
 *
 *     file:///absolute/path              percent-encoded where needed; it need not exist: the first write makes it
 *     s3://bucket/prefix?option=value    see s3_config.h; what fails is repeated (store_retry.h)
 *     share:///path, https://host/path   a share, to read from only (store_links.h); repeated as well
 *
 * E_CONFIG with the reason on a URL or an option that does not parse, or names a store that this build does not know.
 * Nothing is sent.
 */
MUST_USE struct rc store_open(struct store_env *env, const char *url, const struct store_option *options,
    size_t option_count, struct store **out, struct err *err);

#endif
