/* SPDX-License-Identifier: Apache-2.0 */
/* The reader against what no writer makes: objects whose hashes are right but whose index does not make sense, built
 * byte by byte. */
#include "snap_index_kit.h"

/* --- building ---------------------------------------------------------------------------------------------------- */

/* What an object claims; the rest of it is right. */
struct claim {
    uint64_t body;     /* bytes of frames */
    const char *index; /* raw, in plain blocks, without hashes */
    size_t index_size;
    uint32_t page_size, page_count, frame_count;
    int64_t raw_more;    /* added to what the footer says about the raw index */
    int64_t offset_more; /* and to where it says that the index begins */
    const char *block;   /* the index as stored, in place of one plain block */
    size_t block_size;
};

/* In a string of bytes, sizeof counts a 0 behind the end. */
#define BYTES(text) text, sizeof(text) - 1

static void build(const struct claim *c, struct buf *o)
{
    struct pack_header h = {.kind = PACK_SNAPSHOT, .database = kit_database, .writer = kit_writer};
    size_t raw = c->index_size + (size_t)c->frame_count * 8;
    uint64_t begin;
    struct buf head;

    buf_init(o, KIT_OBJECT_MAX);
    buf_init(&head, PACK_HEADER_SIZE);
    pack_put_header(&head, &h);
    buf_put(o, head.data, head.size);
    for (uint64_t i = 0; i < c->body; i++)
        buf_u8(o, 0xaa);
    begin = o->size;
    if (c->block != NULL) {
        buf_put(o, c->block, c->block_size);
    } else if (raw > 0) {
        buf_u32(o, (uint32_t)raw);
        buf_u32(o, (uint32_t)raw);
        buf_put(o, c->index, c->index_size);
        for (uint32_t i = 0; i < c->frame_count; i++)
            buf_u64(o, i);
    }
    {
        uint64_t size = o->size - begin;

        buf_put(o, head.data, head.size);
        buf_u32(o, 1);
        buf_u32(o, c->page_size);
        buf_u64(o, 1);
        buf_u64(o, 1);
        buf_u32(o, c->page_count);
        buf_u32(o, c->frame_count);
        buf_u64(o, 0);
        buf_u64(o, begin + (uint64_t)c->offset_more);
        buf_u64(o, size - (uint64_t)c->offset_more);
        buf_u64(o, raw + (uint64_t)c->raw_more);
        buf_u64(o, 0);
        buf_u32(o, SNAP_FOOTER_SIZE);
        buf_u32(o, SNAP_FOOTER_MAGIC);
        buf_u64(o, 0);
        buf_u64(o, 0);
    }
    kit_fix(o->data, o->size);
    buf_fini(&head);
}

/* --- claims ------------------------------------------------------------------------------------------------------ */

struct refusal {
    struct claim claim;
    const char *want;
};

static void refuse(const struct refusal *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct buf o;
        struct err err;

        build(&r[i].claim, &o);
        assert_fails(kit_open_index(o.data, o.size, o.size, &err), E_CORRUPT);
        assert_string_equal(err.msg, r[i].want);
        buf_fini(&o);
    }
}

