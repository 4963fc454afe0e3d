/* SPDX-License-Identifier: Apache-2.0 */
/* store_links_answer - what a share answers: listings and sizes from its document, bytes from links. */
#ifndef STORE_LINKS_ANSWER_H
#define STORE_LINKS_ANSWER_H

#include "s3_http.h"
#include "share_doc.h"
#include "store.h"

/* A page of the document's keys, as the request wants it. */
MUST_USE struct rc store_links_answer_list(const struct share_doc *d, struct store_req *req, struct err *err);
/* E_NOTFOUND when the share is without it, or, of a GET, an offset is behind its end. */
MUST_USE struct rc store_links_answer_find(
    const struct share_doc *d, const struct store_req *req, const struct share_object **out, struct err *err);

/* The range and the limit of a GET. */
void store_links_answer_ask(struct s3_http_req *http, const struct store_req *req);
/* Its answer with a status of success: into `req`. */
MUST_USE struct rc store_links_answer_body(
    struct s3_http_req *http, const struct share_object *o, struct store_req *req, struct err *err);
/* Another status.  `d` NULL: of the document itself.  Always a failure. */
MUST_USE struct rc store_links_answer_refused(
    const struct s3_http_req *http, const struct share_doc *d, uint32_t *retry_after_ms, struct err *err);

#endif
