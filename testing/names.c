#include "testing/names.h"

#include <ares.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/resolve.h"

static const char SERVER[] = "V2C_TEST_SERVER";

/* The linker sends resolve.c's call here (--wrap), so that no prototype of c-ares need be met, which is not
 * the same in all versions. */
int __real_ares_init_options(ares_channel *channel, struct ares_options *options, int mask);
int __wrap_ares_init_options(ares_channel *channel, struct ares_options *options, int mask);

int __wrap_ares_init_options(ares_channel *channel, struct ares_options *options, int mask)
{
    const char *server = getenv(SERVER);
    struct ares_options ours = *options;
    if (!server)
        return __real_ares_init_options(channel, options, mask);
    ours.timeout = 50; /* ms: the test shall not wait as long as a user */
    int result = __real_ares_init_options(channel, &ours, mask);
    return result == ARES_SUCCESS ? ares_set_servers_ports_csv(*channel, server) : result;
}

void names_open(struct names *s)
{
    struct addr at;
    char text[32];
    rig_open(&s->rig);
    s->fd = rig_udp(&at);
    snprintf(text, sizeof text, "127.0.0.1:%u", at.port);
    setenv(SERVER, text, 1);
}

void names_close(struct names *s)
{
    resolve_stop(&s->rig.loop);
    close(s->fd);
    unsetenv(SERVER);
    rig_close(&s->rig);
}

static size_t question_len(const uint8_t *query, size_t len)
{
    size_t at = 12;
    while (at < len && query[at])
        at += 1u + query[at];
    return at + 5 - 12;
}

void names_answer(struct names *s, size_t count)
{
    uint8_t query[512], out[2048];
    struct sockaddr_storage from;
    socklen_t from_len = sizeof from;
    ssize_t n = recvfrom(s->fd, query, sizeof query, 0, (struct sockaddr *)&from, &from_len);
    if (n < 17)
        return;
    size_t len = question_len(query, (size_t)n);
    bool for_a = query[12 + len - 3] == 1;
    struct writer w = wr_of(out, sizeof out);
    wr_bytes(&w, query, 2);
    wr_be16(&w, 0x8180), wr_be16(&w, 1), wr_be16(&w, for_a ? (uint16_t)count : 0), wr_be32(&w, 0);
    wr_bytes(&w, query + 12, len);
    for (size_t i = 1; for_a && i <= count; i++) {
        wr_be16(&w, 0xc00c), wr_be16(&w, 1), wr_be16(&w, 1), wr_be32(&w, 60);
        wr_be16(&w, 4), wr_be32(&w, 0x7f000000u + (uint32_t)i);
    }
    sendto(s->fd, out, wr_len(&w), 0, (struct sockaddr *)&from, from_len);
}
