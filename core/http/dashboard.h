/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dashboard - the page at `/` and its parts: the files in core/http/dashboard/, which the build puts into the program.
 *
 * They are the same for everybody and hold no data, so they are sent without a token; what they show they ask for with
 * it.  Browsers are told to run nothing else, to ask nobody else, and to show the page in no frame.
 */
#ifndef DASHBOARD_H
#define DASHBOARD_H

#include "http_server.h"

/* "/" or "/dashboard/..." */
bool dashboard_has(const char *path);
/* Answer with that file, compressed where the client takes it, or with "not modified". */
void dashboard_answer(struct http_call *call, const char *path);

#endif
