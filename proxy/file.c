#include "proxy/file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/file_answer.h"

enum {
    HEAD_FIRST = 4096,         /* bytes; what needs more gets all that a head may take */
    ANSWERS_A_TURN = 16,       /* of pipelined requests; then the loop looks at other flows */
    SWALLOW_MAX = 1024 * 1024, /* bytes read and dropped behind a refused request */
    ENDS_MAX = 1024,           /* connections; the next one takes the place of the quietest */
    PAGES_MAX = 32,            /* of folders, at once */
};

/* Seconds for a head that has begun; and without a request, or without taking from an answer. */
static const double HEAD_DEADLINE = 10, QUIET_DEADLINE = 60;

struct file_out {
    struct outbound out;
    const struct file_conf *conf;
    struct list ends; /* the quietest first */
    unsigned end_count, page_count;
};

/* One flow's end. Of struct file_out, which may be freed first, it needs nothing but its place there. */
struct file_end {
    struct end end;
    struct file_out *out; /* NULL: it is gone */
    struct list_item item;
    const struct file_conf *conf;
    ev_timer deadline;
    struct http1_head head;
    uint8_t *in; /* the current head and what came behind it; NULL when in_room is 0 */
    size_t in_len, in_room;
    struct file_answer answer; /* that is being sent; of its body ... */
    uint64_t sent, len;        /* ... so much, of so much */
    bool listed;               /* it is one of the outbound's pages */
    bool closing;              /* it is the last one */
    bool
        refused; /* and the client may still be sending: closing at once could lose it the answer */
    size_t swallowed;
};

enum turn { TURN_AGAIN, TURN_WAIT, TURN_LEAVE };

/* The answer is not needed any more. */
static void file_done(struct file_end *f)
{
    if (f->listed && f->out)
        f->out->page_count--;
    f->listed = false;
    file_answer_fini(&f->answer);
}

static void file_end_unlist(struct file_end *f)
{
    if (!f->out)
        return;
    list_remove(&f->item);
    f->out->end_count--;
    f->out->page_count -= f->listed;
    f->out = NULL;
}

static void file_end_free(struct file_end *f, const struct err *why)
{
    ev_timer_stop(end_loop(&f->end)->ev, &f->deadline);
    file_end_unlist(f);
    end_leave(&f->end, why);
    file_done(f);
    free(f->in);
    free(f);
}

/* The client has a moment again; and if it has moved, it is the least quiet one. */
static void file_wait(struct file_end *f, double seconds)
{
    f->deadline.repeat = seconds;
    ev_timer_again(end_loop(&f->end)->ev, &f->deadline);
}

static void file_moved(struct file_end *f)
{
    file_wait(f, QUIET_DEADLINE);
    if (!f->out)
        return;
    list_remove(&f->item);
    list_append(&f->out->ends, &f->item);
}

/* --- sending --- */

static bool has_page_room(const struct file_end *f)
{
    return f->out && f->out->page_count < PAGES_MAX;
}

static void file_count_page(struct file_end *f)
{
    f->listed = f->out && f->answer.status == 200 && f->answer.fd < 0;
    if (f->listed)
        f->out->page_count++;
}

static bool file_begin(struct file_end *f)
{
    struct page head = {0};
    bool with_body = f->head.len == 0 || !http1_is(f->in, f->head.method, "HEAD");
    file_answer_head(&head, &f->answer, (time_t)loop_now(end_loop(&f->end)), f->head.minor,
                     f->closing);
    bool whole = !head.failed && !f->answer.page.failed && end_write(&f->end, head.text, head.len);
    page_free(&head);
    f->sent = 0;
    f->len = !with_body ? 0 : f->answer.fd >= 0 ? f->answer.part.len : f->answer.page.len;
    file_moved(f);
    return whole;
}

