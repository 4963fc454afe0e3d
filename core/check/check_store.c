/* SPDX-License-Identifier: Apache-2.0 */
#include "check_store.h"

#include "alloc.h"
#include "check_history.h"
#include "clock.h"
#include "fence.h"
#include "layout.h"
#include "s3_config.h"
#include "s3_right.h"
#include "strx.h"

#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLICY_SIZE = 700, CANARY_SIZE = 64, FOLDERS = 3 };

/* What a store in a folder makes, below it, the folder itself last. */
static const char *const folders[FOLDERS] = {"/probe", ("/" STORE_SCRATCH), ""};

struct trying {
    struct check_store *c;
    struct work *work;
    struct store *store;
    struct store_who who;
    bool is_s3;
    layout_text canary, upload; /* keys */
    char text[CANARY_SIZE];
    bool put; /* the canary is there */
    bool refused[STORE_VERB_COUNT];
    const char *root; /* of a folder; else NULL */
    bool had[FOLDERS];
};

/* --- who we are --------------------------------------------------------------------------------------------------- */

struct question {
    struct store *store;
    struct store_who *who;
    sem_t answered;
    bool asked;
};

static void on_who(struct store_who *who)
{
    struct question *q = who->ctx;

    (void)sem_post(&q->answered); /* cannot overflow: one answer */
}

static void ask(void *ctx)
{
    struct question *q = ctx;

    q->asked = store_identify(q->store, q->who);
}

static bool look_at_credentials(struct trying *t)
{
    struct question q = {.store = t->store, .who = &t->who};
    struct check_report *report = t->c->report;
    char time[STRX_TIME_SIZE];

    (void)sem_init(&q.answered, 0, 0); /* cannot fail with these arguments */
    t->who = (struct store_who){.on_done = on_who, .ctx = &q};
    work_on_loop(t->work, ask, &q);
    if (q.asked)
        work_wait(&q.answered);
    (void)sem_destroy(&q.answered); /* nobody waits */
    t->is_s3 = q.asked;
    t->c->provider = q.asked ? t->who.provider : NULL;
    if (!q.asked)
        return true;
    if (t->who.err.code != E_OK) {
        check_report_add(report, "credentials", CHECK_FAILED, "%s", t->who.err.msg);
        return false;
    }
    if (t->who.anonymous)
        check_report_add(report, "credentials", CHECK_WARNING,
            "none are used (anonymous): a replica that everybody may write can be changed by everybody");
    else if (t->who.expires_ms == 0)
        check_report_add(report, "credentials", CHECK_OK, "found: %s; they do not expire", t->who.source);
    else if (t->who.expires_ms <= clock_wall_ms(&clock_real))
        check_report_add(report, "credentials", CHECK_FAILED,
            "those that were found (%s) expired at %s: renew them there, or check this machine's clock", t->who.source,
            strx_format_time(t->who.expires_ms, time));
    else
        check_report_add(report, "credentials", CHECK_OK, "found: %s; valid until %s, and renewed before",
            t->who.source, strx_format_time(t->who.expires_ms, time));
    return true;
}

/* --- rights ------------------------------------------------------------------------------------------------------- */

/* The smallest statement of a policy that gives this right. */
static void write_policy(const struct trying *t, enum store_verb verb, char out[POLICY_SIZE])
{
    const struct s3_right *right = s3_right_of((int)verb);
    const char *prefix = t->who.prefix, *slash = prefix[0] != 0 ? "/" : "";
    char condition[POLICY_SIZE / 2] = "";

    if (right->with_prefix && prefix[0] != 0)
        (void)snprintf(
            condition, sizeof condition, ", \"Condition\": {\"StringLike\": {\"s3:prefix\": \"%.250s/*\"}}", prefix);
    if (right->on_bucket)
        (void)snprintf(out, POLICY_SIZE,
            "{\"Effect\": \"Allow\", \"Action\": \"%s\", \"Resource\": \"arn:aws:s3:::%.80s\"%s}", right->action,
            t->who.bucket, condition);
    else
        (void)snprintf(out, POLICY_SIZE,
            "{\"Effect\": \"Allow\", \"Action\": \"%s\", \"Resource\": \"arn:aws:s3:::%.80s/%.250s%s*\"}",
            right->action, t->who.bucket, prefix, slash);
}

