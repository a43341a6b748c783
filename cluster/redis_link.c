#include "cluster/redis_link.h"

#include <stdlib.h>
#include <string.h>

#include "cluster/redis_reader.h"
#include "transport/carriage.h"
#include "transport/dial.h"
#include "transport/stream.h"

enum { PIECES = 64, PIECE = 64 * 1024 };

/* Seconds, or the time of a command if that is longer. */
static const double GREETS = 2; /* until it has greeted, from dialling on */
static const double RESTS = 1;  /* without an answer until it is asked for a PING */

static const double PATIENCE = 3; /* times a command's time without an answer */

struct redis_link {
    struct loop *loop;
    struct redis_link_conf conf;
    const struct redis_link_ops *ops;
    void *owner;
    struct dial dial;
    struct stream stream;
    struct redis_reader reader;
    struct list unsent, sent; /* commands; of the first one unsent some bytes may have gone */
    unsigned pending;
    size_t bytes;
    struct task flush;
    ev_timer timer;
    double born, heard; /* when it began, and when something came */
    double answered;    /* when an answer was whole */
    double lag;
    bool up;
    struct err why; /* it ends */
    char run_id[REDIS_RUN_ID + 1];
};

static struct redis_command *command_at(const struct list *l)
{
    struct list_item *i = list_first(l);
    return i ? container_of(i, struct redis_command, item) : NULL;
}

/* --- what goes wrong --- */

/* The first reason counts. */
static void link_break(struct redis_link *k, int code, const char *text)
{
    if (!k->why.code)
        err_set(&k->why, code, "%s", text);
}

void redis_link_leave(struct redis_link *k, const struct err *why)
{
    if (!k->why.code)
        k->why = *why;
    loop_ready(k->loop, &k->flush);
}

static void link_broke(struct redis_link *k, int error)
{
    struct err why = stream_why(&k->stream);
    link_break(k, why.code ? why.code : error, why.code ? why.text : strerror(error));
}

/* --- bytes out --- */

static int pieces_of(const struct redis_link *k, struct iovec *iov)
{
    int count = 0;
    for (struct list_item *i = list_first(&k->unsent); i && count < PIECES;
         i = list_next(&k->unsent, i)) {
        struct redis_command *c = container_of(i, struct redis_command, item);
        iov[count++] = (struct iovec){c->bytes + c->sent, c->len - c->sent};
    }
    return count;
}

static void commands_went(struct redis_link *k, size_t bytes)
{
    struct redis_command *c;
    while (bytes && (c = command_at(&k->unsent))) {
        size_t of_this = c->len - c->sent < bytes ? c->len - c->sent : bytes;
        c->sent += of_this;
        bytes -= of_this;
        if (c->sent < c->len)
            return;
        list_remove(&c->item);
        list_append(&k->sent, &c->item);
    }
}

static void link_write(struct redis_link *k)
{
    struct iovec iov[PIECES];
    int count;
    while ((count = pieces_of(k, iov)) > 0) {
        ssize_t n = stream_writev(&k->stream, iov, count);
        if (n == STREAM_ERROR)
            link_broke(k, errno);
        if (n < 0)
            break;
        commands_went(k, (size_t)n);
    }
    stream_want(&k->stream, true, command_at(&k->unsent));
}

/* --- the end --- */

void redis_link_free(struct redis_link *k)
{
    if (k->up && !k->why.code)
        link_write(k);
    ev_timer_stop(k->loop->ev, &k->timer);
    loop_unready(&k->flush);
    dial_stop(&k->dial);
    stream_close(&k->stream);
    carriage_unref(k->conf.carriage);
    redis_commands_free(&k->unsent);
    redis_commands_free(&k->sent);
    redis_reader_fini(&k->reader);
    free(k);
}

static void commands_move(struct list *to, struct list *from)
{
    struct list_item *i;
    while ((i = list_first(from))) {
        list_remove(i);
        list_append(to, i);
    }
}

/* True: the link is gone. */
static bool link_ended(struct redis_link *k)
{
    struct list left = {0};
    if (!k->why.code)
        return false;
    commands_move(&left, &k->sent);
    commands_move(&left, &k->unsent);
    k->ops->down(k->owner, k, &k->why, &left);
    redis_link_free(k);
    return true;
}

static void on_flush(struct task *t)
{
    struct redis_link *k = container_of(t, struct redis_link, flush);
    if (!k->why.code && stream_is_open(&k->stream) && !k->stream.connecting)
        link_write(k);
    link_ended(k);
}

/* --- time --- */

static double at_least(const struct redis_link *k, double seconds)
{
    return k->conf.timeout > seconds ? k->conf.timeout : seconds;
}

