/* SPDX-License-Identifier: Apache-2.0 */
#include "retention_print.h"

#include "strx.h"

#include <inttypes.h>
#include <stdio.h>

void retention_print_text(const struct retention *d)
{
    char time[STRX_TIME_SIZE], until[STRX_TIME_SIZE];

    for (size_t i = 0; i < d->point_count; i++) {
        const struct retention_point *p = &d->points[i];

        (void)printf("  kept        timeline %" PRIu32 ", txid %" PRIu64 "%s", p->timeline, p->txid,
            p->why == RETENTION_EXACT ? " and every commit behind it" : "");
        if (p->time_ms != 0)
            (void)printf(" (%s)", strx_format_time(p->time_ms, time));
        (void)printf(", %s", retention_class_name(p->why));
        if (p->until_ms != 0)
            (void)printf(" until %s", strx_format_time(p->until_ms, until));
        (void)printf("%s\n", p->lost ? ", CANNOT BE RESTORED: what is around it stays" : "");
    }
}

json_t *retention_print_time(int64_t ms)
{
    char time[STRX_TIME_SIZE];

    return ms != 0 && ms != INT64_MIN ? json_string(strx_format_time(ms, time)) : json_null();
}

json_t *retention_print_points(const struct retention *d)
{
    json_t *array = json_array();

    for (size_t i = 0; i < d->point_count; i++) {
        const struct retention_point *p = &d->points[i];

        (void)json_array_append_new(array,
            json_pack("{s:I, s:I, s:o, s:s, s:o, s:b}", "timeline", (json_int_t)p->timeline, "txid",
                (json_int_t)p->txid, "time", retention_print_time(p->time_ms), "why", retention_class_name(p->why),
                "until", retention_print_time(p->until_ms), "restorable", (int)!p->lost));
    }
    return array;
}
