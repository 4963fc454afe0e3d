/* SPDX-License-Identifier: Apache-2.0 */
#include "store_s3_list.h"

#include "alloc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHOLE_MAX = S3_CONFIG_PREFIX_MAX + 1 + STORE_KEY_MAX + 2 };

struct s3_listing {
    char root[S3_CONFIG_PREFIX_MAX + 2]; /* the replica's prefix with its '/', or "" */
    char prefix[WHOLE_MAX];              /* of the listing, with the root */
    char start[WHOLE_MAX];               /* start-after of the first page, "" for none */
    char *token;                         /* owned */
    unsigned page_count, limit;
    bool scratch; /* what uploads left behind */
};

void store_s3_list_free(struct s3_listing *listing)
{
    if (listing == NULL)
        return;
    mem_free(listing->token);
    mem_free(listing);
}

/* --- one page ----------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct s3_xml_entry *)a)->key, ((const struct s3_xml_entry *)b)->key);
}

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The key as we know it, when it is one of ours. */
static bool is_ours(const struct s3_listing *l, const struct s3_xml_entry *e, char key[STORE_KEY_MAX + 1])
{
    const char *relative = e->key + strlen(l->root); /* check_order() has seen the root */
    size_t n = strlen(relative);
    bool ours;

    if (n == 0 || n > STORE_KEY_MAX)
        return false;
    memcpy(key, relative, n + 1);
    if (e->is_prefix && key[n - 1] == '/')
        key[n - 1] = 0;
    ours = store_key_ok(key) || (l->scratch && store_is_scratch(key));
    memcpy(key, relative, n + 1);
    return ours;
}

/*
 * Objects come in byte order behind what was asked for, and so do common prefixes; one of these may be what start-after
 * is in.  Foreign keys are not looked at: stores differ in how they encode and sort what is not plain text.
 */
static struct rc check_order(const struct s3_listing *l, const struct s3_xml_list *page, struct err *err)
{
    const char *before[2] = {NULL, NULL};
    char key[STORE_KEY_MAX + 1];

    for (size_t i = 0; i < page->count; i++) {
        const struct s3_xml_entry *e = &page->entries[i];
        const char *former = before[e->is_prefix];

        if (!begins_with(e->key, l->prefix))
            return rc_raise(err, E_CORRUPT, "asked for keys with \"%.200s\", got \"%.200s\"", l->prefix, e->key);
        if (!is_ours(l, e, key))
            continue;
        if (former != NULL && strcmp(former, e->key) >= 0)
            return rc_raise(
                err, E_CORRUPT, "the store lists \"%.200s\" behind \"%.200s\": not in byte order", e->key, former);
        if (!e->is_prefix && strcmp(e->key, l->start) <= 0)
            return rc_raise(err, E_CORRUPT, "the store lists \"%.200s\", but keys behind \"%.200s\" were asked for",
                e->key, l->start);
        before[e->is_prefix] = e->key;
    }
    return RC_OK;
}

static struct rc take_entries(struct s3_op *op, struct s3_xml_list *page, struct err *err)
{
    struct store_req *req = op->req;
    unsigned limit = op->listing->limit;
    char key[STORE_KEY_MAX + 1];

    req->entries = mem_try(limit, sizeof req->entries[0]);
    if (req->entries == NULL)
        return rc_raise(err, E_NOMEM, "a list of %u entries", limit);
    req->more = page->truncated;
    req->store_ms = store_s3_date(&op->call);
    if (page->count > 0)
        qsort(page->entries, page->count, sizeof page->entries[0], compare);
    for (size_t i = 0; i < page->count; i++) {
        if (!is_ours(op->listing, &page->entries[i], key) || strcmp(key, req->after) <= 0)
            continue;
        if (req->entry_count == limit) { /* a store that gives more than it was asked for */
            req->more = true;
            return RC_OK;
        }
        req->entries[req->entry_count++] = (struct store_entry){.key = mem_strdup(key),
            .size = page->entries[i].size,
            .modified_ms = page->entries[i].modified_ms,
            .is_prefix = page->entries[i].is_prefix};
    }
    return RC_OK;
}

