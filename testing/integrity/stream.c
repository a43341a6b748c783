#include "testing/integrity/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { SAMPLE = 32, SEND_TURN = 2 * WIRE_PIECE };

void run_init(struct run *r, uint64_t seed)
{
    memset(r, 0, sizeof *r);
    r->live.next = r->live.prev = &r->live;
    r->seed = seed;
    r->epoll = epoll_create1(EPOLL_CLOEXEC);
}

void run_fini(struct run *r)
{
    close(r->epoll);
    tally_fini(&r->tally);
}

bool stream_begin(struct run *r, struct stream *s, int fd, void *tag)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = tag};
    if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &e) < 0)
        return false;
    s->fd = fd;
    s->events = EPOLLIN;
    s->opened = s->moved = seconds_now();
    s->next = &r->live;
    s->prev = r->live.prev;
    s->prev->next = s->next->prev = s;
    return true;
}

void stream_ways(struct stream *s)
{
    struct head down = s->head;
    down.direction = WAY_DOWN;
    down.length = s->head.answer;
    down.answer = s->head.length;
    way_init(&s->up, &s->head);
    way_init(&s->down, &down);
}

bool stream_watch(struct run *r, struct stream *s, uint32_t events, void *tag)
{
    struct epoll_event e = {.events = events, .data.ptr = tag};
    if (events == s->events)
        return true;
    s->events = events;
    return epoll_ctl(r->epoll, EPOLL_CTL_MOD, s->fd, &e) == 0;
}

int stream_send(struct run *r, struct stream *s, uint64_t limit)
{
    uint64_t turn = s->sent + SEND_TURN;
    while (s->sent < limit && s->sent < turn) {
        uint64_t left = limit - s->sent;
        size_t n = left < WIRE_PIECE ? (size_t)left : WIRE_PIECE;
        way_fill(s->out, s->sent, r->scratch, n);
        ssize_t done = send(s->fd, r->scratch, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : errno;
        s->sent += (uint64_t)done;
        s->moved = seconds_now();
        if ((size_t)done < n)
            break;
    }
    return 0;
}

enum got stream_receive(struct run *r, struct stream *s, size_t limit, size_t *wrong, size_t *len)
{
    size_t most = limit < WIRE_PIECE ? limit : WIRE_PIECE;
    ssize_t n = recv(s->fd, r->scratch, most, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? GOT_NOTHING : GOT_ERROR;
    if (n == 0)
        return GOT_END;
    s->moved = seconds_now();
    *len = (size_t)n;
    *wrong = way_check(s->in, s->got, r->scratch, *len);
    s->got += *wrong;
    r->tally.bytes += *wrong;
    return *wrong == *len ? GOT_SOME : GOT_WRONG;
}

static bool foreign(const struct stream *s, const struct way *w, uint64_t near,
                    const uint8_t *sample, size_t len, char *text, size_t room)
{
    uint64_t at = way_find(w, near, sample, len);
    if (at == UINT64_MAX)
        return false;
    snprintf(text, room, "has %" PRIu64 "'s %s bytes of offset %" PRIu64, s->head.stream,
             w == &s->up ? "up" : "down", at);
    return true;
}

enum outcome stream_blame(struct run *r, struct stream *s, const uint8_t *sample, size_t len,
                          char *text, size_t room)
{
    len = len < SAMPLE ? len : SAMPLE;
    if (s->got == way_total(s->in)) {
        snprintf(text, room, "%zu bytes or more behind the end", len);
        return OUT_CORRUPT;
    }
    if (foreign(s, s->in, s->got, sample, len, text, room))
        return OUT_CORRUPT; /* its own: something is missing, or there twice */
    if (foreign(s, s->out, s->got, sample, len, text, room))
        return OUT_CROSSTALK;
    for (struct stream *o = r->live.next; o != &r->live; o = o->next)
        if (o != s && o->in &&
            (foreign(o, o->in, o->got, sample, len, text, room) ||
             foreign(o, o->out, o->sent, sample, len, text, room)))
            return OUT_CROSSTALK;
    if (len >= 24 && memcmp(sample, "v2ci", 4) == 0 && get_le64(sample + 16) != s->head.stream) {
        snprintf(text, room, "has the head of %" PRIu64, get_le64(sample + 16));
        return OUT_CROSSTALK;
    }
    snprintf(text, room, "wrong byte %02x", sample[0]);
    return OUT_CORRUPT;
}

void socket_arm(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void socket_close(int fd)
{
    struct linger never = {.l_onoff = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &never, sizeof never);
    close(fd);
}

void stream_end(struct run *r, struct stream *s, enum outcome o, bool orderly, const char *text)
{
    struct failure end = {.outcome = o,
                          .stream = s->head.stream,
                          .at = s->got,
                          .total = s->in ? way_total(s->in) : 0,
                          .opened = s->opened,
                          .first = s->first,
                          .ended = seconds_now(),
                          .shape = s->head.shape};
    if (orderly)
        socket_close(s->fd);
    else
        close(s->fd);
    s->fd = -1;
    s->prev->next = s->next;
    s->next->prev = s->prev;
    tally_end(&r->tally, &end, "%s", text);
}

enum outcome outcome_of_errno(int error)
{
    if (error == ECONNREFUSED)
        return OUT_REFUSED;
    return error == ETIMEDOUT ? OUT_TIMEOUT : OUT_RESET;
}
