/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics_text.h"

#include <inttypes.h>
#include <math.h>

/* The length of the UTF-8 character that begins here; 0: it is none. */
static size_t character(const unsigned char *p)
{
    size_t size = *p < 0x80                 ? 1
                  : *p >= 0xc2 && *p < 0xe0 ? 2
                  : *p >= 0xe0 && *p < 0xf0 ? 3
                  : *p >= 0xf0 && *p < 0xf5 ? 4
                                            : 0;

    for (size_t i = 1; i < size; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

void metrics_text_label(const char *name, const char *value, struct buf *out)
{
    buf_printf(out, "%s=\"", name);
    for (const unsigned char *p = (const unsigned char *)value; *p != 0;) {
        size_t size = character(p);

        if (*p == '\\' || *p == '"')
            buf_printf(out, "\\%c", *p);
        else if (*p == '\n')
            buf_text(out, "\\n");
        else if (size == 0)
            buf_text(out, "?");
        else
            buf_put(out, p, size);
        p += size > 0 ? size : 1;
    }
    buf_text(out, "\"");
}

void metrics_text_value(double value, struct buf *out)
{
    if (isinf(value))
        buf_text(out, " +Inf\n");
    else if (value < 9007199254740992.0 && value >= 0 && (double)(uint64_t)value >= value)
        buf_printf(out, " %" PRIu64 "\n", (uint64_t)value);
    else
        buf_printf(out, " %.3f\n", value);
}