static void tell_refusal(
    struct trying *t, const char *name, enum check_result result, enum store_verb verb, const struct err *err)
{
    const struct s3_right *right = s3_right_of((int)verb);
    const char *where = strstr(err->msg, " (bucket "); /* which the policy names, and advice on many rights */
    int words = where != NULL && where - err->msg < 300 ? (int)(where - err->msg) : 300;
    char policy[POLICY_SIZE], kms[POLICY_SIZE / 8] = "";

    t->refused[verb] = true;
    if (!t->is_s3) {
        check_report_add(t->c->report, name, result, "%.700s: let the user that weir runs as write below %.300s",
            err->msg, t->root != NULL ? t->root : t->store->url);
        return;
    }
    write_policy(t, verb, policy);
    if (t->who.kms && right->kms != NULL)
        (void)snprintf(kms, sizeof kms, ", or %s on the KMS key", right->kms);
    check_report_add(t->c->report, name, result, "%s is missing%s; the smallest policy that gives it: %s (%.*s)",
        right->action, kms, policy, words, err->msg);
}

/* True when the request was answered as it should be; otherwise its line is written.  A right that was refused has
 * `refusal`. */
static bool judge(
    struct trying *t, const char *name, enum check_result refusal, const struct store_req *req, const struct err *err)
{
    if (err->code == E_OK)
        return true;
    if (err->code == E_DENIED && !req->unknown_to_store)
        tell_refusal(t, name, refusal, req->verb, err);
    else
        check_report_add(t->c->report, name, CHECK_FAILED, "%s", err->msg);
    return false;
}

static enum err_code submit(struct trying *t, struct store_req *req, struct err *err)
{
    struct rc rc = work_store(t->work, t->store, req, err);

    if (!rc_failed(rc))
        *err = (struct err){.code = E_OK};
    return rc.code;
}

/* --- the first request -------------------------------------------------------------------------------------------- */

static void look_at_clock(struct trying *t, int64_t store_ms, int64_t before_ms, int64_t after_ms)
{
    /* Its clock is told in whole seconds, and the answer took its time. */
    int64_t early = store_ms + 999 - before_ms, late = store_ms - after_ms;
    int64_t skew = early < 0 ? early : late > 0 ? late : 0;
    uint64_t distance = skew < 0 ? (uint64_t)-skew : (uint64_t)skew;
    char text[STRX_HUMAN_SIZE];

    (void)strx_format_duration(distance, text);
    if (distance < CHECK_STORE_SKEW_WARN_MS)
        check_report_add(t->c->report, "clock", CHECK_OK, distance < 1000 ? "as the store's" : "%s %s the store's",
            text, skew < 0 ? "ahead of" : "behind");
    else
        check_report_add(t->c->report, "clock", distance < CHECK_STORE_SKEW_FAIL_MS ? CHECK_WARNING : CHECK_FAILED,
            "this machine's clock is %s %s the store's: commits get wrong times, and stores refuse what is signed by "
            "such a clock: set it, and let NTP keep it",
            text, skew < 0 ? "ahead of" : "behind");
}

/* Whether to go on.  What this one meets, all others would. */
static bool look_at_list(struct trying *t)
{
    CLEANUP(store_req_fini) struct store_req req;
    struct err err;
    int64_t before = clock_wall_ms(&clock_real);

    store_req_init(&req, STORE_LIST, "", NULL, NULL);
    req.limit = 1;
    (void)submit(t, &req, &err); /* judged below */
    if (err.code == E_DENIED && req.unknown_to_store) {
        check_report_add(t->c->report, "access", CHECK_FAILED, "%s", err.msg);
        return false;
    }
    t->c->reached = err.code == E_OK || err.code == E_DENIED;
    if (!t->c->reached) {
        check_report_add(t->c->report, t->is_s3 ? "bucket" : "folder", CHECK_FAILED, "%s", err.msg);
        return false;
    }
    if (judge(t, "list", CHECK_FAILED, &req, &err))
        check_report_add(t->c->report, "list", CHECK_OK, "%s", t->is_s3 ? s3_right_of(STORE_LIST)->action : "allowed");
    if (t->is_s3 && req.store_ms != 0)
        look_at_clock(t, req.store_ms, before, clock_wall_ms(&clock_real));
    else if (t->is_s3)
        check_report_add(t->c->report, "clock", CHECK_SKIPPED, "the store did not tell its time");
    return true;
}

/* --- the canary --------------------------------------------------------------------------------------------------- */

