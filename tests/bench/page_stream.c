/* SPDX-License-Identifier: Apache-2.0 */
#include "page_stream.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `setup` runs before the stream begins, `commit` once per commit with ?1 = its number; both are made repeatable by
 * deriving all "random" values but the blobs from the number. */
struct workload {
    const char *name;
    const char *schema;
    const char *preload; /* one transaction, with ?1 = 1 to `preload_count` */
    int preload_count;
    const char *statements[3]; /* per commit; ?1 is the commit's number */
    int repeat;                /* how often the statements run within one commit, ?2 = 0 ... */
    int commit_count;
};

#define ORDERS                                                                                               \
    "create table orders(id integer primary key, customer integer, product text, amount real, placed text, " \
    "status text, note text); create index by_customer on orders(customer);"
#define CUSTOMER "(((?1*1000+?2)*2654435761)%100000)"
#define ORDER                                                                         \
    "insert into orders(customer,product,amount,placed,status,note) values(" CUSTOMER \
    ",'product-'||(((?1*1000+?2)*7919)%5000),round(abs(random()%1000000)/100.0,2),"   \
    "strftime('%Y-%m-%dT%H:%M:%fZ',1700000000+(?1*1000+?2)*7,'unixepoch'),'open',"    \
    "'deliver to '||lower(hex(randomblob(6)))||' street '||(((?1*1000+?2)*31)%300))"

static const struct workload WORKLOADS[] = {
    {"insert", ORDERS, ORDER, 50000, {ORDER}, 1, 2000},
    {"update", ORDERS, ORDER, 50000,
        {"update orders set status=case status when 'open' then 'paid' else 'open' end, amount=round(amount*1.01,2) "
         "where id=1+((?1*2654435761)%50000)"},
        1, 2000},
    {"order",
        ORDERS "create table stock(product integer primary key, on_hand integer, changed text);"
               "insert into stock with recursive n(i) as (select 1 union all select i+1 from n where i<5000) "
               "select i,1000,'2023-01-01' from n;",
        ORDER, 50000,
        {ORDER,
            "update stock set on_hand=on_hand-1, changed=strftime('%Y-%m-%dT%H:%M:%fZ',1700000000+?1*7,'unixepoch') "
            "where product=1+(?1*7919)%5000",
            "update orders set status='shipped' where id=50000-(?1*17)%3000"},
        1, 2000},
    {"splits", ORDERS, ORDER, 50000, {ORDER}, 200, 40},
    {"batch", ORDERS, ORDER, 2000, {ORDER}, 20, 300},
    {"blobs", "create table files(id integer primary key, name text, body blob);",
        "insert into files(name,body) values('f'||?1, randomblob(3000))", 200,
        {"insert into files(name,body) values('file-'||?1||'-'||?2, randomblob(20000))"}, 10, 60},
    {"text", "create table docs(id text primary key, body text) without rowid;",
        "insert or replace into docs values(hex(?1*2654435761%4294967296), 'doc '||?1)", 20000,
        {"insert or replace into docs values(hex(((?1*100+?2)*2654435761)%4294967296), "
         "'{\"user\":'||(?1*37%1000)||',\"title\":\"document '||?1||'\",\"tags\":[\"a\",\"b\"],\"etag\":\"'||"
         "lower(hex(randomblob(8)))||'\"}')"},
        5, 1000},
};

const char *const page_stream_names[] = {"insert", "update", "order", "batch", "text", "splits", "blobs", NULL};

static _Noreturn void die(const char *what, sqlite3 *db)
{
    fprintf(stderr, "page_stream: %s: %s\n", what, db != NULL ? sqlite3_errmsg(db) : "no database");
    exit(1);
}

static void exec(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        die(sql, db);
}

static void step(sqlite3 *db, sqlite3_stmt *st, int commit, int nth)
{
    sqlite3_bind_int(st, 1, commit);
    if (sqlite3_bind_parameter_count(st) > 1)
        sqlite3_bind_int(st, 2, nth);
    if (sqlite3_step(st) != SQLITE_DONE)
        die(sqlite3_sql(st), db);
    sqlite3_reset(st);
}

