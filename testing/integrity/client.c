#include "testing/integrity/client.h"

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

enum { EVENTS = 256, READS_A_TURN = 2, SOURCES = 8, LOOK_MS = 10, OPENS_A_LOOK = 64 };

/* A stream, or a rest before the next one. */
struct slot {
    struct stream s;
    bool connected, slow;
    bool done;           /* a paced stream lasted till the end of the run */
    uint64_t stall_at;   /* offset at which a slow reader stops */
    double stalled_till; /* 0: does not stop now */
    double ready;        /* when the place may be used */
    uint64_t rounds;     /* of a paced stream: begun */
    double round_at;     /* when the next one begins, or the current one began */
    bool round_open;
};

struct client {
    struct run run;
    const struct client_conf *conf;
    struct slot *slots;
    struct datagram_client datagrams;
    uint64_t opened, random;
    size_t busy;
    double begun, looked;
    int signals;
    bool stopping; /* opens no more */
};

static void slot_end(struct client *c, struct slot *sl, enum outcome o, bool orderly,
                     const char *text)
{
    bool bad = o >= OUT_RESET;
    stream_end(&c->run, &sl->s, o, orderly, text);
    sl->ready = seconds_now() + (bad ? c->conf->retry : 0);
    sl->done = !bad && c->conf->interval > 0;
    c->busy--;
}

static void slot_fail(struct client *c, struct slot *sl, int error)
{
    bool wanted = sl->s.head.shape & (SHAPE_CUT | SHAPE_SILENT) && error != ECONNREFUSED;
    slot_end(c, sl, wanted ? OUT_EXPECTED : outcome_of_errno(error), false, strerror(error));
}

/* --- opening --- */

/* All orders of magnitude are as likely; now and then nothing at all. */
static uint64_t choose_size(struct client *c, uint64_t max)
{
    uint64_t min = c->conf->min, top = min ? min : 1;
    if (max <= min)
        return max;
    if (mix_below(&c->random, 16) == 0)
        return min;
    while (top < max && mix_below(&c->random, 8))
        top *= 2;
    top = top < max ? top : max;
    return min + mix_below(&c->random, top - min + 1);
}

static bool percent(struct client *c, unsigned share)
{
    return mix_below(&c->random, 100) < share;
}

static uint8_t choose_shape(struct client *c)
{
    unsigned one_of[] = {0, SHAPE_HALF, SHAPE_ORIGIN_FIRST, SHAPE_CLIENT_CLOSES};
    unsigned shape = one_of[mix_below(&c->random, 4)];
    if (percent(c, 50))
        shape |= SHAPE_AFTER;
    return (uint8_t)(shape & c->conf->shapes);
}

static void choose_paced(struct client *c, struct slot *sl, double now)
{
    uint64_t rounds = (uint64_t)((c->begun + c->conf->seconds - now) / c->conf->interval);
    sl->s.head.length = sl->s.head.answer = c->conf->round * (rounds ? rounds : 1);
    sl->s.head.shape = SHAPE_PACED;
    sl->round_at = now + c->conf->interval * (double)mix_below(&c->random, 1000) / 1000;
}

static void choose_ordinary(struct client *c, struct slot *sl)
{
    struct head *h = &sl->s.head;
    h->shape = choose_shape(c);
    sl->slow = percent(c, c->conf->slow);
    h->length = choose_size(c, c->conf->max);
    h->answer = choose_size(c, c->conf->max);
    if (sl->slow) {
        sl->stall_at = WIRE_HEAD + mix_below(&c->random, h->answer + 1);
    } else if (percent(c, c->conf->silent)) {
        h->shape = SHAPE_SILENT;
    } else if (percent(c, c->conf->cut)) {
        h->shape = SHAPE_CUT;
        h->cut = mix_below(&c->random, WIRE_HEAD + h->answer);
    } else if (percent(c, c->conf->abort)) {
        h->shape = SHAPE_ABORT;
        h->cut = WIRE_HEAD + mix_below(&c->random, h->length + 1);
    }
}

static void slot_choose(struct client *c, struct slot *sl, double now)
{
    *sl = (struct slot){.s = {.fd = -1}};
    sl->s.head = (struct head){
        .run = c->run.seed, .stream = ++c->opened, .seed = c->run.seed, .direction = WAY_UP};
    if (c->conf->interval > 0)
        choose_paced(c, sl, now);
    else
        choose_ordinary(c, sl);
    stream_ways(&sl->s);
    sl->s.in = &sl->s.down;
    sl->s.out = &sl->s.up;
}

/* Many sources, so that ports do not run out. */
static int visitor_socket(uint64_t id)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(id % SOURCES));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bind(fd, (struct sockaddr *)&from, sizeof from);
    socket_arm(fd);
    return fd;
}