/* A frame: stored size, runs, then for each run its step and its length - 1; step 0 in the first run: it goes on. */
static void test_frames(void **state)
{
    static const struct refusal all[] = {
        {{20, BYTES("\x14\x01\x01\x00"), 4096, 1, 1}, "snapshot index: frame 0 of 1: page 0"},
        {{20, BYTES("\x14\x01\x03\x00"), 4096, 1, 1}, "snapshot index: frame 0 of 1: a page number below 0"},
        {{20, BYTES("\x14\x00\x00\x00"), 4096, 1, 1}, "snapshot index: frame 0 of 1: no pages"},
        {{20, BYTES("\x14\x02\x00\x00\x00\x00"), 4096, 2, 1},
            "snapshot index: frame 0 of 1: two runs of pages touch before page 2"},
        {{20, BYTES("\x14\x01\x00\x40"), 4096, 65, 1}, "snapshot index: frame 0 of 1: 65 pages where 64 fit"},
        {{20, BYTES("\x14\x02\x00\x3e\x01\x01"), 4096, 65, 1}, "snapshot index: frame 0 of 1: 65 pages where 64 fit"},
        {{20, BYTES("\x14\x01\x00\x80\x04"), 512, 513, 1},
            "snapshot index: frame 0 of 1: run of pages: cut short or malformed"},
        {{20, BYTES("\x14\x81\x04\x00\x00"), 512, 1, 1},
            "snapshot index: frame 0 of 1: number of runs: cut short or malformed"},
        {{20, BYTES("\x14\x01\x00\x80"), 4096, 1, 1},
            "snapshot index: frame 0 of 1: run of pages: cut short or malformed"},
        {{20, BYTES("\x14\x01\xfc\xff\xff\xff\x1f\x00"), 4096, 1, 1},
            "snapshot index: frame 0 of 1: page 4294967295, which SQLite cannot have"},
        {{20, BYTES("\x14\x01\xfa\xff\xff\xff\x1f\x01"), 4096, 1, 1},
            "snapshot index: frame 0 of 1: page 4294967295, which SQLite cannot have"},
        {{20, BYTES("\x14\x02\x00\x00\xfe\xff\xff\xff\x0f\x00"), 4096, 1, 1},
            "snapshot index: frame 0 of 1: page 4294967296, which SQLite cannot have"},
        {{20, BYTES("\x14\x01\x80\x80\x02\x00"), 65536, 1, 1},
            "snapshot index: frame 0 of 1: page 16385, which is the lock page"},
        {{20, BYTES("\x14\x01\xfc\xff\x01\x03"), 65536, 1, 1},
            "snapshot index: frame 0 of 1: page 16385, which is the lock page"},
        {{20, BYTES("\x09\x01\x00\x00"), 4096, 1, 1}, "snapshot index: frame 0 of 1: a stored size of 9 bytes"},
        {{20, BYTES("\x81\xa0\x10\x01\x00\x00"), 4096, 1, 1},
            "snapshot index: frame 0 of 1: a stored size of 266241 bytes"},
        {{20, BYTES("\x15\x01\x00\x00"), 4096, 1, 1},
            "snapshot index: frame 0 of 1: 21 bytes at 56 reach over the end of all frames at 76"},
        {{20, BYTES("\x0a\x01\x00\x00\x0b\x01\x00\x00"), 4096, 2, 2},
            "snapshot index: frame 1 of 2: 11 bytes at 66 reach over the end of all frames at 76"},
        {{20, BYTES("\x13\x01\x00\x00"), 4096, 1, 1}, "snapshot index: frames end at 75, the index begins at 76"},
        {{20, BYTES("\x14\x01\x00\x00\x00"), 4096, 1, 1}, "snapshot index: 1 bytes left over at the end"},
    };

    (void)state;
    refuse(all, sizeof all / sizeof all[0]);
}

/* Frames that are right by themselves, and a database that they do not make up. */
static void test_pages(void **state)
{
    static const struct refusal all[] = {
        {{20, BYTES("\x14\x01\x00\x00"), 4096, 2, 1},
            "snapshot index: a database of 2 pages with 1 pages in all frames together"},
        {{20, BYTES("\x14\x01\x00\x00"), 4096, 4294967294u, 1},
            "snapshot index: a database of 4294967294 pages with 1 pages in all frames together"},
        {{20, BYTES("\x14\x02\x00\x00\x01\x00"), 4096, 2, 1}, "snapshot index: page 2 of 2 is in no frame"},
        {{20, BYTES("\x14\x01\x02\x01"), 4096, 2, 1}, "snapshot index: page 1 of 2 is in no frame"},
        {{40, BYTES("\x14\x01\x00\x01\x14\x01\x03\x00"), 4096, 3, 2}, "snapshot index: page 3 of 3 is in no frame"},
    };

    (void)state;
    refuse(all, sizeof all / sizeof all[0]);
}

static void test_footer(void **state)
{
    static const struct refusal all[] = {
        {{20, BYTES("\x14\x01\x00\x00"), 1000, 1, 1}, "snapshot footer: page size 1000"},
        {{20, BYTES("\x14\x01\x00\x00"), 4096, 4294967295u, 1},
            "snapshot footer: 4294967295 pages are more than SQLite can have"},
        {{20, BYTES("\x14\x01\x00\x00\x14\x01\x00\x00\x14\x01\x00\x00"), 4096, 3, 3},
            "snapshot footer: 3 frames cannot be in 20 bytes"},
        {{20, BYTES("\x14\x01\x00"), 4096, 1, 1}, "snapshot footer: 1 frames do not fit a raw index of 11 bytes"},
        {{20, BYTES("\x14\x01\x00\x00"), 4096, 1, 1, .raw_more = 4000},
            "snapshot footer: 1 frames do not fit a raw index of 4012 bytes"},
        {{0, BYTES(""), 4096, 0, 0, .raw_more = 1}, "snapshot footer: 0 frames do not fit a raw index of 1 bytes"},
        {{20, BYTES("\x14\x01\x00\x00"), 4096, 1, 1, .raw_more = 536870912},
            "snapshot footer: an index of 20 bytes, 536870924 raw, is over the limit of 536870912"},
        {{20, BYTES("\x14\x01\x00\x00"), 4096, 1, 1, .offset_more = -21},
            "snapshot footer: an index of 41 bytes at 55 does not end at the footer at 96"},
        {{20, BYTES("\x14\x01\x00\x00"), 4096, 1, 1, .offset_more = 21},
            "snapshot footer: an index of 18446744073709551615 bytes at 97 does not end at the footer at 96"},
    };

    (void)state;
    refuse(all, sizeof all / sizeof all[0]);
}

