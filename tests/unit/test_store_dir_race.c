/* SPDX-License-Identifier: Apache-2.0 */
/* Many that put the same key: one has made it. */
#include "store_dir_kit.h"

/* --- many at once ------------------------------------------------------------------------------------------------- */

enum { RACERS = 12, ROUNDS = 50 };

struct race {
    struct store_req req[RACERS];
    char body[RACERS][32];
    unsigned done_count, won_count, lost_count, winner;
};

static void on_raced(struct store_req *req)
{
    struct race *r = req->ctx;

    r->done_count++;
    if (req->err.code == E_OK) {
        r->won_count++;
        r->winner = (unsigned)(req - r->req);
    } else if (req->err.code == E_EXISTS)
        r->lost_count++;
}

static void run_race(struct store_wait *w, struct race *r, const char *key, int who)
{
    *r = (struct race){0};
    for (unsigned i = 0; i < RACERS; i++) {
        (void)snprintf(r->body[i], sizeof r->body[i], "process %d, request %u", who, i);
        store_req_init(&r->req[i], STORE_PUT, key, on_raced, r);
        r->req[i].body = span_of(r->body[i], strlen(r->body[i]));
        r->req[i].create_only = true;
        store_submit(w->store, &r->req[i]);
    }
    while (r->done_count < RACERS && uv_run(&w->loop, UV_RUN_ONCE) != 0)
        ;
    for (unsigned i = 0; i < RACERS; i++)
        store_req_fini(&r->req[i]);
}

static void test_race_on_one_loop(void **state)
{
    static struct race r;
    char key[32];
    struct kit k;

    (void)state;
    kit_open(&k);
    for (int round = 0; round < ROUNDS; round++) {
        (void)snprintf(key, sizeof key, "t/%d/log/1", round);
        run_race(&k.w, &r, key, 0);
        assert_int_equal(r.won_count, 1);
        assert_int_equal(r.lost_count, RACERS - 1);
        assert_object(&k, key, r.body[r.winner]);
    }
    kit_close(&k);
}

struct arena {
    atomic_int ready[ROUNDS];
    atomic_uint won[ROUNDS], lost[ROUNDS];
    char body[ROUNDS][32];
};

static void race_child(const char *root, struct arena *a, int who)
{
    static struct race r;
    struct store_wait w;
    char key[32];

    store_wait_open(&w, &fsys_real, root);
    for (int round = 0; round < ROUNDS; round++) {
        atomic_fetch_add(&a->ready[round], 1);
        while (atomic_load(&a->ready[round]) < 2)
            (void)sched_yield();
        (void)snprintf(key, sizeof key, "log/%d", round);
        run_race(&w, &r, key, who);
        atomic_fetch_add(&a->won[round], r.won_count);
        atomic_fetch_add(&a->lost[round], r.lost_count);
        if (r.won_count > 0)
            memcpy(a->body[round], r.body[r.winner], sizeof a->body[round]);
    }
    store_wait_close(&w);
}

static void test_race_of_two_processes(void **state)
{
    struct arena *a = mmap(NULL, sizeof *a, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char key[32];
    pid_t pid[2];
    struct kit k;
    int status;

    (void)state;
    assert_true(a != MAP_FAILED);
    kit_open(&k);
    for (int who = 0; who < 2; who++) {
        pid[who] = fork();
        assert_true(pid[who] >= 0);
        if (pid[who] == 0) {
            race_child(k.root, a, who);
            _exit(0);
        }
    }
    for (int who = 0; who < 2; who++) {
        assert_int_equal(waitpid(pid[who], &status, 0), pid[who]);
        assert_int_equal(status, 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        assert_int_equal(a->won[round], 1);
        assert_int_equal(a->lost[round], 2 * RACERS - 1);
        (void)snprintf(key, sizeof key, "log/%d", round);
        assert_object(&k, key, a->body[round]);
    }
    assert_int_equal(munmap(a, sizeof *a), 0);
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_race_on_one_loop),
        cmocka_unit_test(test_race_of_two_processes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