static void run(sqlite3 *db, const struct workload *w)
{
    sqlite3_stmt *st[3] = {NULL};
    for (int i = 0; i < 3 && w->statements[i] != NULL; i++) {
        if (sqlite3_prepare_v2(db, w->statements[i], -1, &st[i], NULL) != SQLITE_OK)
            die(w->statements[i], db);
    }
    for (int c = 1; c <= w->commit_count; c++) {
        exec(db, "begin");
        for (int r = 0; r < w->repeat; r++) {
            for (int i = 0; i < 3 && st[i] != NULL; i++)
                step(db, st[i], 100000 + c, r);
        }
        exec(db, "commit");
    }
    for (int i = 0; i < 3; i++)
        sqlite3_finalize(st[i]);
}

static uint8_t *slurp(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0)
        die(path, NULL);
    *size = (size_t)ftell(f);
    rewind(f);
    uint8_t *data = malloc(*size);
    if (data == NULL || fread(data, 1, *size, f) != *size)
        die(path, NULL);
    fclose(f);
    return data;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* All frames of the log are valid: one writer, no checkpoint, nothing else in the file. */
static void split(struct page_stream *s)
{
    size_t frame_size = 24 + s->page_size, frames = (s->wal_size - 32) / frame_size;
    size_t known_max = s->start_size / s->page_size + frames + 1;
    const uint8_t **known = calloc(known_max + 1, sizeof *known);
    s->changes = calloc(frames, sizeof *s->changes);
    s->first = calloc(frames + 1, sizeof *s->first);
    s->page_count = calloc(frames, sizeof *s->page_count);
    if (known == NULL || s->changes == NULL || s->first == NULL || s->page_count == NULL)
        die("memory", NULL);
    for (size_t p = 1; p <= s->start_size / s->page_size; p++)
        known[p] = s->start + (p - 1) * s->page_size;
    for (size_t i = 0; i < frames; i++) {
        const uint8_t *frame = s->wal + 32 + i * frame_size;
        uint32_t pgno = be32(frame);
        if (pgno == 0 || pgno > known_max)
            die("page number in the log", NULL);
        s->changes[i] = (struct page_change){pgno, frame + 24, known[pgno]};
        known[pgno] = frame + 24;
        if (be32(frame + 4) != 0) {
            s->page_count[s->commit_count] = be32(frame + 4);
            s->first[++s->commit_count] = i + 1;
        }
    }
    s->change_count = s->first[s->commit_count];
    free(known);
}

void page_stream_make(struct page_stream *out, const char *dir, const char *name)
{
    const struct workload *w = NULL;
    char path[4096], wal[4200];
    sqlite3 *db = NULL;
    for (size_t i = 0; i < sizeof WORKLOADS / sizeof WORKLOADS[0]; i++) {
        if (strcmp(WORKLOADS[i].name, name) == 0)
            w = &WORKLOADS[i];
    }
    if (w == NULL)
        die(name, NULL);
    memset(out, 0, sizeof *out);
    out->page_size = 4096;
    snprintf(path, sizeof path, "%s/%s.db", dir, name);
    snprintf(wal, sizeof wal, "%s-wal", path);
    remove(path);
    remove(wal);
    if (sqlite3_open(path, &db) != SQLITE_OK)
        die(path, db);
    exec(db, "pragma page_size=4096; pragma journal_mode=wal; pragma synchronous=off; pragma wal_autocheckpoint=0");
    exec(db, w->schema);
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(db, w->preload, -1, &st, NULL) != SQLITE_OK)
        die(w->preload, db);
    exec(db, "begin");
    for (int i = 1; i <= w->preload_count; i++)
        step(db, st, i, 0);
    sqlite3_finalize(st);
    exec(db, "commit; pragma wal_checkpoint(truncate)");
    out->start = slurp(path, &out->start_size);
    run(db, w);
    out->wal = slurp(wal, &out->wal_size);
    sqlite3_close(db);
    remove(path);
    remove(wal);
    split(out);
}

void page_stream_free(struct page_stream *s)
{
    free(s->changes);
    free(s->first);
    free(s->page_count);
    free(s->start);
    free(s->wal);
    memset(s, 0, sizeof *s);
}
