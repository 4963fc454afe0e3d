/* SPDX-License-Identifier: Apache-2.0 */
/* retention_proof - does everything that is promised have a plan without what may go? (core/retention) */
#ifndef RETENTION_PROOF_H
#define RETENTION_PROOF_H

#include "retention_points.h"

/* E_BUG: it has not, so nothing may be deleted. */
MUST_USE struct rc retention_proof_check(const struct retention_input *in, const struct retention *out,
    const struct retention_lines *lines, struct err *err);

#endif
