#include "testing/integrity/datagram.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEAD = 48, SUM = 16, SUM_AT = 32, SIZE_MAX_UDP = 16384 };

static const double INTERVAL = 0.02;

static void datagram_sum(const uint8_t *d, size_t len, uint8_t out[SUM])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, SUM);
    crypto_generichash_update(&state, d, SUM_AT);
    crypto_generichash_update(&state, d + HEAD, len - HEAD);
    crypto_generichash_final(&state, out, SUM);
}

static bool datagram_valid(const uint8_t *d, size_t len, enum way_direction direction)
{
    uint8_t sum[SUM];
    if (len < HEAD || memcmp(d, "v2cd", 4) != 0 || d[4] != direction)
        return false;
    datagram_sum(d, len, sum);
    return memcmp(sum, d + SUM_AT, SUM) == 0;
}

static int udp_socket(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t len = sizeof a;
    int size = 4 << 20, fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(fd, (struct sockaddr *)&a, len) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        return -1;
    *port = ntohs(a.sin_port);
    return fd;
}

bool datagram_origin_start(struct datagram_origin *o, uint16_t *port)
{
    o->fd = udp_socket(port);
    return o->fd >= 0;
}

static void count_wrong(struct tally *t, uint64_t stream, enum outcome o, const char *text)
{
    struct failure f = {.outcome = o, .stream = stream, .opened = seconds_now()};
    f.ended = f.opened;
    tally_end(t, &f, "datagram: %s", text);
}

void datagram_origin_read(struct datagram_origin *o, struct tally *t)
{
    uint8_t d[65536];
    struct sockaddr_storage from;
    for (;;) {
        socklen_t len = sizeof from;
        ssize_t n = recvfrom(o->fd, d, sizeof d, 0, (struct sockaddr *)&from, &len);
        if (n < 0)
            return;
        t->got++;
        if (!datagram_valid(d, (size_t)n, WAY_UP)) {
            count_wrong(t, 0, OUT_CORRUPT, "not valid at the origin");
            continue;
        }
        t->bytes += (uint64_t)n;
        d[4] = WAY_DOWN;
        datagram_sum(d, (size_t)n, d + SUM_AT);
        t->sent += sendto(o->fd, d, (size_t)n, 0, (struct sockaddr *)&from, len) == n;
    }
}

bool datagram_client_start(struct datagram_client *c, size_t count, size_t max_size, uint16_t port,
                           uint64_t run, uint64_t seed)
{
    *c = (struct datagram_client){.count = count, .max_size = max_size, .run = run, .random = seed};
    c->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    c->to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (c->max_size < HEAD || c->max_size > SIZE_MAX_UDP)
        return false;
    c->flows = calloc(count + 1, sizeof *c->flows);
    for (size_t i = 0; c->flows && i < count; i++) {
        uint16_t any = 0;
        c->flows[i].fd = udp_socket(&any);
        if (c->flows[i].fd < 0)
            return false;
    }
    return c->flows != NULL;
}

static void flow_send(struct datagram_client *c, size_t index, struct tally *t)
{
    uint8_t d[SIZE_MAX_UDP];
    struct datagram_flow *f = &c->flows[index];
    size_t len = HEAD + mix_below(&c->random, c->max_size - HEAD + 1);
    memset(d, 0, HEAD);
    memcpy(d, "v2cd", 4);
    d[4] = WAY_UP;
    put_le64(d + 8, c->run);
    put_le64(d + 16, index);
    put_le64(d + 24, ++f->sent);
    memset(d + HEAD, (int)(mix_next(&c->random) & 0xff), len - HEAD);
    datagram_sum(d, len, d + SUM_AT);
    if (sendto(f->fd, d, len, 0, (struct sockaddr *)&c->to, sizeof c->to) == (ssize_t)len)
        t->sent++;
}

/* False when this number came before. */
static bool flow_notes(struct datagram_flow *f, uint64_t number)
{
    if (number > f->last) {
        uint64_t ahead = number - f->last;
        f->seen = ahead < 64 ? f->seen << ahead | 1 : 1;
        f->last = number;
        return true;
    }
    uint64_t behind = f->last - number;
    if (behind >= 64)
        return true; /* too old to know */
    bool fresh = !(f->seen >> behind & 1);
    f->seen |= (uint64_t)1 << behind;
    return fresh;
}

static void flow_read(struct datagram_client *c, size_t index, struct tally *t)
{
    uint8_t d[65536];
    struct datagram_flow *f = &c->flows[index];
    ssize_t n;
    while ((n = recv(f->fd, d, sizeof d, 0)) >= 0) {
        f->got++;
        t->got++;
        if (!datagram_valid(d, (size_t)n, WAY_DOWN)) {
            count_wrong(t, index, OUT_CORRUPT, "not valid at the client");
            continue;
        }
        if (get_le64(d + 8) != c->run || get_le64(d + 16) != index) {
            count_wrong(t, index, OUT_CROSSTALK, "another flow's");
            continue;
        }
        t->bytes += (uint64_t)n;
        t->doubled += !flow_notes(f, get_le64(d + 24));
    }
}

void datagram_client_step(struct datagram_client *c, struct tally *t, double now, bool sending)
{
    bool due = sending && now >= c->next;
    if (due)
        c->next = now + INTERVAL;
    for (size_t i = 0; i < c->count; i++) {
        if (due)
            flow_send(c, i, t);
        flow_read(c, i, t);
    }
}

void datagram_client_fini(struct datagram_client *c, struct tally *t)
{
    for (size_t i = 0; c->flows && i < c->count; i++) {
        t->lost += c->flows[i].sent > c->flows[i].got ? c->flows[i].sent - c->flows[i].got : 0;
        close(c->flows[i].fd);
    }
    free(c->flows);
}