static void tell_allowed(struct trying *t, const char *name, enum store_verb verb, const char *more)
{
    check_report_add(t->c->report, name, CHECK_OK, "%s%s", t->is_s3 ? s3_right_of((int)verb)->action : "allowed", more);
}

static void try_put(struct trying *t)
{
    CLEANUP(store_req_fini) struct store_req req;
    struct err err;

    store_req_init(&req, STORE_PUT, t->canary, NULL, NULL);
    req.body = span_of((const uint8_t *)t->text, strlen(t->text));
    (void)submit(t, &req, &err); /* judged below */
    t->put = judge(t, "put", CHECK_FAILED, &req, &err);
    if (t->put)
        tell_allowed(t, "put", STORE_PUT, "");
}

/* Where nothing was written, that nothing is found is an answer that is not given to everybody. */
static void try_get(struct trying *t, enum store_verb verb, const char *name)
{
    CLEANUP(store_req_fini) struct store_req req;
    size_t size = strlen(t->text);
    struct err err;

    store_req_init(&req, verb, t->canary, NULL, NULL);
    (void)submit(t, &req, &err); /* judged below */
    if (!t->put && err.code == E_NOTFOUND) {
        tell_allowed(t, name, verb, "");
        return;
    }
    if (!judge(t, name, CHECK_FAILED, &req, &err))
        return;
    if (req.size != size || (verb == STORE_GET && (req.data.size != size || memcmp(req.data.data, t->text, size) != 0)))
        check_report_add(t->c->report, name, CHECK_FAILED,
            "%s: %zu bytes were written, and something else was read back (%" PRIu64
            " bytes): something on the way to the store changes what it carries",
            t->canary, size, req.size);
    else
        tell_allowed(t, name, verb, verb == STORE_GET ? "; what was written was read back" : "");
}

/* --- multipart ---------------------------------------------------------------------------------------------------- */

/* Its second part only: that is what makes the store begin one, and the size does not matter before the end. */
static void try_upload(struct trying *t)
{
    CLEANUP(store_req_fini) struct store_req start, part, abort;
    struct err err;

    store_req_init(&start, STORE_UPLOAD_START, t->upload, NULL, NULL);
    store_req_init(&part, STORE_UPLOAD_PART, t->upload, NULL, NULL);
    store_req_init(&abort, STORE_UPLOAD_ABORT, t->upload, NULL, NULL);
    start.key_final = true;
    (void)submit(t, &start, &err); /* judged below */
    if (err.code == E_OK) {
        part.upload = abort.upload = start.upload_id;
        part.part = 2;
        part.body = span_of((const uint8_t *)t->text, strlen(t->text));
        (void)submit(t, &part, &err); /* judged below */
    } else
        part.verb = start.verb;
    if (!judge(t, "multipart", CHECK_FAILED, &part, &err)) {
        if (abort.upload != NULL)
            (void)submit(t, &abort, &err); /* nothing was begun */
        return;
    }
    tell_allowed(t, "multipart", STORE_UPLOAD_PART, "");
    (void)submit(t, &abort, &err); /* judged below */
    if (judge(t, "abort", CHECK_FAILED, &abort, &err))
        tell_allowed(t, "abort", STORE_UPLOAD_ABORT, "");
}

/* For a prune, and for nothing else. */
static void try_list_uploads(struct trying *t)
{
    CLEANUP(store_req_fini) struct store_req req;
    const uint64_t always = UINT64_C(1000) * 366 * 86400 * 1000;
    struct err err;

    store_req_init(&req, STORE_UPLOAD_SWEEP, "", NULL, NULL);
    req.dry_run = true;
    req.age_ms = always;
    (void)submit(t, &req, &err); /* judged below */
    if (err.code == E_UNSUPPORTED)
        check_report_add(t->c->report, "list uploads", CHECK_WARNING,
            "the store cannot list unfinished uploads: let a lifecycle rule abort them after some days");
    else if (judge(t, "list uploads", CHECK_WARNING, &req, &err))
        tell_allowed(t, "list uploads", STORE_UPLOAD_SWEEP, "");
}

/* --- a second creation -------------------------------------------------------------------------------------------- */

