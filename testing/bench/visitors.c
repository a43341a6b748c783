/* visitors -- the clients of the benchmark. ADDR is ADDRESS:PORT.
 *
 *     visitors download ADDR PATH STREAMS        GET one after another, bodies thrown away in the kernel
 *     visitors upload ADDR STREAMS               to `origin`, which throws all away
 *     visitors ask ADDR PATH RATE keep|new MS    requests on a schedule, each given up after MS
 *     visitors hold ADDR COUNT MS                connections that ask `origin` for an echo, once and then
 *                                                every MS; 0: never again
 *     visitors stall ADDR PATH COUNT             GET, and read nothing of it
 *
 * ask and hold are open loops: a request's latency counts from the time that the schedule gave it, so that
 * what a pause delays is counted too. Commands and counts: tally.h. Thread: one. */
#include "testing/bench/tally.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

enum {
    BLOCK = 1 << 20,
    HEAD = 1024,
    ECHO = 32,
    EVENTS = 256,
    ASKERS = 1024, /* requests of `ask` in flight */
    EAGER = 64,    /* connections that `hold` opens at a time */
    SMALL = 4096,  /* receive buffer of who stalls */
    RETRY = 10000, /* us until a broken stream of bulk is tried again */
    PER_ADDRESS = 2000,
};

enum mode { DOWNLOAD, UPLOAD, ASK, HOLD, STALL };
enum state { FREE, CONNECTING, HEADING, BODY, IDLE, SENDING };

struct visitor {
    int fd;
    enum state state;
    uint64_t due;  /* of the request that is under way */
    uint64_t left; /* of the answer */
    size_t head_len;
    char head[HEAD];
};

struct load {
    enum mode mode;
    int epoll, payload;
    bool fresh, stopped;
    struct sockaddr_in to;
    char request[512];
    size_t count;             /* visitors */
    uint64_t begin, patience; /* us; patience 0: for ever */
    double interval;          /* us between requests, 0: none */
    uint64_t issued;          /* requests of the schedule so far */
    uint64_t retry_at;
    size_t opened; /* visitors of hold and stall that were dialled; none is dialled twice */
    struct tally tally;
    struct visitor *visitors;
    uint8_t *block;
};

static bool bulk(const struct load *l)
{
    return l->mode == DOWNLOAD || l->mode == UPLOAD;
}

static bool under_way(const struct visitor *v)
{
    return v->state == CONNECTING || v->state == HEADING || v->state == BODY;
}

static void watch(struct load *l, struct visitor *v, int how, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.u64 = (uint64_t)(v - l->visitors)};
    if (epoll_ctl(l->epoll, how, v->fd, &e) != 0)
        fail_and_exit("epoll_ctl");
}

static void drop(struct load *l, struct visitor *v)
{
    l->tally.waiting -= under_way(v);
    if (v->state != FREE) {
        close(v->fd);
        l->tally.open--;
    }
    v->state = FREE;
}

/* A connection that ends while nobody waits for an answer is a failure of those that only hold it. */
static void lose(struct load *l, struct visitor *v)
{
    if (v->state == CONNECTING)
        l->tally.refused++;
    else if (v->state != IDLE || l->mode == HOLD)
        l->tally.failed++;
    drop(l, v);
}

/* Hold: more addresses than one, for one has too few ports for all. */
static void bind_source(struct load *l, struct visitor *v)
{
    uint32_t number = (uint32_t)(v - l->visitors) / PER_ADDRESS;
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK + number)};
    int on = 1;
    if (l->mode != HOLD || number == 0)
        return;
    setsockopt(v->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(v->fd, (struct sockaddr *)&from, sizeof from) != 0)
        fail_and_exit("bind");
}

