#include "transport/ask.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 64 * 1024 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int wait_for(int fd, short events, double until, struct err *e)
{
    struct pollfd p = {.fd = fd, .events = events};
    double left = until - now();
    int n = left > 0 ? poll(&p, 1, (int)(left * 1000) + 1) : 0;
    if (n == 0)
        return err_set(e, ETIMEDOUT, "no answer in time");
    return n < 0 && errno != EINTR ? err_sys(e, "poll") : 0;
}

static int ask_connect(int fd, const struct addr *to, double until, struct err *e)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(to, &ss), size = sizeof(int);
    int error = 0;
    if (connect(fd, (struct sockaddr *)&ss, len) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return err_sys(e, "connect");
    if (wait_for(fd, POLLOUT, until, e) < 0)
        return -1;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0)
        return 0;
    errno = error;
    return err_sys(e, "connect");
}

static int ask_send(int fd, const char *question, size_t len, double until, struct err *e)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(fd, question + sent, len - sent, MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        else if (n < 0 && errno != EAGAIN && errno != EINTR)
            return err_sys(e, "send");
        else if (wait_for(fd, POLLOUT, until, e) < 0)
            return -1;
    }
    return 0;
}

/* 1: it has ended; 0: it goes on. */
static int ask_more(int fd, char **answer, size_t *len, double until, struct err *e)
{
    if (*len > ASK_MAX)
        return err_set(e, EMSGSIZE, "the answer is longer than %d bytes", ASK_MAX);
    char *more = realloc(*answer, *len + PIECE + 1);
    if (!more)
        return err_set(e, ENOMEM, "out of memory");
    *answer = more;
    ssize_t n = recv(fd, more + *len, PIECE, 0);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return err_sys(e, "read");
    if (n < 0)
        return wait_for(fd, POLLIN, until, e);
    *len += (size_t)n;
    more[*len] = '\0';
    return n == 0;
}

static int ask_read(int fd, char **answer, size_t *len, double until, struct err *e)
{
    int ended = 0;
    *answer = NULL;
    *len = 0;
    while (ended == 0)
        ended = ask_more(fd, answer, len, until, e);
    if (ended > 0)
        return 0;
    free(*answer);
    *answer = NULL;
    return -1;
}

int ask(const struct addr *to, const char *question, size_t len, double seconds, char **answer,
        size_t *answer_len, struct err *e)
{
    struct sockaddr_storage ss;
    char text[ADDR_TEXT_MAX];
    double until = now() + seconds;
    addr_to_sockaddr(to, &ss);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(e, "socket");
    int result = -1;
    if (ask_connect(fd, to, until, e) == 0 && ask_send(fd, question, len, until, e) == 0)
        result = ask_read(fd, answer, answer_len, until, e);
    close(fd);
    return result < 0 ? err_wrap(e, "%s", addr_text(to, text)) : 0;
}