/* The next piece of the body into b. -1 and why: there is none. */
static int file_read(const struct file_end *f, struct buf *b, struct err *why)
{
    const struct file_answer *a = &f->answer;
    uint64_t left = f->len - f->sent;
    size_t n = left < BUF_DATA ? (size_t)left : BUF_DATA;
    if (a->fd < 0) {
        buf_append(b, a->page.text + f->sent, n);
        return 0;
    }
    ssize_t got = pread(a->fd, b->data, n, (off_t)(a->part.at + f->sent));
    if (got < 0)
        return err_sys(why, "file: cannot read");
    if (got == 0) /* its length has been promised: nothing but a cut says that this is not all */
        return err_set(why, EIO, "file: it has become shorter");
    b->len = (size_t)got;
    return 0;
}

static enum turn file_send(struct file_end *f, struct err *why)
{
    struct buf_pool *bufs = &end_loop(&f->end)->bufs;
    while (f->sent < f->len && end_room(&f->end) > 0) {
        struct buf *b = buf_new(bufs);
        if (!b) {
            err_set(why, ENOMEM, "file: out of memory");
            return TURN_LEAVE;
        }
        if (file_read(f, b, why) < 0) {
            buf_free(bufs, b);
            return TURN_LEAVE;
        }
        f->sent += b->len;
        end_put(&f->end, b);
        file_moved(f);
    }
    if (f->sent < f->len)
        return TURN_WAIT;
    file_done(f);
    return TURN_AGAIN;
}

/* --- receiving --- */

static bool file_grow(struct file_end *f)
{
    if (f->in_len < f->in_room)
        return true;
    size_t room = f->in_room ? HTTP1_HEAD_MAX : HEAD_FIRST;
    uint8_t *in = realloc(f->in, room);
    if (!in)
        return false;
    f->in = in;
    f->in_room = room;
    return true;
}

/* Takes no more from the pipe than there is room for: what is behind it holds the client back. */
static bool file_take(struct file_end *f, struct buf *b)
{
    bool room = file_grow(f);
    size_t left = f->in_room - f->in_len, n = b->len < left ? b->len : left;
    if (room && f->in_len == 0)
        file_wait(f, HEAD_DEADLINE);
    if (room) {
        memcpy(f->in + f->in_len, b->data, n);
        f->in_len += n;
        buf_pull(b, n);
    }
    end_untake(&f->end, b);
    return room;
}

static enum step file_collect(struct file_end *f, struct err *e)
{
    struct buf *b;
    for (;;) {
        enum step s = http1_read(&f->head, f->in, f->in_len, e);
        if (s != STEP_MORE)
            return s;
        if (!(b = end_take(&f->end)))
            return STEP_MORE;
        if (!file_take(f, b))
            return step_fail(e, ENOMEM, "file: out of memory");
    }
}

/* An idle connection keeps no memory for a request. */
static void file_drop_request(struct file_end *f)
{
    f->in_len -= f->head.len;
    if (f->in_len) {
        memmove(f->in, f->in + f->head.len, f->in_len);
        file_wait(f, HEAD_DEADLINE);
    } else {
        free(f->in);
        f->in = NULL;
        f->in_room = 0;
    }
    f->head = (struct http1_head){0};
}

static enum turn file_swallow(struct file_end *f)
{
    struct buf *b;
    end_eof(&f->end);
    while ((b = end_take(&f->end)) != NULL) {
        f->swallowed += b->len;
        buf_free(&end_loop(&f->end)->bufs, b);
    }
    return end_at_eof(&f->end) || f->swallowed > SWALLOW_MAX ? TURN_LEAVE : TURN_WAIT;
}

