/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conflict - a create-only key is taken, and not by our own bytes: whose is it?
 *
 * Pure.  The answer is always an error; the caller has compared the bytes before.
 */
#ifndef CONFLICT_H
#define CONFLICT_H

#include "rc.h"
#include "span.h"

/* What stands at a log key that should have been ours, in words: E_FENCED, or E_CORRUPT for what nobody writes. */
MUST_USE struct rc conflict_explain(const char *key, struct span object, struct err *err);
/* A part of a segment has the key of our run, so nobody else can have written it: with other bytes it is E_CORRUPT. */
MUST_USE struct rc conflict_explain_part(const char *key, struct err *err);

#endif
