/* SPDX-License-Identifier: Apache-2.0 */
#include "dbfmt.h"

#include <string.h>

enum {
    OFF_PAGE_SIZE = 16,
    OFF_WRITE_VERSION = 18,
    OFF_READ_VERSION = 19,
    OFF_RESERVED = 20,
    OFF_FRACTIONS = 21,
    OFF_CHANGE_COUNTER = 24,
    OFF_PAGE_COUNT = 28,
    OFF_VALID_FOR = 92,
    USABLE_MIN = 480, /* SQLite's least usable bytes in a page */
    VERSION_WAL = 2,
};

static const char sqlite_magic[16] = "SQLite format 3";

static uint32_t big_endian_32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool starts_with(struct span head, size_t off, const void *magic, size_t n)
{
    return head.size >= off + n && memcmp(head.data + off, magic, n) == 0;
}

enum dbfmt_kind dbfmt_recognise(struct span head)
{
    static const uint8_t journal[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};
    static const uint8_t wal_le[4] = {0x37, 0x7f, 0x06, 0x82}, wal_be[4] = {0x37, 0x7f, 0x06, 0x83};

    if (head.size == 0)
        return DBFMT_EMPTY;
    if (starts_with(head, 0, sqlite_magic, sizeof sqlite_magic))
        return DBFMT_SQLITE;
    if (starts_with(head, 0, journal, sizeof journal) || starts_with(head, 0, wal_le, sizeof wal_le)
        || starts_with(head, 0, wal_be, sizeof wal_be))
        return DBFMT_JOURNAL;
    if (starts_with(head, 8, "DUCK", 4)) /* behind the checksum of DuckDB's main header */
        return DBFMT_DUCKDB;
    return DBFMT_OTHER;
}

struct rc dbfmt_decode_header(struct span head, struct dbfmt_header *out, struct err *err)
{
    const uint8_t *p = head.data;
    struct dbfmt_header h;

    if (head.size < DBFMT_HEADER_SIZE)
        return rc_raise(err, E_CORRUPT, "database header: %zu of %d bytes", head.size, DBFMT_HEADER_SIZE);
    if (memcmp(p, sqlite_magic, sizeof sqlite_magic) != 0)
        return rc_raise(err, E_CORRUPT, "database header: not a SQLite database");
    h.page_size = (uint32_t)p[OFF_PAGE_SIZE] << 8 | p[OFF_PAGE_SIZE + 1];
    if (h.page_size == 1) /* 65536 does not fit its two bytes */
        h.page_size = DBFMT_PAGE_SIZE_MAX;
    if (!dbfmt_page_size_ok(h.page_size))
        return rc_raise(err, E_CORRUPT, "database header: page size %u", h.page_size);
    if (h.page_size - p[OFF_RESERVED] < USABLE_MIN)
        return rc_raise(err, E_CORRUPT, "database header: %u reserved bytes in a page of %u", (unsigned)p[OFF_RESERVED],
            h.page_size);
    if (p[OFF_FRACTIONS] != 64 || p[OFF_FRACTIONS + 1] != 32 || p[OFF_FRACTIONS + 2] != 32)
        return rc_raise(err, E_CORRUPT, "database header: payload fractions %u, %u, %u", (unsigned)p[OFF_FRACTIONS],
            (unsigned)p[OFF_FRACTIONS + 1], (unsigned)p[OFF_FRACTIONS + 2]);
    if (p[OFF_WRITE_VERSION] == 0 || p[OFF_READ_VERSION] == 0)
        return rc_raise(err, E_CORRUPT, "database header: write version %u, read version %u",
            (unsigned)p[OFF_WRITE_VERSION], (unsigned)p[OFF_READ_VERSION]);
    h.wal = p[OFF_WRITE_VERSION] == VERSION_WAL && p[OFF_READ_VERSION] == VERSION_WAL;
    h.change_counter = big_endian_32(p + OFF_CHANGE_COUNTER);
    h.page_count = big_endian_32(p + OFF_PAGE_COUNT);
    if (big_endian_32(p + OFF_VALID_FOR) != h.change_counter)
        h.page_count = 0;
    *out = h;
    return RC_OK;
}
