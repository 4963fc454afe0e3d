/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_log - the log of one timeline: fetched ahead, opened on all cores, judged in order.
 */
#ifndef VERIFY_LOG_H
#define VERIFY_LOG_H

#include "verify_intern.h"

MUST_USE struct rc verify_log_run(struct verify_job *j, struct verify_work *t, struct err *err);

#endif
