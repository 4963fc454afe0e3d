/* SPDX-License-Identifier: Apache-2.0 */
#include "store_s3_who.h"

#include "alloc.h"
#include "store_env.h"
#include "store_s3_intern.h"

#include <stdio.h>

struct asking {
    struct s3_cred_wait wait; /* must be first */
    struct store_who *who;
};

static void on_ready(struct s3_cred_wait *wait, const struct s3_cred_keys *keys, const struct err *err)
{
    struct asking *a = (struct asking *)wait;
    struct store_who *who = a->who;

    mem_free(a);
    if (keys == NULL)
        who->err = *err;
    else {
        (void)snprintf(who->source, sizeof who->source, "%s", keys->source);
        who->anonymous = keys->anonymous;
        who->expires_ms = keys->expires_ms;
    }
    who->on_done(who);
}

const char *store_s3_who_provider(const struct store *base)
{
    const struct s3_store *s = (const struct s3_store *)base; /* `base` is the first member */

    return s->config->quirk->provider;
}

void store_s3_who_ask(struct store *base, struct store_who *who)
{
    const struct s3_store *s = (const struct s3_store *)base; /* `base` is the first member */
    struct s3_http *http = NULL;
    struct s3_cred *cred = NULL;
    struct asking *a;

    who->err = (struct err){.code = E_OK};
    who->source[0] = 0;
    who->anonymous = false;
    who->expires_ms = 0;
    who->provider = store_s3_who_provider(base);
    who->bucket = s->config->bucket;
    who->prefix = s->config->prefix;
    who->kms = s->config->sse == S3_SSE_KMS;
    if (rc_failed(store_env_http(s->env, s->config, &http, &who->err))
        || rc_failed(store_env_cred(s->env, s->config, http, &cred, &who->err))) {
        who->on_done(who);
        return;
    }
    a = mem_new(sizeof *a);
    a->wait.on_ready = on_ready;
    a->who = who;
    s3_cred_get(cred, &a->wait);
}
