/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_cred_process.h"

#include "alloc.h"
#include "s3_cred_cmd.h"
#include "s3_cred_json.h"

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum {
    COMPLAINT_MAX = 4096,
    REST_MS = 1000, /* for output that is still on its way when the program has ended */
};

struct process {
    struct s3_cred_op op;
    uv_process_t child;
    uv_pipe_t out, complaint;
    uv_timer_t timer;
    unsigned open_handles; /* of the four above; the child is one once it was made */
    uint64_t limit_ms;
    char *what; /* "credential_process of profile a in /x" */

    struct buf text; /* by s3_cred_box_buf(); also the other one */
    struct buf said;
    bool out_ended, exited, child_made, spawned;
    int64_t exit_status;
    int exit_signal;
    bool canceled, closing, failed;
    struct err err;
};

static void free_process(struct process *p)
{
    s3_cred_box_buf_end(&p->text);
    s3_cred_box_buf_end(&p->said);
    mem_free(p->what);
    mem_free(p);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static struct rc judge(struct process *p, struct s3_cred_box **out, struct err *err)
{
    CLEANUP(s3_cred_box_freep) struct s3_cred_box *box = s3_cred_box_new();
    char quoted[S3_CRED_QUOTE_SIZE];

    if (box == NULL)
        return rc_raise(err, E_NOMEM, "memory for credentials");
    if (p->failed) {
        *err = p->err;
        return rc_of(err);
    }
    (void)s3_cred_quote_text(buf_span(&p->said), quoted);
    if (p->exit_signal != 0)
        return rc_raise(err, E_DENIED, "killed by signal %d%s%s", p->exit_signal, quoted[0] != 0 ? ": " : "", quoted);
    if (p->exit_status != 0)
        return rc_raise(
            err, E_DENIED, "exit status %" PRId64 "%s%s", p->exit_status, quoted[0] != 0 ? ": " : "", quoted);
    TRY(s3_cred_json_decode(buf_span(&p->text), S3_CRED_JSON_PROCESS, box, err));
    s3_cred_box_from(box, "%s", p->what);
    *out = MOVE(box);
    return RC_OK;
}

/* The last of the handles is gone, and with it the child. */
static void end(struct process *p)
{
    struct s3_cred_box *box = NULL;
    struct err err = {.code = E_OK};

    if (!p->canceled) {
        if (rc_failed(judge(p, &box, &err)))
            rc_ignore(rc_wrap(&err, "%s", p->what), "it is told to whoever waits");
        p->op.on_done(p->op.ctx, box, &err);
    }
    free_process(p);
}

static void on_closed(uv_handle_t *handle)
{
    struct process *p = handle->data;

    if (--p->open_handles == 0)
        end(p);
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

/* The handle of a child that still runs must stay: it is what reaps it. */
static void close_all(struct process *p)
{
    p->closing = true;
    close_handle((uv_handle_t *)&p->out);
    close_handle((uv_handle_t *)&p->complaint);
    close_handle((uv_handle_t *)&p->timer);
    if (p->child_made && p->exited)
        close_handle((uv_handle_t *)&p->child);
}

/* It leads a process group of its own, so its children go with it. */
static void give_up(struct process *p)
{
    if (!p->exited && p->spawned)
        (void)kill(-p->child.pid, SIGKILL); /* a group that has gone by itself is as good */
    close_all(p);
}

static void give_up_with(struct process *p, struct rc rc)
{
    rc_ignore(rc, "end() tells it");
    p->failed = true;
    give_up(p);
}

static void on_cancel(struct s3_cred_op *op)
{
    struct process *p = (struct process *)op; /* the first member */

    p->canceled = true;
    give_up(p);
}

/* --- on the way --------------------------------------------------------------------------------------------------- */

static void on_time_up(uv_timer_t *timer)
{
    struct process *p = timer->data;

    give_up_with(p, rc_raise(&p->err, E_TIMEOUT, "it has not ended after %" PRIu64 " ms", p->limit_ms));
}

/* Something that it left behind in the background keeps its output open.  What it had to say it has said, and its
 * process group is not ours to kill any more: the number may be another's by now. */
static void on_rest_time_up(uv_timer_t *timer)
{
    close_all(timer->data);
}

static void on_exit(uv_process_t *child, int64_t status, int signal_number)
{
    struct process *p = child->data;

    p->exited = true;
    p->exit_status = status;
    p->exit_signal = signal_number;
    if (p->closing || p->out_ended)
        close_all(p);
    else
        (void)uv_timer_start(&p->timer, on_rest_time_up, REST_MS, 0); /* it fails for closing timers only */
}

/* The rest of the buffer, so that nothing is copied from memory that is not wiped. */
static void give_room(struct buf *b, uv_buf_t *out)
{
    *out = uv_buf_init((char *)b->data + b->size, (unsigned)(b->max - b->size));
}

static void on_room(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
    struct process *p = handle->data;

    (void)hint;
    give_room(&p->text, out);
}

static void on_out(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct process *p = stream->data;

    (void)buf;
    if (n >= 0) {
        p->text.size += (size_t)n;
        if (p->text.size > S3_CRED_JSON_MAX)
            give_up_with(p, rc_raise(&p->err, E_CORRUPT, "it prints more than %d bytes", S3_CRED_JSON_MAX));
        return;
    }
    p->out_ended = true;
    if (n != UV_EOF)
        give_up_with(p, rc_raise(&p->err, E_IO, "read its output: %s", uv_strerror((int)n)));
    else if (p->exited)
        close_all(p);
    else
        (void)uv_read_stop(stream); /* it cannot fail */
}

/* Only the beginning is of interest, but all of it must be taken away, or the program waits. */
static void on_complaint_room(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
    struct process *p = handle->data;

    (void)hint;
    if (p->said.size == p->said.max)
        p->said.size = p->said.max / 2;
    give_room(&p->said, out);
}

static void on_complaint(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct process *p = stream->data;

    (void)buf;
    if (n > 0)
        p->said.size += (size_t)n;
    else if (n < 0)
        (void)uv_read_stop(stream); /* it cannot fail */
}

/* --- the beginning ------------------------------------------------------------------------------------------------ */

/* Descriptors of ours are close-on-exec, but not those that we were started with. */
static void keep_descriptors(void)
{
#ifdef CLOSE_RANGE_CLOEXEC
    if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
        return;
#endif
    uv_disable_stdio_inheritance();
}

static int take_end(uv_pipe_t *pipe, uv_file *fd)
{
    int r = uv_pipe_open(pipe, *fd);

    if (r == 0)
        *fd = -1; /* the handle closes it */
    return r;
}

static void drop_ends(const struct s3_cred_env *env, const uv_file fds[2])
{
    for (unsigned i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            (void)env->fs->close(env->fs, fds[i]); /* nothing was written to it by us */
    }
}

static void init_handles(struct process *p, uv_loop_t *loop)
{
    int r = uv_timer_init(loop, &p->timer);

    assert(r == 0); /* none of these can fail */
    r = uv_pipe_init(loop, &p->out, 0);
    assert(r == 0);
    r = uv_pipe_init(loop, &p->complaint, 0);
    assert(r == 0);
    p->timer.data = p->out.data = p->complaint.data = p->child.data = p;
    p->open_handles = 3;
}

/* Real pipes rather than libuv's socket pairs, on which a script's "> /dev/stderr" fails. */
static int spawn(struct process *p, const struct s3_cred_env *env, char **words)
{
    uv_file out[2] = {-1, -1}, complaint[2] = {-1, -1};
    uv_stdio_container_t stdio[] = {{.flags = UV_IGNORE}, {.flags = UV_INHERIT_FD}, {.flags = UV_INHERIT_FD}};
    uv_process_options_t options = {
        .file = words[0],
        .args = words,
        .env = (char **)(uintptr_t)env->opts.environ_pairs, /* libuv only reads it */
        .flags = UV_PROCESS_DETACHED,
        .stdio = stdio,
        .stdio_count = 3,
        .exit_cb = on_exit,
    };
    int r = uv_pipe(out, UV_NONBLOCK_PIPE, 0);

    if (r == 0)
        r = uv_pipe(complaint, UV_NONBLOCK_PIPE, 0);
    if (r == 0)
        r = take_end(&p->out, &out[0]);
    if (r == 0)
        r = take_end(&p->complaint, &complaint[0]);
    keep_descriptors();
    stdio[1].data.fd = out[1];
    stdio[2].data.fd = complaint[1];
    if (r == 0) {
        r = uv_spawn(env->loop, &p->child, &options);
        p->child_made = true; /* also by a spawn that did not work */
        p->open_handles++;
    }
    drop_ends(env, out);
    drop_ends(env, complaint);
    return r;
}

struct rc s3_cred_process_start(const struct s3_cred_env *env, const char *command, const char *asked_by,
    struct s3_cred_start *start, struct err *err)
{
    CLEANUP(s3_cred_cmd_freep) char **words = NULL;
    struct process *p;
    int r;

    TRY_CTX(s3_cred_cmd_split(command, &words, err), err, "credential_process of %.150s", asked_by);
    p = mem_new(sizeof *p);
    p->what = mem_printf("credential_process of %.150s", asked_by);
    p->limit_ms = env->opts.process_ms > 0 ? env->opts.process_ms : S3_CRED_PROCESS_MS;
    s3_cred_box_buf(&p->text, S3_CRED_JSON_MAX + 1); /* one more tells that it was too much */
    s3_cred_box_buf(&p->said, COMPLAINT_MAX);
    if (p->text.failed != E_OK || p->said.failed != E_OK) {
        free_process(p);
        return rc_raise(err, E_NOMEM, "credential_process of %.150s: memory for its output", asked_by);
    }
    p->op.cancel = on_cancel;
    p->op.on_done = start->on_done;
    p->op.ctx = start->ctx;
    init_handles(p, env->loop);
    r = spawn(p, env, words);
    p->spawned = r == 0;
    if (r != 0) {
        p->exited = true;
        give_up_with(p, rc_raise(&p->err, E_CONFIG, "run %.200s: %s", words[0], uv_strerror(r)));
    } else {
        r = uv_timer_start(&p->timer, on_time_up, p->limit_ms, 0);
        assert(r == 0);
        r = uv_read_start((uv_stream_t *)&p->out, on_room, on_out);
        assert(r == 0);
        r = uv_read_start((uv_stream_t *)&p->complaint, on_complaint_room, on_complaint);
        assert(r == 0);
    }
    start->op = &p->op;
    return RC_OK;
}
