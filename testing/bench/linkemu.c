/* linkemu -- a long, slow or broken link between two network namespaces of its own, for kernels without netem.
 *
 *     linkemu ADDRESS_A ADDRESS_B
 *
 * Makes both namespaces, each with a TUN device; packets of one device come out of the other as late as told.
 * Prints "ready A B", the paths of the namespaces for `nsenter --net=`; they are gone when it ends. Nothing of
 * the machine's own network is touched. 127.x.y.z works as an address.
 * Commands, a line each on standard input, whose end is the end:
 *     delay MS     one way           rate KBIT    each way, 0: unlimited; 300 ms are queued
 *     down, up     all is lost, or not
 *     cut          TCP connections of before are lost for ever, as when a router forgets them; new ones
 *                  pass. Prints "redial TIME" (monotonic us) when the first one is begun.
 * Thread: one. Needs CAP_SYS_ADMIN and CAP_NET_ADMIN. Errors end the program. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { SIDES = 2, PACKET = 65536, BATCH = 64, QUEUE_US = 300000, QUEUE_BYTES = 256 << 20 };

struct packet {
    struct packet *next;
    uint64_t due;
    size_t len;
    uint8_t data[];
};

/* What waits to leave on one side, oldest first: every packet is as late as any other. */
struct queue {
    struct packet *first, *last;
    size_t bytes;
    uint64_t busy; /* when the last byte will have passed the bottleneck */
};

struct link {
    int tun[SIDES], space[SIDES];
    struct queue queues[SIDES];
    uint64_t delay; /* us */
    double rate;    /* bytes a us, 0: unlimited */
    bool down, cut, redialled;
    bool fresh[SIDES][65536]; /* by source port: connections begun on that side after the cut */
};

static void give_up(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* --- namespaces */

static void setting(const char *path)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, "1\n", 2) != 2)
        give_up(path);
    close(fd);
}

static void address_set(int s, struct ifreq *r, unsigned long what, const char *text)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    if (inet_pton(AF_INET, text, &a.sin_addr) != 1)
        give_up(text);
    memcpy(&r->ifr_addr, &a, sizeof a);
    if (ioctl(s, what, r) != 0)
        give_up(text);
}

/* An address of its own for a device; what is not its or its peer's is not on it. Up it goes first: that gives
 * lo its usual 127.0.0.1/8, which is narrowed then. */
static void device_up(const char *name, const char *own, const char *peer)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq r = {.ifr_flags = IFF_UP};
    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    if (ioctl(s, SIOCSIFFLAGS, &r) != 0)
        give_up(name);
    address_set(s, &r, SIOCSIFADDR, own);
    if (peer != NULL)
        address_set(s, &r, SIOCSIFDSTADDR, peer);
    address_set(s, &r, SIOCSIFNETMASK, "255.255.255.255");
    close(s);
}

static void side_make(struct link *l, int side, const char *own, const char *peer)
{
    struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI, .ifr_name = "link"};
    if (unshare(CLONE_NEWNET) != 0)
        give_up("unshare");
    l->space[side] = open("/proc/self/ns/net", O_RDONLY);
    l->tun[side] = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    if (l->space[side] < 0 || l->tun[side] < 0 || ioctl(l->tun[side], TUNSETIFF, &r) != 0)
        give_up("tun");
    setting("/proc/sys/net/ipv4/conf/all/route_localnet");
    setting("/proc/sys/net/ipv4/conf/link/route_localnet");
    device_up("lo", "127.0.0.1", NULL);
    device_up("link", own, peer);
}

/* --- the link */

static bool is_lost(struct link *l, int from, const uint8_t *p, size_t len)
{
    size_t head = (size_t)(p[0] & 15) * 4;
    if (l->down)
        return true;
    if (!l->cut || len < 20 || p[0] >> 4 != 4 || p[9] != IPPROTO_TCP || len < head + 20)
        return false;
    const uint8_t *tcp = p + head;
    unsigned source = (unsigned)tcp[0] << 8 | tcp[1], target = (unsigned)tcp[2] << 8 | tcp[3];
    bool syn = (tcp[13] & 0x12) == 0x02;
    if (syn && !l->redialled) {
        printf("redial %" PRIu64 "\n", now_us());
        l->redialled = true;
    }
    l->fresh[from][source] |= syn;
    return !l->fresh[from][source] && !l->fresh[!from][target];
}

