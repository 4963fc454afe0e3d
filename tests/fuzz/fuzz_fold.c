/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a fold.  What decodes must have a table that adds up, and encode to the same bytes again. */
#include "fold.h"
#include "fuzz_object.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

/* The table has a hash of its own; give it the right one, where there seems to be a table. */
static void fix_table(struct buf *object)
{
    struct cursor c;
    uint64_t count;

    if (object->size < PACK_HEADER_SIZE + PACK_TRAILER_SIZE)
        return;
    c = cursor_of(span_of(object->data + PACK_HEADER_SIZE, object->size - PACK_HEADER_SIZE - PACK_TRAILER_SIZE));
    (void)cursor_varint(&c);
    (void)cursor_varint(&c);
    count = cursor_varint_max(&c, FOLD_SEGMENT_COUNT_MAX);
    for (uint64_t i = 0; i < 3 * count; i++)
        (void)cursor_varint(&c);
    if (c.bad || cursor_left(&c) < 8)
        return;
    size_t at = (size_t)(c.at - object->data);

    fuzz_object_put_hash(object->data + at, digest_bytes(object->data, at));
    buf_trim(object, object->size - PACK_TRAILER_SIZE);
    pack_put_trailer(object);
}

static void check_rows(const struct fold *f, size_t size)
{
    uint64_t offset = f->rows[0].offset, txid = f->rows[0].first_txid;

    require(f->count > 0 && f->count <= FOLD_SEGMENT_COUNT_MAX && txid > 0);
    for (size_t i = 0; i < f->count; i++) {
        const struct fold_row *row = &f->rows[i];

        require(row->offset == offset && row->first_txid == txid && row->last_txid >= txid);
        require(fold_find(f, row->first_txid) == row && fold_find(f, row->last_txid) == row);
        offset += row->size;
        txid = row->last_txid + 1;
    }
    require(offset + PACK_TRAILER_SIZE == size);
    require(fold_find(f, txid) == NULL && fold_find(f, f->rows[0].first_txid - 1) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buf_fini) struct buf object, again;
    struct fold f, head;
    struct err err;

    buf_init(&again, FUZZ_OBJECT_MAX);
    fuzz_object_init(&object, data, size);
    fix_table(&object);
    if (rc_failed(fold_decode(buf_span(&object), &f, &err)))
        return 0;
    check_rows(&f, object.size);
    require(!rc_failed(fold_decode_head(span_of(object.data, f.rows[0].offset), object.size, &head, &err)));
    require(head.count == f.count);
    fold_fini(&head);
    size_t table = f.rows[0].offset, begin = f.pack.size;

    require(!rc_failed(fold_begin(&f, &again, &err)));
    require(again.size == table && memcmp(again.data + begin, object.data + begin, table - begin - 8) == 0);
    buf_put(&again, object.data + table, object.size - table - PACK_TRAILER_SIZE);
    require(!rc_failed(fold_end(&f, &again, &err)));
    require(again.size == object.size);
    fold_fini(&f);
    return 0;
}