static void try_fence(struct trying *t)
{
    enum fence fence = FENCE_UNKNOWN;
    bool required = t->c->db->fencing == CONFIG_FENCING_REQUIRE;
    struct err err;

    if (!t->put) {
        check_report_add(t->c->report, "conditional writes", CHECK_SKIPPED, "nothing can be written");
        return;
    }
    if (rc_failed(fence_probe(t->work, t->store, &fence, &err)))
        check_report_add(t->c->report, "conditional writes", CHECK_FAILED, "%s", err.msg);
    else if (fence == FENCE_KEPT)
        check_report_add(t->c->report, "conditional writes", CHECK_OK, "a second creation of an object fails");
    else
        check_report_add(t->c->report, "conditional writes", required ? CHECK_FAILED : CHECK_WARNING,
            "%s: a second writer cannot be kept out%s", fence_weakness(fence),
            required ? ", and fencing is 'require': take another store, or set fencing: warn"
                     : "; weir looks for others instead, but let only one daemon write here");
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* A replica that only grows is a choice: nothing then deletes. */
static enum check_result without_delete(const struct config_db *db)
{
    return config_has_retention(db) || db->fold_count >= 2 ? CHECK_FAILED : CHECK_WARNING;
}

static void try_delete(struct trying *t)
{
    CLEANUP(store_req_fini) struct store_req req;
    struct err err;

    store_req_init(&req, STORE_DELETE, t->canary, NULL, NULL);
    (void)submit(t, &req, &err); /* judged below */
    if (!judge(t, "delete", without_delete(t->c->db), &req, &err))
        return;
    if (t->put && !t->refused[STORE_HEAD]) {
        store_req_init(&req, STORE_HEAD, t->canary, NULL, NULL);
        if (submit(t, &req, &err) == E_OK) {
            check_report_add(t->c->report, "delete", CHECK_FAILED,
                "%s was deleted and is still there: the store does not do what it says, or something on the way keeps "
                "old answers",
                t->canary);
            return;
        }
    }
    tell_allowed(t, "delete", STORE_DELETE, "");
}

/* A folder keeps the folders that were made for the canary. */
static bool has(const struct trying *t, const char *name)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s%s", t->root, name);
    struct stat st;

    return t->c->fs->stat(t->c->fs, path, &st) == 0;
}

static void look_at_root(struct trying *t)
{
    static const char scheme[] = "file://";

    if (t->is_s3 || strncmp(t->store->url, scheme, strlen(scheme)) != 0)
        return;
    t->root = t->store->url + strlen(scheme);
    for (int i = 0; i < FOLDERS; i++)
        t->had[i] = has(t, folders[i]);
}

/* One that is not empty stays: somebody else uses it. */
static void remove_folders(const struct trying *t)
{
    for (int i = 0; t->root != NULL && i < FOLDERS; i++) {
        CLEANUP(mem_freep) char *path = mem_printf("%s%s", t->root, folders[i]);

        if (!t->had[i])
            (void)t->c->fs->rmdir(t->c->fs, path);
    }
}

static void look_at_room(struct trying *t)
{
    char text[STRX_HUMAN_SIZE];
    uint64_t have;

    if (t->root == NULL || t->c->fs->space == NULL || t->c->fs->space(t->c->fs, t->root, &have) != 0)
        return;
    check_report_add(t->c->report, "room", CHECK_OK, "%s free below %s", strx_format_size(have, text), t->root);
}

static void try_all(struct trying *t)
{
    try_put(t);
    look_at_room(t);
    try_get(t, STORE_GET, "get");
    try_get(t, STORE_HEAD, "head");
    try_upload(t);
    if (t->is_s3)
        try_list_uploads(t);
    try_fence(t);
    try_delete(t);
}

struct rc check_store_run(struct check_store *c, struct work *w, struct store *s, struct err *err)
{
    struct trying t = {.c = c, .work = w, .store = s};
    struct nonce first = nonce_new(), second = nonce_new();
    char text[NONCE_TEXT_SIZE];
    struct rc rc = RC_OK;

    c->load.part_size = s->part_size > 0 ? s->part_size : S3_CONFIG_PART_SIZE;
    (void)snprintf(t.canary, sizeof t.canary, "probe/%s", nonce_format(&first, text));
    (void)snprintf(t.upload, sizeof t.upload, "probe/%s", nonce_format(&second, text));
    (void)snprintf(t.text, sizeof t.text, "weir check: %s\n", text);
    if (!look_at_credentials(&t))
        return RC_OK;
    look_at_root(&t);
    if (!look_at_list(&t))
        return RC_OK;
    try_all(&t);
    if (!t.refused[STORE_LIST] && !t.refused[STORE_GET])
        rc = check_history_run(c, w, s, err);
    remove_folders(&t);
    return rc;
}