static void test_blocks(void **state)
{
    static const struct refusal all[] = {
        {{20, BYTES("\x14\x01\x00\x00"), 4096, 1, 1, .raw_more = 1},
            "snapshot index: 12 raw bytes, the footer says 13"},
        {{20, BYTES("\x14\x01\x00\x00\x00"), 4096, 1, 1, .raw_more = -1},
            "snapshot index: block: 13 bytes, 13 raw, with 12 raw bytes to go"},
        {{20, BYTES("\x14\x01\x00\x00"), 4096, 1, 1, .block = "\x0c\0\0\0\x0d\0\0\0", .block_size = 8},
            "snapshot index: block: 13 bytes, 12 raw, with 12 raw bytes to go"},
        {{20, BYTES("\x14\x01\x00\x00"), 4096, 1, 1, .block = "\0\0\0\0\0\0\0\0", .block_size = 8},
            "snapshot index: block: 0 bytes, 0 raw, with 12 raw bytes to go"},
        {{20, BYTES("\x14\x01\x00\x00"), 4096, 1, 1, .block = "\x0c\0\0\0\x0c\0\0", .block_size = 7},
            "snapshot index: block: cut short or malformed"},
        {{20, BYTES("\x14\x01\x00\x00"), 4096, 1, 1, .block = "\x0c\0\0\0\x0c\0\0\0 eleven byte", .block_size = 19},
            "snapshot index: block: cut short or malformed"},
        {{20, BYTES("\x14\x01\x00\x00"), 4096, 1, 1, .block = "\x0c\0\0\0\x0b\0\0\0 eleven byte", .block_size = 19},
            "snapshot index: compressed data: not a zstd frame"},
        {{20, BYTES(""), 4096, 1, 0}, "snapshot index: frames end at 56, the index begins at 76"},
    };

    (void)state;
    refuse(all, sizeof all / sizeof all[0]);
}

/* The builder itself makes objects that open, so that the refusals above are for the reason they state. */
static void test_accepted(void **state)
{
    static const struct claim all[] = {
        {20, BYTES("\x14\x01\x00\x00"), 4096, 1, 1},
        {20, BYTES("\x14\x01\x00\x3f"), 4096, 64, 1},
        {20, BYTES("\x14\x01\x00\x3f"), 4096, 3, 1}, /* shrunk */
        {40, BYTES("\x14\x02\x00\x00\x01\x00\x14\x01\x03\x00"), 4096, 3, 2},
        {0, BYTES(""), 4096, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct buf o;
        struct err err;

        build(&all[i], &o);
        assert_ok_err(kit_open_index(o.data, o.size, o.size, &err), &err);
        buf_fini(&o);
    }
}

/* --- who counts -------------------------------------------------------------------------------------------------- */

static void test_superseded(void **state)
{
    /* Pages 1 to 4, then 2 and 3 again, then 3 and 5; the database ends with page 4. */
    static const struct claim c = {60,
        BYTES("\x14\x01\x00\x03"
              "\x14\x01\x05\x01"
              "\x14\x02\x01\x00\x01\x00"),
        4096, 4, 3};
    static const uint8_t want[3][4] = {{0, 1, 1, 0}, {0, 1}, {0, 1}};
    static const uint32_t pgnos[3][4] = {{1, 2, 3, 4}, {2, 3}, {3, 5}};
    struct snap_index *ix = NULL;
    uint64_t need;
    struct buf o;
    struct err err;

    (void)state;
    build(&c, &o);
    assert_ok_err(snap_index_open(&ix, buf_span(&o), o.size, &need, &err), &err);
    assert_int_equal(snap_index_frame_count(ix), 3);
    for (size_t i = 0; i < 3; i++) {
        struct snap_index_frame f = snap_index_frame(ix, i);

        assert_int_equal(f.page_count, i == 0 ? 4 : 2);
        assert_memory_equal(f.superseded, want[i], f.page_count);
        assert_memory_equal(f.pgnos, pgnos[i], f.page_count * sizeof *f.pgnos);
        assert_int_equal(f.offset, 56 + 20 * i);
        assert_int_equal(f.size, 20);
        assert_int_equal(f.hash, i);
    }
    snap_index_free(ix);
    buf_fini(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_footer),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_superseded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