/* Often while somebody waits, else when a PING is due. */
static void link_time(struct redis_link *k)
{
    double step = k->conf.timeout / 4;
    step = step < 0.005 ? 0.005 : step > 0.25 ? 0.25 : step;
    k->timer.repeat = k->pending ? step : at_least(k, RESTS);
    ev_timer_again(k->loop->ev, &k->timer);
}

static void command_drop(struct redis_link *k, struct redis_command *c)
{
    list_remove(&c->item);
    k->pending--;
    k->bytes -= c->len;
}

/* Tells those who have waited too long. What Redis has not seen anything of it need not see. */
static void commands_expire(struct redis_link *k, struct list *l, double now)
{
    for (struct list_item *i = list_first(l), *next; i; i = next) {
        struct redis_command *c = container_of(i, struct redis_command, item);
        bool late = now - c->asked >= c->timeout;
        if (late)
            redis_command_tell(c, NULL);
        next = list_next(l, i);
        if (!late || c->sent)
            continue;
        command_drop(k, c);
        redis_command_free(c);
    }
}

/* Three times the usual time passed without a whole answer, and the oldest command's own. */
static void link_doubt(struct redis_link *k, double now)
{
    const struct redis_command *c = command_at(&k->sent);
    if (!c)
        c = command_at(&k->unsent);
    if (!c)
        return;
    double limit = PATIENCE * k->conf.timeout;
    double since = k->answered > c->asked ? k->answered : c->asked;
    if (now - since > (limit > c->timeout ? limit : c->timeout))
        link_break(k, ETIMEDOUT, "it does not answer in time");
}

static void link_ping(struct redis_link *k)
{
    static const char *const words[] = {"PING"};
    static const size_t lens[] = {4};
    struct redis_command *c = redis_command_new(1, words, lens);
    if (!c)
        return;
    c->timeout = k->conf.timeout;
    redis_link_send(k, c);
}

static void link_read(struct redis_link *k);

static void on_timer(struct ev_loop *ev, ev_timer *w, int events)
{
    struct redis_link *k = w->data;
    double now = loop_steady();
    (void)ev, (void)events;
    if (k->up) /* it may have come while this loop was busy */
        link_read(k);
    commands_expire(k, &k->sent, now);
    commands_expire(k, &k->unsent, now);
    if (k->up)
        link_doubt(k, now);
    else if (now - k->born >= at_least(k, GREETS))
        link_break(k, ETIMEDOUT, "it does not answer");
    if (!k->pending && now - k->heard >= RESTS / 2)
        link_ping(k);
    if (!link_ended(k))
        link_time(k);
}

/* --- bytes in --- */

/* True: somebody else has the command now, or it is over. */
static bool link_refused(struct redis_link *k, struct redis_command *c, const redisReply *r)
{
    const struct redis_refusal *refusal = redis_refusal_of(r);
    if (refusal->kind == REFUSAL_ENDS)
        link_break(k, EACCES, refusal->says);
    return k->up && k->ops->refused(k->owner, k, c, r);
}

static void link_answer(struct redis_link *k, const redisReply *r)
{
    struct redis_command *c = command_at(&k->sent);
    if (!c) {
        link_break(k, EPROTO, "an answer to nothing");
        return;
    }
    command_drop(k, c);
    k->answered = k->heard;
    k->lag = k->heard - c->asked;
    if (r->type == REDIS_REPLY_ERROR && link_refused(k, c, r))
        return;
    redis_command_tell(c, r);
    redis_command_free(c);
}

static void link_answers(struct redis_link *k)
{
    redisReply *r;
    while (!k->why.code && redis_reader_next(&k->reader, &r, &k->why) == STEP_DONE) {
        link_answer(k, r);
        freeReplyObject(r);
    }
}

static void link_read(struct redis_link *k)
{
    while (!k->why.code) {
        struct iovec iov = {k->loop->scratch, PIECE};
        ssize_t n = stream_readv(&k->stream, &iov, 1);
        if (n == STREAM_AGAIN)
            return;
        if (n <= 0) {
            link_broke(k, n == STREAM_ERROR ? errno : ECONNRESET);
            return;
        }
        k->heard = loop_steady();
        if (!redis_reader_feed(&k->reader, k->loop->scratch, (size_t)n))
            link_break(k, ENOMEM, "out of memory");
        link_answers(k);
    }
}

static void on_stream(struct stream *s, bool readable, bool writable)
{
    struct redis_link *k = container_of(s, struct redis_link, stream);
    int error = s->connecting ? stream_connected(s) : 0;
    (void)writable;
    if (error)
        link_broke(k, error);
    else
        link_write(k);
    if (readable)
        link_read(k);
    link_ended(k);
}

/* --- the greeting --- */

