/* origin -- the server behind the tunnel where nginx is too much: it swallows or echoes.
 *
 *     origin ADDRESS PORT
 *
 * The first byte of a connection decides: after 'D' all is dropped and counted, else all comes back, that
 * byte too. Commands and counts: tally.h. Thread: one. */
#include "testing/bench/tally.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BLOCK = 1 << 20, EVENTS = 256, BACKLOG = 4096, DESCRIPTORS = 1 << 20 };
enum mode { MODE_NEW, MODE_DROP, MODE_ECHO };

/* Echoed bytes that found no room: until they have left, nothing more is read from that connection. */
struct rest {
    uint8_t *data;
    size_t at, len;
};

struct origin {
    int epoll, listener;
    struct tally tally;
    uint8_t *modes; /* by descriptor */
    struct rest *rests;
    uint8_t *block;
};

static void watch(struct origin *o, int how, int fd, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.fd = fd};
    if (epoll_ctl(o->epoll, how, fd, &e) != 0)
        fail_and_exit("epoll_ctl");
}

static void end(struct origin *o, int fd)
{
    free(o->rests[fd].data);
    o->rests[fd] = (struct rest){0};
    o->modes[fd] = MODE_NEW;
    o->tally.open--;
    close(fd);
}

static void accept_all(struct origin *o)
{
    int fd, on = 1;
    while ((fd = accept4(o->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= DESCRIPTORS)
            fail_and_exit("too many");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        o->tally.open++;
        watch(o, EPOLL_CTL_ADD, fd, EPOLLIN);
    }
}

static void echo(struct origin *o, int fd, const uint8_t *data, size_t len)
{
    ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        end(o, fd);
        return;
    }
    size_t sent = n > 0 ? (size_t)n : 0;
    if (sent == len)
        return;
    struct rest *r = &o->rests[fd];
    *r = (struct rest){.data = malloc(len - sent), .len = len - sent};
    if (r->data == NULL)
        fail_and_exit("memory");
    for (size_t i = 0; i < r->len; i++)
        r->data[i] = data[sent + i];
    watch(o, EPOLL_CTL_MOD, fd, EPOLLOUT);
}

static void serve(struct origin *o, int fd)
{
    bool drop = o->modes[fd] == MODE_DROP;
    ssize_t n =
        recv(fd, o->block, BLOCK, drop ? MSG_TRUNC : 0); /* TRUNC: the kernel throws it away */
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        end(o, fd);
        return;
    }
    if (o->modes[fd] == MODE_NEW)
        o->modes[fd] = o->block[0] == 'D' ? MODE_DROP : MODE_ECHO;
    o->tally.bytes += (uint64_t)n;
    if (o->modes[fd] == MODE_ECHO)
        echo(o, fd, o->block, (size_t)n);
}

static void drain(struct origin *o, int fd)
{
    struct rest *r = &o->rests[fd];
    ssize_t n = send(fd, r->data + r->at, r->len - r->at, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        end(o, fd);
        return;
    }
    r->at += n > 0 ? (size_t)n : 0;
    if (r->at < r->len)
        return;
    free(r->data);
    *r = (struct rest){0};
    watch(o, EPOLL_CTL_MOD, fd, EPOLLIN);
}

static int listen_at(const char *address, const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                             .sin_addr.s_addr = inet_addr(address)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, BACKLOG) != 0)
        fail_and_exit("listen");
    return fd;
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS];
    struct origin o = {.epoll = epoll_create1(0)};
    bool stopped = false;
    if (argc != 3) {
        fprintf(stderr, "usage: origin ADDRESS PORT\n");
        return 2;
    }
    o.modes = calloc(DESCRIPTORS, 1);
    o.rests = calloc(DESCRIPTORS, sizeof *o.rests);
    o.block = malloc(BLOCK);
    if (o.modes == NULL || o.rests == NULL || o.block == NULL)
        fail_and_exit("memory");
    o.listener = listen_at(argv[1], argv[2]);
    watch(&o, EPOLL_CTL_ADD, o.listener, EPOLLIN);
    watch(&o, EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN);
    for (;;) {
        int n = epoll_wait(o.epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == o.listener)
                accept_all(&o);
            else if (fd == STDIN_FILENO && !tally_commands(&o.tally, &stopped))
                return 0;
            else if (fd != STDIN_FILENO && o.rests[fd].data != NULL)
                drain(&o, fd);
            else if (fd != STDIN_FILENO)
                serve(&o, fd);
        }
    }
}