static struct rc remember(struct s3_listing *l, struct s3_xml_list *page, struct err *err)
{
    if (page->next_token == NULL)
        return rc_raise(err, E_CORRUPT, "the store says that there is more, but not how to get it");
    if (++l->page_count == STORE_S3_LIST_PAGES_MAX)
        return rc_raise(err, E_UNSUPPORTED,
            "%d pages of \"%.200s\" hold nothing of weir's: the replica's prefix is shared with something else",
            STORE_S3_LIST_PAGES_MAX, l->prefix);
    mem_free(l->token);
    l->token = MOVE(page->next_token);
    return RC_OK;
}

/* `again`: nothing of ours was on the page, and there is another. */
static struct rc take_page(struct s3_op *op, bool *again, struct err *err)
{
    CLEANUP(s3_xml_list_fini) struct s3_xml_list page = {0};
    struct rc rc;

    *again = false;
    TRY(s3_xml_read_list(buf_span(&op->call.http.data), &page, err));
    TRY(check_order(op->listing, &page, err));
    TRY(take_entries(op, &page, err));
    if (op->req->entry_count > 0 || !page.truncated)
        return RC_OK;
    store_req_drop_entries(op->req);
    rc = remember(op->listing, &page, err);
    *again = !rc_failed(rc);
    return rc;
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

static void send_page(struct s3_op *op);

static void on_page(struct s3_op *op)
{
    struct rc rc = store_s3_result(op);
    bool again = false;

    if (!rc_failed(rc))
        rc = take_page(op, &again, &op->req->err);
    if (again) {
        send_page(op);
        return;
    }
    if (rc_failed(rc))
        store_req_drop_entries(op->req);
    /* A listing has no key of its own that could be missing. */
    if (rc.code == E_NOTFOUND)
        rc = rc_raise(&op->req->err, E_CONFIG, "%s", op->req->err.msg);
    store_s3_end(op, rc);
}

static void send_page(struct s3_op *op)
{
    const struct s3_listing *l = op->listing;
    struct s3_call *call = &op->call;
    char text[16];

    store_s3_call(op, STORE_LIST, "GET", NULL);
    call->answer_max = STORE_S3_LIST_ANSWER_MAX;
    s3_call_param(call, "list-type", "2");
    s3_call_param(call, "encoding-type", "url");
    s3_call_param(call, "prefix", l->prefix);
    (void)snprintf(text, sizeof text, "%u", l->limit);
    s3_call_param(call, "max-keys", text);
    if (op->req->by_folder)
        s3_call_param(call, "delimiter", "/");
    if (l->token != NULL)
        s3_call_param(call, "continuation-token", l->token);
    else if (l->start[0] != 0)
        s3_call_param(call, "start-after", l->start);
    store_s3_send(op, on_page);
}

/* Where the store has to begin so that everything behind `after` comes, and as little else as possible. */
static void find_start(struct s3_listing *l, const struct store_req *req)
{
    size_t prefix_size = strlen(req->key), after_size = strlen(req->after);
    const char *slash = NULL;

    if (after_size == 0)
        return;
    if (req->by_folder && after_size > prefix_size && begins_with(req->after, req->key))
        slash = strchr(req->after + prefix_size, '/');
    if (slash != NULL)
        after_size = (size_t)(slash - req->after) + 1;
    (void)snprintf(
        l->start, sizeof l->start, "%s%.*s%s", l->root, (int)after_size, req->after, slash != NULL ? "~" : "");
}

void store_s3_list_begin(struct s3_op *op)
{
    const char *prefix = op->store->config->prefix;
    struct s3_listing *l = mem_new(sizeof *l);
    int n;

    op->listing = l;
    n = snprintf(l->root, sizeof l->root, "%s%s", prefix, prefix[0] != 0 ? "/" : "");
    assert(n >= 0);
    assert((size_t)n < sizeof l->root); /* S3_CONFIG_PREFIX_MAX */
    (void)snprintf(l->prefix, sizeof l->prefix, "%s%s", l->root, op->req->key);
    l->scratch = strcmp(op->req->key, STORE_SCRATCH) == 0;
    l->limit = op->req->limit > 0 ? op->req->limit : STORE_LIST_MAX;
    find_start(l, op->req);
    send_page(op);
}
