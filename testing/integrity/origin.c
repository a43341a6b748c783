#include "testing/integrity/origin.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "testing/integrity/datagram.h"
#include "testing/integrity/stream.h"

enum { EVENTS = 256, BACKLOG = 4096, READS_A_TURN = 2, IDS = 1 << 24 };

struct conn {
    struct stream s; /* s.in is NULL until the head is whole */
    uint8_t head[WIRE_HEAD];
    size_t head_len;
    struct conn *dead; /* to be freed at the end of the turn */
};

struct origin {
    struct run run;
    struct conn *dead;
    struct datagram_origin datagrams;
    uint64_t seen_run;
    uint8_t seen[IDS / 8]; /* ids of that run that came already */
    double patience, looked;
    int listener, signals;
    bool stopping;
};

static int tcp_listener(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t len = sizeof a;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        return -1;
    *port = ntohs(a.sin_port);
    return fd;
}

static void conn_end(struct origin *o, struct conn *c, enum outcome outcome, bool orderly,
                     const char *text)
{
    stream_end(&o->run, &c->s, outcome, orderly, text);
    c->dead = o->dead;
    o->dead = c;
}

/* Errors that one of the two ends has ordered are none. */
static enum outcome excused(const struct conn *c, enum outcome o)
{
    bool wanted = c->s.in && c->s.head.shape & (SHAPE_ABORT | SHAPE_CUT | SHAPE_SILENT);
    return wanted && o >= OUT_RESET && o < OUT_TRUNCATED ? OUT_EXPECTED : o;
}

static void conn_fail(struct origin *o, struct conn *c, int error)
{
    conn_end(o, c, excused(c, outcome_of_errno(error)), false, strerror(error));
}

static void id_note(struct origin *o, const struct head *h)
{
    uint64_t id = h->stream % IDS;
    uint8_t bit = (uint8_t)(1 << id % 8);
    if (h->run != o->seen_run) {
        memset(o->seen, 0, sizeof o->seen);
        o->seen_run = h->run;
    }
    o->run.tally.repeats += (o->seen[id / 8] & bit) != 0;
    o->seen[id / 8] |= bit;
}

static bool head_known(struct origin *o, struct conn *c)
{
    if (!head_parse(&c->s.head, c->head) || c->s.head.direction != WAY_UP) {
        conn_end(o, c, OUT_CORRUPT, false, "no valid head");
        return false;
    }
    id_note(o, &c->s.head);
    stream_ways(&c->s);
    c->s.in = &c->s.up;
    c->s.out = &c->s.down;
    c->s.got = WIRE_HEAD;
    return true;
}

/* False when the stream is over. */
static bool head_read(struct origin *o, struct conn *c)
{
    ssize_t n = recv(c->s.fd, c->head + c->head_len, WIRE_HEAD - c->head_len, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n < 0) {
        conn_fail(o, c, errno);
        return false;
    }
    if (n == 0) {
        conn_end(o, c, OUT_TRUNCATED, false,
                 c->head_len ? "end within the head" : "end before any byte");
        return false;
    }
    c->s.moved = seconds_now();
    c->head_len += (size_t)n;
    return c->head_len < WIRE_HEAD || head_known(o, c);
}

/* How far the origin may write now. */
static uint64_t write_limit(const struct conn *c)
{
    const struct stream *s = &c->s;
    uint64_t total = way_total(s->out), limit = total;
    bool whole = s->got == way_total(s->in);
    if (s->head.shape & SHAPE_SILENT)
        return 0;
    if (s->head.shape & SHAPE_AFTER && !whole)
        return WIRE_HEAD;
    if (s->head.shape & SHAPE_PACED && s->got < limit)
        limit = s->got; /* its head counts for ours, its body for our body */
    if (s->head.shape & SHAPE_HALF && !s->ended && limit > total - WIRE_TAIL)
        limit = total - WIRE_TAIL;
    if (s->head.shape & SHAPE_CUT && limit > s->head.cut)
        limit = s->head.cut;
    return limit;
}

static bool conn_read(struct origin *o, struct conn *c)
{
    size_t wrong = 0, len = 0;
    char text[96];
    if (!c->s.in)
        return head_read(o, c);
    switch (stream_receive(&o->run, &c->s, WIRE_PIECE, &wrong, &len)) {
    case GOT_SOME:
    case GOT_NOTHING:
        return true;
    case GOT_END:
        c->s.ended = true;
        if (c->s.got == way_total(c->s.in))
            return true;
        conn_end(o, c, OUT_TRUNCATED, false, "end before the declared end");
        return false;
    case GOT_ERROR:
        conn_fail(o, c, errno);
        return false;
    case GOT_WRONG: {
        enum outcome blame =
            stream_blame(&o->run, &c->s, o->run.scratch + wrong, len - wrong, text, sizeof text);
        conn_end(o, c, blame, false, text);
        return false;
    }
    }
    return true;
}