static void dial(struct load *l, struct visitor *v, uint64_t due)
{
    int on = 1, small = SMALL;
    v->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (v->fd < 0)
        fail_and_exit("socket");
    bind_source(l, v);
    setsockopt(v->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (l->mode == STALL)
        setsockopt(v->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    v->state = CONNECTING;
    v->due = due;
    l->tally.open++;
    l->tally.waiting++;
    if (connect(v->fd, (struct sockaddr *)&l->to, sizeof l->to) != 0 && errno != EINPROGRESS) {
        lose(l, v);
        return;
    }
    watch(l, v, EPOLL_CTL_ADD, EPOLLOUT);
}

static void request_send(struct load *l, struct visitor *v)
{
    size_t len = strlen(l->request);
    if (l->mode == HOLD) /* every visitor's echo is its own: an answer to another one is seen */
        len =
            (size_t)snprintf(l->request, sizeof l->request, "E%030zu\n", (size_t)(v - l->visitors));
    v->head_len = 0;
    v->state = HEADING;
    if (send(v->fd, l->request, len, MSG_NOSIGNAL) != (ssize_t)len)
        lose(l, v);
}

static void ask(struct load *l, struct visitor *v, uint64_t due)
{
    v->due = due;
    l->tally.waiting++;
    request_send(l, v);
}

static void connected(struct load *l, struct visitor *v)
{
    int why = 0;
    socklen_t len = sizeof why;
    getsockopt(v->fd, SOL_SOCKET, SO_ERROR, &why, &len);
    if (why != 0) {
        lose(l, v);
        return;
    }
    if (l->mode == UPLOAD) {
        l->tally.waiting--;
        v->state = SENDING;
        if (send(v->fd, "D", 1, MSG_NOSIGNAL) != 1)
            lose(l, v);
        return;
    }
    watch(l, v, EPOLL_CTL_MOD, l->mode == STALL ? 0 : EPOLLIN);
    request_send(l, v);
}

static void answered(struct load *l, struct visitor *v)
{
    uint64_t now = tally_now();
    l->tally.answered++;
    l->tally.waiting--;
    if (l->tally.first == 0)
        l->tally.first = now;
    if (!bulk(l))
        tally_latency(&l->tally, now - v->due);
    v->state = IDLE;
    if ((l->mode == ASK && l->fresh) || (l->mode == DOWNLOAD && l->stopped))
        drop(l, v);
    else if (l->mode == DOWNLOAD)
        ask(l, v, now);
}

/* The end of the head, once it is whole; 0: not yet. A wrong answer loses the connection. */
static size_t head_end(struct load *l, struct visitor *v)
{
    v->head[v->head_len] = '\0';
    char *end = strstr(v->head, "\r\n\r\n"), *length;
    if (end == NULL && v->head_len < HEAD - 1)
        return 0;
    length = strcasestr(v->head, "\r\nContent-Length:");
    if (end == NULL || length == NULL || strncmp(v->head, "HTTP/1.1 200", 12) != 0) {
        lose(l, v);
        return 0;
    }
    v->left = strtoull(length + 17, NULL, 10);
    return (size_t)(end + 4 - v->head);
}

static void head_read(struct load *l, struct visitor *v)
{
    ssize_t n = recv(v->fd, v->head + v->head_len, HEAD - 1 - v->head_len, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        lose(l, v);
        return;
    }
    v->head_len += (size_t)n;
    size_t end = head_end(l, v);
    if (end == 0)
        return;
    size_t body = v->head_len - end;
    v->left -= body < v->left ? body : v->left;
    l->tally.bytes += body;
    v->state = BODY;
    if (v->left == 0)
        answered(l, v);
}

static void body_read(struct load *l, struct visitor *v)
{
    size_t most = v->left < BLOCK ? (size_t)v->left : BLOCK;
    ssize_t n = recv(v->fd, l->block, most, MSG_TRUNC);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        lose(l, v);
        return;
    }
    l->tally.bytes += (uint64_t)n;
    v->left -= (uint64_t)n;
    if (v->left == 0)
        answered(l, v);
}

static void echo_read(struct load *l, struct visitor *v)
{
    char want[ECHO + 1];
    ssize_t n = recv(v->fd, v->head + v->head_len, ECHO - v->head_len, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    v->head_len += n > 0 ? (size_t)n : 0;
    if (n > 0 && v->head_len < ECHO)
        return;
    snprintf(want, sizeof want, "E%030zu\n", (size_t)(v - l->visitors));
    if (n > 0 && memcmp(v->head, want, ECHO) == 0)
        answered(l, v);
    else
        lose(l, v);
}

static void payload_send(struct load *l, struct visitor *v)
{
    off_t from = 0;
    ssize_t n = sendfile(v->fd, l->payload, &from, BLOCK);
    if (n > 0)
        l->tally.bytes += (uint64_t)n;
    else if (errno != EAGAIN)
        lose(l, v);
}

static void event_take(struct load *l, struct visitor *v)
{
    if (v->state == CONNECTING)
        connected(l, v);
    else if (v->state == SENDING)
        payload_send(l, v);
    else if (l->mode == HOLD && v->state == HEADING)
        echo_read(l, v);
    else if (v->state == HEADING)
        head_read(l, v);
    else if (v->state == BODY)
        body_read(l, v);
    else if (v->state == IDLE)
        lose(l, v); /* nothing was asked: it is the end */
}

static struct visitor *asker_find(struct load *l, enum state state)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->visitors[i].state == state)
            return &l->visitors[i];
    return NULL;
}

/* One request of the schedule, by a connection that is free for it. */
static void issue(struct load *l, uint64_t due)
{
    struct visitor *v = &l->visitors[l->issued % l->count];
    if (l->mode == ASK && (l->fresh || (v = asker_find(l, IDLE)) == NULL))
        v = asker_find(l, FREE);
    l->issued++;
    l->tally.asked++;
    if (v != NULL && v->state == IDLE)
        ask(l, v, due);
    else if (v != NULL && v->state == FREE)
        dial(l, v, due);
    else {
        l->tally.late++; /* all are busy: as if it had waited in vain */
        tally_latency(&l->tally, l->patience);
    }
}

static uint64_t next_due(const struct load *l)
{
    return l->begin + (uint64_t)((double)l->issued * l->interval);
}