static enum turn file_serve(struct file_end *f, struct err *why)
{
    enum step s = file_collect(f, why);
    if (s == STEP_MORE)
        return end_at_eof(&f->end) ? TURN_LEAVE : TURN_WAIT;
    if (s == STEP_FAIL && !f->head.status)
        return TURN_LEAVE;
    f->refused =
        s == STEP_FAIL || f->head.has_body; /* a body means nothing here, and is not read */
    f->closing = f->refused || !f->head.keep_alive;
    if (s == STEP_FAIL)
        file_answer_plain(&f->answer, f->head.status);
    else
        file_answer_make(&f->answer, f->conf, &f->head, f->in, has_page_room(f));
    *why = (struct err){0}; /* the client learns it from the answer; the flow ends well */
    file_count_page(f);
    if (!file_begin(f)) {
        err_set(why, ENOMEM, "file: out of memory");
        return TURN_LEAVE;
    }
    file_drop_request(f);
    return TURN_AGAIN;
}

static enum turn file_turn(struct file_end *f, struct err *why)
{
    if (end_failed(&f->end) || end_peer_left(&f->end))
        return TURN_LEAVE;
    enum turn sent = file_send(f, why);
    if (sent != TURN_AGAIN)
        return sent;
    if (f->refused)
        return file_swallow(f);
    if (f->closing)
        return TURN_LEAVE;
    return end_room(&f->end) ? file_serve(f, why) : TURN_WAIT;
}

static void file_wake(struct end *e)
{
    struct file_end *f = container_of(e, struct file_end, end);
    struct err why = {0};
    for (int i = 0; i < ANSWERS_A_TURN; i++) {
        enum turn t = file_turn(f, &why);
        if (t == TURN_LEAVE)
            file_end_free(f, &why);
        if (t != TURN_AGAIN)
            return;
    }
    end_wake(e);
}

static const struct end_ops file_end_ops = {.wake = file_wake};

/* Who has begun nothing, or has been answered, goes well. */
static void on_deadline(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct file_end *f = w->data;
    struct err why = {0};
    if (f->in_len || f->sent < f->len)
        err_set(&why, ETIMEDOUT, "file: no whole request, or nothing taken, for %g s", w->repeat);
    file_end_free(f, &why);
}

/* --- the outbound --- */

static void file_make_room(struct file_out *o)
{
    struct err why;
    err_set(&why, EBUSY, "file: more than %d connections", ENDS_MAX);
    if (o->end_count >= ENDS_MAX)
        file_end_free(container_of(list_first(&o->ends), struct file_end, item), &why);
}

static void file_join(struct file_out *o, struct file_end *f, struct flow *flow)
{
    file_make_room(o);
    f->conf = o->conf;
    f->out = o;
    f->answer.fd = -1;
    list_append(&o->ends, &f->item);
    o->end_count++;
    flow_join(flow, &f->end, &file_end_ops);
    ev_timer_init(&f->deadline, on_deadline, 0, QUIET_DEADLINE);
    f->deadline.data = f;
    ev_timer_again(flow->loop->ev, &f->deadline);
    end_opened(&f->end);
}

static void file_open(struct outbound *out, struct flow *flow)
{
    struct file_out *o = container_of(out, struct file_out, out);
    struct err why;
    struct file_end *f = flow->packets ? NULL : calloc(1, sizeof *f);
    if (f) {
        file_join(o, f, flow);
        return;
    }
    if (flow->packets)
        err_set(&why, EPROTONOSUPPORT, "file: answers TCP only");
    else
        err_set(&why, ENOMEM, "file: out of memory");
    flow_refuse(flow, &why);
}

static void file_free(struct outbound *out)
{
    struct file_out *o = container_of(out, struct file_out, out);
    struct list_item *i;
    while ((i = list_first(&o->ends)))
        file_end_unlist(container_of(i, struct file_end, item));
    free(o);
}

static const struct outbound_ops file_ops = {.open = file_open, .free = file_free};

struct outbound *file_new(struct loop *l, const char *tag, const struct file_conf *conf)
{
    struct file_out *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->out = (struct outbound){.ops = &file_ops, .loop = l, .tag = tag};
    o->conf = conf;
    return &o->out;
}

void file_adopt(struct outbound *out, const struct file_conf *conf)
{
    container_of(out, struct file_out, out)->conf = conf;
}