static bool conn_write(struct origin *o, struct conn *c)
{
    int error = stream_send(&o->run, &c->s, write_limit(c));
    if (error) {
        conn_fail(o, c, error);
        return false;
    }
    if (c->s.head.shape & SHAPE_CUT && c->s.sent >= c->s.head.cut) {
        conn_end(o, c, OUT_EXPECTED, false, "");
        return false;
    }
    return true;
}

/* Ends the stream when all is said; false then. */
static bool conn_finish(struct origin *o, struct conn *c)
{
    struct stream *s = &c->s;
    bool sent = s->sent == way_total(s->out), got = s->got == way_total(s->in);
    if (sent && !s->shut && s->head.shape & SHAPE_ORIGIN_FIRST) {
        shutdown(s->fd, SHUT_WR);
        s->shut = true;
    }
    bool waits = s->head.shape & (SHAPE_CLIENT_CLOSES | SHAPE_HALF | SHAPE_ORIGIN_FIRST);
    if (!sent || !got || (waits && !s->ended))
        return true;
    conn_end(o, c, OUT_OK, true, "");
    return false;
}

static void conn_event(struct origin *o, struct conn *c)
{
    for (int i = 0; i < READS_A_TURN && !c->s.ended; i++) {
        double before = c->s.moved;
        if (!conn_read(o, c))
            return;
        if (c->s.moved == before)
            break;
    }
    if (!c->s.in)
        return;
    if (!conn_write(o, c) || !conn_finish(o, c))
        return;
    uint32_t want = c->s.ended ? 0 : EPOLLIN;
    want |= c->s.sent < write_limit(c) ? EPOLLOUT : 0;
    stream_watch(&o->run, &c->s, want, c);
}

static void origin_accept(struct origin *o)
{
    int fd, on = 1;
    while ((fd = accept4(o->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = calloc(1, sizeof *c);
        socket_arm(fd);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (!c || !stream_begin(&o->run, &c->s, fd, c)) {
            close(fd);
            free(c);
        }
    }
}

/* Gives up what has not moved; all of it when stopping. */
static void origin_look(struct origin *o)
{
    double now = seconds_now();
    if (now - o->looked < 0.5 && !o->stopping)
        return;
    o->looked = now;
    struct stream *next;
    for (struct stream *s = o->run.live.next; s != &o->run.live; s = next) {
        struct conn *c = (struct conn *)s;
        next = s->next;
        if (o->stopping)
            conn_end(o, c, excused(c, OUT_UNFINISHED), false, "still open");
        else if (now - s->moved > o->patience)
            conn_end(o, c, excused(c, OUT_TIMEOUT), false, "nothing moved");
    }
}

static void origin_bury(struct origin *o)
{
    while (o->dead) {
        struct conn *c = o->dead;
        o->dead = c->dead;
        free(c);
    }
}

static void origin_loop(struct origin *o)
{
    struct epoll_event events[EVENTS];
    while (!o->stopping) {
        int n = epoll_wait(o->run.epoll, events, EVENTS, 500);
        for (int i = 0; i < n; i++) {
            void *tag = events[i].data.ptr;
            if (tag == &o->listener)
                origin_accept(o);
            else if (tag == &o->datagrams)
                datagram_origin_read(&o->datagrams, &o->run.tally);
            else if (tag == &o->signals)
                o->stopping = true;
            else if (((struct conn *)tag)->s.fd >= 0)
                conn_event(o, tag);
        }
        origin_look(o);
        origin_bury(o);
    }
}

static bool origin_watch(struct origin *o, int fd, void *tag)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = tag};
    return fd >= 0 && epoll_ctl(o->run.epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

static bool origin_start(struct origin *o, const struct origin_conf *c)
{
    uint16_t tcp = c->port, udp = c->udp_port;
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    o->signals = signalfd(-1, &ends, SFD_NONBLOCK | SFD_CLOEXEC);
    o->listener = tcp_listener(&tcp);
    o->patience = c->patience;
    if (c->trace)
        o->run.tally.trace = fopen(c->trace, "w");
    if (!origin_watch(o, o->listener, &o->listener) || !origin_watch(o, o->signals, &o->signals) ||
        !datagram_origin_start(&o->datagrams, &udp) ||
        !origin_watch(o, o->datagrams.fd, &o->datagrams))
        return false;
    printf("{\"tcp\": %u, \"udp\": %u}\n", tcp, udp);
    fflush(stdout);
    return true;
}

int origin_run(const struct origin_conf *c)
{
    struct origin *o = calloc(1, sizeof *o);
    if (!o)
        return 1;
    run_init(&o->run, 0);
    bool started = origin_start(o, c);
    if (started) {
        origin_loop(o);
        tally_print(&o->run.tally, "origin", 0, stdout);
    } else {
        perror("itest: origin");
    }
    run_fini(&o->run);
    free(o);
    return started ? 0 : 1;
}