static void on_auth(void *owner, const redisReply *r)
{
    if (r && r->type == REDIS_REPLY_ERROR)
        link_break(owner, EACCES, "it refuses the password");
}

static void on_select(void *owner, const redisReply *r)
{
    if (r && r->type == REDIS_REPLY_ERROR)
        link_break(owner, EACCES, "it refuses the database");
}

static void on_role(void *owner, const redisReply *r)
{
    if (r && !redis_is_master(r))
        link_break(owner, EROFS, "it is a replica");
}

static void on_info(void *owner, const redisReply *r)
{
    struct redis_link *k = owner;
    if (r)
        redis_run_id_read(r, k->run_id);
}

/* The last of them. */
static void on_greeted(void *owner, const redisReply *r)
{
    struct redis_link *k = owner;
    if (!r || k->why.code)
        return;
    k->up = true;
    k->ops->up(k->owner, k, k->run_id);
}

/* False: out of memory. */
static bool greet(struct redis_link *k, redis_told *told, int count, const char *const *words)
{
    size_t lens[3];
    for (int i = 0; i < count; i++)
        lens[i] = strlen(words[i]);
    struct redis_command *c = redis_command_new(count, words, lens);
    if (!c)
        return false;
    c->told = told;
    c->owner = k;
    c->timeout = at_least(k, GREETS);
    redis_link_send(k, c);
    return true;
}

static bool link_greet(struct redis_link *k)
{
    const struct redis_link_conf *c = &k->conf;
    char database[16];
    snprintf(database, sizeof database, "%u", c->database);
    if (c->password && c->user &&
        !greet(k, on_auth, 3, (const char *[]){"AUTH", c->user, c->password}))
        return false;
    if (c->password && !c->user && !greet(k, on_auth, 2, (const char *[]){"AUTH", c->password}))
        return false;
    if (c->database && !greet(k, on_select, 2, (const char *[]){"SELECT", database}))
        return false;
    if (c->is_master && (!greet(k, on_role, 1, (const char *[]){"ROLE"}) ||
                         !greet(k, on_info, 2, (const char *[]){"INFO", "server"})))
        return false;
    return greet(k, on_greeted, 1, (const char *[]){"PING"});
}

/* --- the beginning --- */

static void on_dialled(void *owner, int fd, const struct err *why)
{
    struct redis_link *k = owner;
    struct err e;
    if (fd < 0) {
        redis_link_leave(k, why);
        return;
    }
    stream_open(&k->stream, k->loop, fd, on_stream);
    k->stream.connecting = k->stream.fresh = true;
    if (carriage_dialled(&k->stream, k->conf.carriage, &k->conf.at, &e) < 0)
        redis_link_leave(k, &e);
    else
        stream_want(&k->stream, false, true);
}

struct redis_link *redis_link_new(struct loop *l, const struct redis_link_conf *c,
                                  const struct redis_link_ops *ops, void *owner)
{
    struct redis_link *k = calloc(1, sizeof *k);
    if (!k || !redis_reader_init(&k->reader)) {
        free(k);
        return NULL;
    }
    k->loop = l;
    k->conf = *c;
    k->conf.carriage = c->carriage ? carriage_ref(c->carriage) : NULL;
    k->ops = ops;
    k->owner = owner;
    k->flush.run = on_flush;
    k->born = k->heard = loop_steady();
    stream_open(&k->stream, l, -1, on_stream);
    ev_timer_init(&k->timer, on_timer, 0, 0);
    k->timer.data = k;
    k->dial = (struct dial){.loop = l, .socktype = SOCK_STREAM, .done = on_dialled, .owner = k};
    if (!link_greet(k)) {
        redis_link_free(k);
        return NULL;
    }
    dial_start(&k->dial, &k->conf.at, DIAL_AS_IS);
    return k;
}

/* --- what its owner does with it --- */

void redis_link_send(struct redis_link *k, struct redis_command *c)
{
    c->sent = 0;
    if (!c->asked)
        c->asked = loop_steady();
    list_append(&k->unsent, &c->item);
    k->bytes += c->len;
    loop_ready(k->loop, &k->flush);
    if (!k->pending++)
        link_time(k);
}

void redis_link_forget(struct redis_link *k, const void *owner)
{
    redis_commands_forget(&k->unsent, owner);
    redis_commands_forget(&k->sent, owner);
}

const struct addr *redis_link_at(const struct redis_link *k)
{
    return &k->conf.at;
}

unsigned redis_link_pending(const struct redis_link *k)
{
    return k->pending;
}

size_t redis_link_bytes(const struct redis_link *k)
{
    return k->bytes;
}

double redis_link_lag(const struct redis_link *k)
{
    return k->lag;
}
