/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_snap - what a snapshot costs to make and a restore to carry out, on a database of the caller's, without the
 * store between them.
 *
 *     bench_snap <database file> <directory to work in> [levels, e.g. 123]
 *
 * The database is read into memory first.  Encoding counts processor time.  A restore counts time on the clock, from
 * an object in memory to a file that is on the disk, and is compared with the same file written without any work
 * (read and write of 256 KiB in one thread, as cp does, then fsync).  The disk is left in peace for a moment before
 * each.
 */
#include "alloc.h"
#include "dbfmt.h"
#include "digest.h"
#include "image.h"
#include "snap_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 8, ROUNDS = 5 };

struct bench {
    uint8_t *db;
    size_t size;
    uint32_t page_size, pages;
    const char *dir;
    struct buf object;
};

static void must(struct rc rc, const struct err *err)
{
    if (rc_failed(rc)) {
        (void)fprintf(stderr, "bench_snap: %s\n", err->msg);
        exit(1);
    }
}

static double now(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t); /* there is no reason to fail */
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void load(struct bench *b, const char *path)
{
    struct dbfmt_header h;
    struct stat st;
    struct err err;
    int fd;

    must(fsys_open(&fsys_real, path, O_RDONLY, 0, &fd, &err), &err);
    if (fstat(fd, &st) != 0)
        must(rc_raise_sys(&err, E_IO, errno, "stat %s", path), &err);
    b->size = (size_t)st.st_size;
    b->db = malloc(b->size);
    must(fsys_read_at(&fsys_real, fd, path, b->db, b->size, 0, &err), &err);
    must(dbfmt_decode_header(span_of(b->db, b->size), &h, &err), &err);
    b->page_size = h.page_size;
    b->pages = (uint32_t)(b->size / h.page_size);
    (void)close(fd);
}

/* --- making a snapshot ------------------------------------------------------------------------------------------- */

static void encode(struct bench *b, int level)
{
    CLEANUP(zstr_enc_freep) struct zstr_enc *z = zstr_enc_new(level);
    const struct nonce id = {{1}};
    CLEANUP(snap_writer_freep) struct snap_writer *w = snap_writer_new(&id, &id, b->page_size);
    struct snap_meta meta = {
        .database = id, .writer = id, .timeline = 1, .txid = 1, .page_size = b->page_size, .page_count = b->pages};
    uint32_t lock = dbfmt_lock_page(b->page_size), pgnos[SNAP_FRAME_PAGES_MAX];
    double begin = now(CLOCK_PROCESS_CPUTIME_ID), cpu;
    size_t frames = 0, end;
    struct err err;

    buf_fini(&b->object);
    for (uint32_t first = 1, n; first <= b->pages; first += n == 0 ? 1 : n) {
        struct snap_frame f = {0};

        for (n = 0; n < snap_frame_pages(b->page_size) && first + n <= b->pages && first + n != lock; n++)
            pgnos[n] = first + n;
        if (n == 0)
            continue;
        must(snap_frame_encode(z, b->page_size, pgnos, b->db + (size_t)(first - 1) * b->page_size, n, &f, &err), &err);
        must(snap_writer_add(w, &f, &b->object, &err), &err);
        snap_frame_fini(&f);
        frames++;
    }
    cpu = now(CLOCK_PROCESS_CPUTIME_ID) - begin;
    end = b->object.size;
    must(snap_writer_finish(w, &meta, &b->object, &err), &err);
    printf("encode level %d: %6.1f MB/s, %.2f s, %5.1f %% of %.0f MB; index %.1f bytes a frame; finish %.1f ms\n",
        level, (double)b->size / 1e6 / cpu, cpu, 100.0 * (double)b->object.size / (double)b->size,
        (double)b->size / 1e6, (double)(b->object.size - end) / (double)frames,
        (now(CLOCK_PROCESS_CPUTIME_ID) - begin - cpu) * 1e3);
}

/* --- restoring --------------------------------------------------------------------------------------------------- */

struct job {
    const struct bench *b;
    const struct snap_index *ix;
    struct image *im;
    size_t next; /* atomic */
};