static void packet_put(struct link *l, int to, const uint8_t *data, size_t len)
{
    struct queue *q = &l->queues[to];
    uint64_t now = now_us();
    if (q->busy < now)
        q->busy = now;
    if (q->busy - now > QUEUE_US || q->bytes + len > QUEUE_BYTES)
        return;
    if (l->rate > 0)
        q->busy += (uint64_t)((double)len / l->rate);
    struct packet *p = malloc(sizeof *p + len);
    if (p == NULL)
        give_up("memory");
    *p = (struct packet){.due = q->busy + l->delay, .len = len};
    memcpy(p->data, data, len);
    if (q->first == NULL)
        q->first = p;
    else
        q->last->next = p;
    q->last = p;
    q->bytes += len;
}

static void device_read(struct link *l, int side)
{
    uint8_t data[PACKET];
    for (int i = 0; i < BATCH; i++) {
        ssize_t n = read(l->tun[side], data, sizeof data);
        if (n <= 0)
            return;
        if (!is_lost(l, side, data, (size_t)n))
            packet_put(l, !side, data, (size_t)n);
    }
}

static void due_write(struct link *l, int side, uint64_t now)
{
    struct queue *q = &l->queues[side];
    while (q->first != NULL && q->first->due <= now) {
        struct packet *p = q->first;
        /* The device drops what it cannot take, as a device does. */
        if (!is_lost(l, !side, p->data, p->len) && write(l->tun[side], p->data, p->len) < 0 &&
            errno != EAGAIN && errno != EIO && errno != ENOBUFS)
            give_up("write");
        q->first = p->next;
        q->bytes -= p->len;
        free(p);
    }
}

static void command(struct link *l, const char *line)
{
    char word[16] = "";
    double value = 0;
    sscanf(line, "%15s %lf", word, &value);
    if (strcmp(word, "delay") == 0)
        l->delay = (uint64_t)(value * 1000);
    else if (strcmp(word, "rate") == 0)
        l->rate = value / 8000;
    else if (strcmp(word, "cut") == 0) {
        memset(l->fresh, 0, sizeof l->fresh);
        l->cut = true;
        l->redialled = false;
    } else if (strcmp(word, "down") == 0 || strcmp(word, "up") == 0)
        l->down = word[0] == 'd';
    else
        fprintf(stderr, "linkemu: what is \"%s\"?\n", line);
}

static void commands_read(struct link *l)
{
    char text[256];
    ssize_t n = read(STDIN_FILENO, text, sizeof text - 1);
    if (n <= 0)
        exit(0);
    text[n] = '\0';
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL && rest != NULL;)
        command(l, line);
}

static void wait_and_move(struct link *l)
{
    struct pollfd p[] = {{.fd = l->tun[0], .events = POLLIN},
                         {.fd = l->tun[1], .events = POLLIN},
                         {.fd = STDIN_FILENO, .events = POLLIN}};
    uint64_t now = now_us(), until = now + 1000000;
    for (int i = 0; i < SIDES; i++)
        if (l->queues[i].first != NULL && l->queues[i].first->due < until)
            until = l->queues[i].first->due;
    uint64_t us = until > now ? until - now : 0;
    struct timespec wait = {.tv_sec = (time_t)(us / 1000000),
                            .tv_nsec = (long)(us % 1000000) * 1000};
    ppoll(p, 3, &wait, NULL);
    if (p[2].revents != 0)
        commands_read(l);
    for (int i = 0; i < SIDES; i++)
        if ((p[i].revents & POLLIN) != 0)
            device_read(l, i);
    for (int i = 0; i < SIDES; i++)
        due_write(l, i, now_us());
}

int main(int argc, char **argv)
{
    struct link *l = calloc(1, sizeof *l);
    if (argc != 3 || l == NULL) {
        fprintf(stderr, "usage: linkemu ADDRESS_A ADDRESS_B\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    side_make(l, 0, argv[1], argv[2]);
    side_make(l, 1, argv[2], argv[1]);
    printf("ready /proc/%d/fd/%d /proc/%d/fd/%d\n", getpid(), l->space[0], getpid(), l->space[1]);
    for (;;)
        wait_and_move(l);
}