static void issue_due(struct load *l, uint64_t now)
{
    while (l->interval > 0 && !l->stopped && next_due(l) <= now)
        issue(l, next_due(l));
}

static void expire(struct load *l, uint64_t now)
{
    for (size_t i = 0; i < l->count && l->patience > 0; i++) {
        struct visitor *v = &l->visitors[i];
        if (under_way(v) && now - v->due > l->patience) {
            l->tally.late++;
            tally_latency(&l->tally, now - v->due); /* it waited so long at least */
            drop(l, v);
        }
    }
}

/* Streams of bulk that were lost are replaced; those of hold and stall are opened once, a few at a time. */
static void open_missing(struct load *l, uint64_t now)
{
    if (l->mode == ASK || l->stopped || now < l->retry_at)
        return;
    while (!bulk(l) && l->opened < l->count && l->tally.waiting < EAGER) {
        l->tally.asked++;
        dial(l, &l->visitors[l->opened++], tally_now());
    }
    for (size_t i = 0; i < l->count && bulk(l); i++)
        if (l->visitors[i].state == FREE)
            dial(l, &l->visitors[i], now);
    l->retry_at = bulk(l) ? now + RETRY : now;
}

static void wait_and_take(struct load *l)
{
    struct epoll_event events[EVENTS];
    uint64_t now = tally_now(), until = now + 10000;
    if (l->interval > 0 && !l->stopped && next_due(l) < until)
        until = next_due(l);
    uint64_t us = until > now ? until - now : 0;
    struct timespec wait = {.tv_sec = 0, .tv_nsec = (long)us * 1000};
    int n = epoll_pwait2(l->epoll, events, EVENTS, &wait, NULL);
    for (int i = 0; i < n; i++) {
        if (events[i].data.u64 == UINT64_MAX) {
            if (!tally_commands(&l->tally, &l->stopped))
                exit(0);
        } else {
            event_take(l, &l->visitors[events[i].data.u64]);
        }
    }
}

static void run(struct load *l, double period)
{
    l->begin = tally_now();
    for (uint64_t checked = 0;;) {
        uint64_t now = tally_now();
        open_missing(l, now);
        if (l->mode == HOLD && l->interval <= 0 && period > 0 && l->opened == l->count &&
            l->tally.waiting == 0) {
            l->interval = period / (double)l->count;
            l->begin = now;
        }
        issue_due(l, now);
        if (now - checked > 10000) {
            expire(l, now);
            checked = now;
        }
        wait_and_take(l);
    }
}

static void address_read(struct load *l, const char *text)
{
    char host[64];
    unsigned port;
    if (sscanf(text, "%63[0-9.]:%u", host, &port) != 2)
        fail_and_exit(text);
    l->to = (struct sockaddr_in){.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = inet_addr(host)};
}

static void http_request(struct load *l, const char *path)
{
    snprintf(l->request, sizeof l->request,
             "GET %s HTTP/1.1\r\nHost: bench\r\nConnection: %s\r\n\r\n", path,
             l->fresh ? "close" : "keep-alive");
}

static void prepare(struct load *l)
{
    struct epoll_event commands = {.events = EPOLLIN, .data.u64 = UINT64_MAX};
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    prctl(PR_SET_TIMERSLACK, 1000);
    if (l->mode == ASK || l->mode == HOLD)
        setpriority(PRIO_PROCESS, 0,
                    -10); /* who measures should not wait; without the right it does */
    l->epoll = epoll_create1(0);
    l->payload = memfd_create("payload", 0);
    l->visitors = calloc(l->count, sizeof *l->visitors);
    l->block = malloc(BLOCK);
    if (l->visitors == NULL || l->block == NULL || ftruncate(l->payload, BLOCK) != 0 ||
        epoll_ctl(l->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &commands) != 0)
        fail_and_exit("prepare");
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"download", "upload", "ask", "hold", "stall"};
    static const int words[] = {5, 4, 7, 5, 5};
    struct load l = {0};
    double period = 0;
    for (l.mode = DOWNLOAD; argc < 2 || strcmp(argv[1], names[l.mode]) != 0; l.mode++)
        if (argc < 2 || l.mode == STALL)
            return fputs("usage: see the head of visitors.c\n", stderr), 2;
    if (argc != words[l.mode])
        return fputs("usage: see the head of visitors.c\n", stderr), 2;
    address_read(&l, argv[2]);
    if (l.mode == ASK) {
        l.count = ASKERS;
        l.interval = 1e6 / strtod(argv[4], NULL);
        l.fresh = strcmp(argv[5], "new") == 0;
        l.patience = strtoull(argv[6], NULL, 10) * 1000;
    } else {
        l.count = strtoul(argv[l.mode == UPLOAD || l.mode == HOLD ? 3 : 4], NULL, 10);
        period = l.mode == HOLD ? strtod(argv[4], NULL) * 1000 : 0;
    }
    if (l.count == 0)
        return 2;
    http_request(&l, l.mode == UPLOAD || l.mode == HOLD ? "-" : argv[3]);
    prepare(&l);
    run(&l, period);
}