static void *restore_frames(void *arg)
{
    struct job *j = arg;
    struct zstr_dec *z = zstr_dec_new();
    uint8_t *pages = mem_new(SNAP_FRAME_RAW_MAX);
    struct err err;

    for (;;) {
        size_t i = __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED);
        struct snap_index_frame f;

        if (i >= snap_index_frame_count(j->ix))
            break;
        f = snap_index_frame(j->ix, i);
        must(snap_frame_decode(z, j->ix, i, span_of(j->b->object.data + f.offset, f.size), pages, &err), &err);
        must(image_put(j->im, f.pgnos[0], pages, f.page_count, &err), &err);
    }
    mem_free(pages);
    zstr_dec_free(z);
    return NULL;
}

struct shares {
    double cpu, sync, verify;
};

static double restore(const struct bench *b, unsigned threads, struct shares *out)
{
    CLEANUP(snap_index_freep) struct snap_index *ix = NULL;
    CLEANUP(image_freep) struct image *im = NULL;
    CLEANUP(mem_freep) char *target = mem_printf("%s/bench_snap.db", b->dir);
    pthread_t thread[THREADS_MAX];
    struct job j = {.b = b};
    double begin, cpu, written, all;
    uint64_t need;
    struct err err;

    sync();
    (void)nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL); /* cut short by a signal: never mind */
    begin = now(CLOCK_MONOTONIC);
    cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    must(snap_index_open(&ix, buf_span(&b->object), b->object.size, &need, &err), &err);
    must(image_create(&im, &fsys_real, target, b->page_size, b->pages, &err), &err);
    j.ix = ix;
    j.im = im;
    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, restore_frames, &j) != 0)
            abort();
    for (unsigned i = 0; i < threads; i++)
        (void)pthread_join(thread[i], NULL); /* it is joined once */
    written = now(CLOCK_MONOTONIC);
    must(image_publish(im, &err), &err);
    all = now(CLOCK_MONOTONIC);
    out->cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    out->sync = all - written;
    must(image_verify(im, &err), &err);
    out->verify = now(CLOCK_MONOTONIC) - all;
    (void)unlink(target);
    return all - begin;
}

static double copy(const struct bench *b)
{
    CLEANUP(mem_freep) char *target = mem_printf("%s/bench_snap.copy", b->dir);
    const size_t step = 256 << 10;
    double begin;
    struct err err;
    int fd;

    sync();
    (void)nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
    begin = now(CLOCK_MONOTONIC);
    must(fsys_open(&fsys_real, target, O_RDWR | O_CREAT | O_TRUNC, 0600, &fd, &err), &err);
    for (size_t at = 0; at < b->size; at += step)
        must(fsys_write_at(&fsys_real, fd, target, b->db + at, b->size - at < step ? b->size - at : step, at, &err),
            &err);
    if (fsync(fd) != 0)
        must(rc_raise_sys(&err, E_IO, errno, "fsync %s", target), &err);
    begin = now(CLOCK_MONOTONIC) - begin;
    (void)close(fd);
    (void)unlink(target);
    return begin;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void report(const char *what, double *t, const struct bench *b, const struct shares *last)
{
    qsort(t, ROUNDS, sizeof *t, ascending);
    printf("%-22s %.2f s median of %d (%.2f to %.2f), %5.0f MB/s", what, t[ROUNDS / 2], ROUNDS, t[0], t[ROUNDS - 1],
        (double)b->size / 1e6 / t[ROUNDS / 2]);
    if (last != NULL)
        printf("; last: processor %.2f s, sync %.2f s; verify %.2f s besides", last->cpu, last->sync, last->verify);
    printf("\n");
}

int main(int argc, char **argv)
{
    const char *levels = argc > 3 ? argv[3] : "123";
    double t[ROUNDS];
    struct shares last = {0};
    struct bench b = {0};

    if (argc < 3) {
        (void)fprintf(stderr, "usage: bench_snap <database file> <directory to work in> [levels]\n");
        return 2;
    }
    load(&b, argv[1]);
    b.dir = argv[2];
    buf_init(&b.object, b.size + b.size / 8 + (1 << 20));
    for (const char *l = levels; *l != 0; l++)
        encode(&b, *l - '0');
    encode(&b, SNAP_FRAME_LEVEL);
    for (unsigned threads = 1; threads <= 2; threads++) {
        for (int i = 0; i < ROUNDS; i++)
            t[i] = restore(&b, threads, &last);
        report(threads == 1 ? "restore, 1 thread" : "restore, 2 threads", t, &b, &last);
    }
    for (int i = 0; i < ROUNDS; i++)
        t[i] = copy(&b);
    report("plain write and fsync", t, &b, NULL);
    return 0;
}
