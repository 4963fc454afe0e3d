/* SPDX-License-Identifier: Apache-2.0 */
/* The AWS shared files: whatever is told points into the text, in order, and all of a section's names can be asked. */
#include "s3_ini.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    struct span text;
    unsigned line;
};

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void require_inside(const struct seen *seen, struct span s)
{
    require(s.data >= seen->text.data && s.size <= seen->text.size);
    require(s.data + s.size <= seen->text.data + seen->text.size);
}

static struct rc on_item(void *ctx, const struct s3_ini_item *item, struct err *err)
{
    struct seen *seen = ctx;

    (void)err;
    require(item->line > seen->line);
    seen->line = item->line;
    require(item->section.size > 0);
    require_inside(seen, item->section);
    require_inside(seen, item->key);
    require_inside(seen, item->value);
    require((item->kind == S3_INI_SECTION) == (item->key.size == 0));
    if (s3_ini_is_profile(item->section, true, "x"))
        require(!s3_ini_is_profile(item->section, false, "x"));
    require(!s3_ini_key_is(item->key, "") || item->key.size == 0);
    return RC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen seen = {span_of(data, size), 0};
    struct err err;

    rc_ignore(s3_ini_parse(seen.text, "f", on_item, &seen, &err), "any text may be wrong");
    return 0;
}