static void slot_open(struct client *c, struct slot *sl, double now)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    slot_choose(c, sl, now);
    int fd = visitor_socket(c->opened);
    if (fd < 0)
        return;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(c->conf->ports[c->opened % c->conf->port_count]);
    int error = connect(fd, (struct sockaddr *)&to, sizeof to) < 0 ? errno : 0;
    if (!stream_begin(&c->run, &sl->s, fd, sl)) {
        close(fd);
        return;
    }
    c->busy++;
    if (error && error != EINPROGRESS)
        slot_fail(c, sl, error);
    else
        stream_watch(&c->run, &sl->s, EPOLLIN | EPOLLOUT, sl);
}

/* --- moving --- */

static uint64_t write_limit(const struct client *c, const struct slot *sl)
{
    const struct stream *s = &sl->s;
    uint64_t total = way_total(s->out), limit = total;
    if (s->head.shape & SHAPE_PACED) {
        limit = WIRE_HEAD + sl->rounds * c->conf->round;
        limit = limit >= WIRE_HEAD + s->out->length ? total : limit;
    }
    if (s->head.shape & SHAPE_ABORT && limit > s->head.cut)
        limit = s->head.cut;
    return limit;
}

static size_t read_limit(struct client *c, struct slot *sl, double now)
{
    if (!sl->slow || sl->s.got < sl->stall_at || sl->s.got > sl->stall_at)
        return sl->slow && sl->s.got < sl->stall_at && sl->stall_at - sl->s.got < WIRE_PIECE
                   ? (size_t)(sl->stall_at - sl->s.got)
                   : WIRE_PIECE;
    if (sl->stalled_till == 0)
        sl->stalled_till =
            now + c->conf->stall * (0.5 + (double)mix_below(&c->random, 1000) / 1000);
    if (now < sl->stalled_till)
        return 0;
    sl->slow = false;
    return WIRE_PIECE;
}

static void slot_ended(struct client *c, struct slot *sl)
{
    struct stream *s = &sl->s;
    s->ended = true;
    if (s->got < way_total(s->in))
        slot_end(c, sl, OUT_TRUNCATED, false,
                 s->got ? "end before the declared end" : "end without a byte");
    else if (s->sent < way_total(s->out) && !(s->head.shape & SHAPE_ORIGIN_FIRST))
        slot_end(c, sl, OUT_TRUNCATED, false, "end although the origin cannot have all");
}

static void round_check(struct client *c, struct slot *sl)
{
    uint64_t due = WIRE_HEAD + sl->rounds * c->conf->round;
    if (!sl->round_open || sl->s.got < due)
        return;
    double now = seconds_now();
    samples_add(&c->run.tally.exchange, now - sl->round_at);
    sl->round_open = false;
    sl->round_at += c->conf->interval;
}

/* One read; false when there is no more to read now, or the stream is over. */
static bool slot_read(struct client *c, struct slot *sl)
{
    size_t wrong = 0, len = 0, limit = read_limit(c, sl, seconds_now());
    char text[96];
    bool first = sl->s.got < WIRE_HEAD;
    if (limit == 0)
        return false;
    switch (stream_receive(&c->run, &sl->s, limit, &wrong, &len)) {
    case GOT_SOME:
        if (first && sl->s.got >= WIRE_HEAD) {
            sl->s.first = sl->s.moved;
            samples_add(&c->run.tally.opening, sl->s.first - sl->s.opened);
        }
        round_check(c, sl);
        return true;
    case GOT_NOTHING:
        return false;
    case GOT_END:
        slot_ended(c, sl);
        return false;
    case GOT_ERROR:
        slot_fail(c, sl, errno);
        return false;
    case GOT_WRONG: {
        enum outcome blame =
            stream_blame(&c->run, &sl->s, c->run.scratch + wrong, len - wrong, text, sizeof text);
        slot_end(c, sl, blame, false, text);
        return false;
    }
    }
    return false;
}

static bool slot_write(struct client *c, struct slot *sl)
{
    struct stream *s = &sl->s;
    int error = stream_send(&c->run, s, write_limit(c, sl));
    if (error) {
        slot_fail(c, sl, error);
        return false;
    }
    if (s->head.shape & SHAPE_ABORT && s->sent >= s->head.cut) {
        slot_end(c, sl, OUT_EXPECTED, false, "");
        return false;
    }
    if (s->sent == way_total(s->out) && s->head.shape & SHAPE_HALF && !s->shut) {
        shutdown(s->fd, SHUT_WR);
        s->shut = true;
    }
    return true;
}

static void slot_finish(struct client *c, struct slot *sl)
{
    const struct stream *s = &sl->s;
    bool all = s->got == way_total(s->in) && s->sent == way_total(s->out);
    if (all && (s->ended || s->head.shape & SHAPE_CLIENT_CLOSES))
        slot_end(c, sl, OUT_OK, true, "");
}

static bool connect_done(struct client *c, struct slot *sl)
{
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(sl->s.fd, SOL_SOCKET, SO_ERROR, &error, &len);
    sl->connected = true;
    if (error)
        slot_fail(c, sl, error);
    return !error;
}

