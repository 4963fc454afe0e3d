/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_text - labels and values as Prometheus and OpenMetrics read them. */
#ifndef METRICS_TEXT_H
#define METRICS_TEXT_H

#include "buf.h"

/* name="value"; a path may hold any bytes, a label only UTF-8. */
void metrics_text_label(const char *name, const char *value, struct buf *out);
/* The value behind the labels and the end of the line.  Whole numbers as such; beyond 2^53 the format has doubles
 * anyway. */
void metrics_text_value(double value, struct buf *out);

#endif