static void slot_event(struct client *c, struct slot *sl)
{
    if (!sl->connected && !connect_done(c, sl))
        return;
    for (int i = 0; i < READS_A_TURN && !sl->s.ended; i++)
        if (!slot_read(c, sl))
            break;
    if (sl->s.fd < 0 || !slot_write(c, sl))
        return;
    slot_finish(c, sl);
    if (sl->s.fd < 0)
        return;
    uint32_t want = sl->s.ended || sl->stalled_till > seconds_now() ? 0 : EPOLLIN;
    want |= sl->s.sent < write_limit(c, sl) ? EPOLLOUT : 0;
    stream_watch(&c->run, &sl->s, want, sl);
}

/* --- time --- */

static void slot_round(struct client *c, struct slot *sl, double now)
{
    uint64_t all = sl->s.out->length / c->conf->round;
    if (!(sl->s.head.shape & SHAPE_PACED) || sl->round_open || now < sl->round_at ||
        sl->rounds == all)
        return;
    sl->rounds++;
    sl->round_open = true;
    sl->round_at = now;
    slot_event(c, sl);
}

static void slot_look(struct client *c, struct slot *sl, double now)
{
    bool resting = sl->s.head.shape & SHAPE_PACED && !sl->round_open;
    if (sl->stalled_till && now >= sl->stalled_till) {
        sl->stalled_till = 0;
        sl->slow = false;
        sl->s.moved = now;
        slot_event(c, sl);
        return;
    }
    if (sl->connected)
        slot_round(c, sl, now);
    if (sl->s.fd < 0 || resting || sl->stalled_till)
        return;
    if (now - sl->s.moved > c->conf->patience) {
        bool wanted = sl->s.head.shape & SHAPE_SILENT;
        slot_end(c, sl, wanted ? OUT_EXPECTED : OUT_TIMEOUT, false, "nothing moved");
    }
}

static void client_fill(struct client *c, double now)
{
    size_t allowed = c->conf->streams, opens = 0;
    if (c->conf->ramp > 0 && now - c->begun < c->conf->ramp)
        allowed = (size_t)((double)allowed * (now - c->begun) / c->conf->ramp);
    for (size_t i = 0; i < allowed && opens < OPENS_A_LOOK * 4; i++) {
        struct slot *sl = &c->slots[i];
        if (c->conf->total && c->opened == c->conf->total)
            c->stopping = true;
        if (c->stopping || sl->done || sl->s.fd >= 0 || now < sl->ready)
            continue;
        slot_open(c, sl, now);
        opens++;
    }
}

static void client_look(struct client *c, bool all)
{
    double now = seconds_now();
    if (now - c->begun > c->conf->seconds)
        c->stopping = true;
    datagram_client_step(&c->datagrams, &c->run.tally, now, !c->stopping);
    if (!all && now - c->looked < LOOK_MS / 1e3)
        return;
    c->looked = now;
    for (size_t i = 0; i < c->conf->streams; i++)
        if (c->slots[i].s.fd >= 0)
            slot_look(c, &c->slots[i], now);
    client_fill(c, now);
}

static void client_loop(struct client *c)
{
    struct epoll_event events[EVENTS];
    double end = c->begun + c->conf->seconds + c->conf->grace;
    while ((!c->stopping || c->busy) && seconds_now() < end) {
        int n = epoll_wait(c->run.epoll, events, EVENTS, LOOK_MS);
        size_t before = c->busy;
        for (int i = 0; i < n; i++) {
            struct slot *sl = events[i].data.ptr;
            if (!sl)
                c->stopping = true; /* a signal */
            else if (sl->s.fd >= 0)
                slot_event(c, sl);
        }
        client_look(c, c->busy < before);
    }
    for (size_t i = 0; i < c->conf->streams; i++)
        if (c->slots[i].s.fd >= 0)
            slot_end(c, &c->slots[i], OUT_UNFINISHED, false, "still open");
}

static bool client_start(struct client *c)
{
    const struct client_conf *conf = c->conf;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    c->signals = signalfd(-1, &ends, SFD_NONBLOCK | SFD_CLOEXEC);
    epoll_ctl(c->run.epoll, EPOLL_CTL_ADD, c->signals, &e);
    if (conf->trace && !(c->run.tally.trace = fopen(conf->trace, "w")))
        return false;
    c->slots = calloc(conf->streams + 1, sizeof *c->slots);
    for (size_t i = 0; c->slots && i < conf->streams; i++)
        c->slots[i].s.fd = -1;
    return c->slots &&
           datagram_client_start(&c->datagrams, conf->udp_port ? conf->udp_flows : 0,
                                 conf->udp_size, conf->udp_port, conf->seed, conf->seed);
}

int client_run(const struct client_conf *conf)
{
    struct client *c = calloc(1, sizeof *c);
    if (!c)
        return 1;
    c->conf = conf;
    c->random = conf->seed;
    run_init(&c->run, conf->seed);
    bool started = client_start(c);
    if (started) {
        c->begun = seconds_now();
        client_loop(c);
        datagram_client_fini(&c->datagrams, &c->run.tally);
        tally_print(&c->run.tally, "client", conf->seed, stdout);
    } else {
        perror("itest: client");
    }
    free(c->slots);
    run_fini(&c->run);
    free(c);
    return started ? 0 : 1;
}
