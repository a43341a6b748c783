#include "transport/proxy_in.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "transport/stream.h"

enum {
    V1_MAX = 107, /* bytes of a line, with its CRLF */
    V2_IPV4 = 12, /* bytes of two addresses with their ports */
    V2_IPV6 = 36,
};

static const uint8_t signature[12] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                      '\n', 'Q',  'U',  'I',  'T', '\n'};

/* --- writing --- */

/* As 16 bytes, for a header whose other address is IPv6. */
static void ip_widened(const struct addr *a, uint8_t ip[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    bool v4 = a->type == ADDR_IPV4;
    memset(ip, 0, 16);
    if (v4)
        memcpy(ip, mapped, sizeof mapped);
    if (addr_is_ip(a))
        memcpy(ip + (v4 ? sizeof mapped : 0), a->ip, addr_ip_len(a));
}

static bool is_ipv4(const struct addr *source, const struct addr *dest)
{
    return source->type == ADDR_IPV4 && dest->type != ADDR_IPV6;
}

static const char *ip_text(const struct addr *a, bool v4, char out[ADDR_TEXT_MAX])
{
    if (!addr_is_ip(a))
        return v4 ? "0.0.0.0" : "::";
    if (v4 || a->type == ADDR_IPV6)
        return addr_host_text(a, out);
    snprintf(out, ADDR_TEXT_MAX, "::ffff:%u.%u.%u.%u", a->ip[0], a->ip[1], a->ip[2], a->ip[3]);
    return out;
}

static size_t v1_write(uint8_t out[PROXY_HEADER_MAX], const struct addr *source,
                       const struct addr *dest)
{
    char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];
    bool v4 = is_ipv4(source, dest);
    if (!addr_is_ip(source))
        return (size_t)snprintf((char *)out, PROXY_HEADER_MAX, "PROXY UNKNOWN\r\n");
    return (size_t)snprintf((char *)out, PROXY_HEADER_MAX, "PROXY TCP%d %s %s %u %u\r\n",
                            v4 ? 4 : 6, ip_text(source, v4, from), ip_text(dest, v4, to),
                            source->port, dest->port);
}

static void v2_write_ips(struct writer *w, const struct addr *source, const struct addr *dest,
                         bool v4)
{
    uint8_t ip[16];
    ip_widened(source, ip);
    wr_bytes(w, v4 ? ip + 12 : ip, v4 ? 4 : 16);
    ip_widened(dest, ip);
    wr_bytes(w, v4 ? ip + 12 : ip, v4 ? 4 : 16);
}

static size_t v2_write(uint8_t out[PROXY_HEADER_MAX], const struct addr *source,
                       const struct addr *dest)
{
    struct writer w = wr_of(out, PROXY_HEADER_MAX);
    bool known = addr_is_ip(source), v4 = is_ipv4(source, dest);
    wr_bytes(&w, signature, sizeof signature);
    wr_u8(&w, known ? 0x21 : 0x20);            /* PROXY, else LOCAL */
    wr_u8(&w, known ? (v4 ? 0x11 : 0x21) : 0); /* TCP over IPv4, IPv6 */
    wr_be16(&w, known ? (v4 ? V2_IPV4 : V2_IPV6) : 0);
    if (known) {
        v2_write_ips(&w, source, dest, v4);
        wr_be16(&w, source->port);
        wr_be16(&w, dest->port);
    }
    return wr_len(&w);
}

size_t proxy_header_write(uint8_t out[PROXY_HEADER_MAX], int version, const struct addr *source,
                          const struct addr *dest)
{
    return version == 1 ? v1_write(out, source, dest) : v2_write(out, source, dest);
}

/* --- reading --- */

/* The next word of a line and the one space behind it, which the last one has not. */
static bool v1_word(struct cursor *line, struct cursor *word)
{
    const uint8_t *space = memchr(line->p, ' ', cur_left(line));
    size_t len = space ? (size_t)(space - line->p) : cur_left(line);
    return cur_sub(line, len, word) && len > 0 && (!space || cur_skip(line, 1));
}

/* Of the family that the line says, and nothing around it that a reader of configurations would pass over. */
static bool v1_ip(struct cursor *line, bool v6, struct addr *a)
{
    struct cursor word;
    struct err ignored;
    if (!v1_word(line, &word) || (memchr(word.p, ':', cur_left(&word)) != NULL) != v6)
        return false;
    for (const uint8_t *p = word.p; p < word.end; p++)
        if (*p != '.' && *p != ':' && !isxdigit(*p))
            return false;
    return addr_parse_host(a, (const char *)word.p, cur_left(&word), &ignored) == 0 &&
           addr_is_ip(a);
}

static bool v1_port(struct cursor *line, struct addr *a)
{
    struct cursor word;
    unsigned port = 0;
    uint8_t c;
    if (!v1_word(line, &word) || cur_left(&word) > 5)
        return false;
    while (cur_u8(&word, &c)) {
        if (c < '0' || c > '9')
            return false;
        port = port * 10 + (unsigned)(c - '0');
    }
    a->port = (uint16_t)port;
    return port <= UINT16_MAX;
}

static bool word_is(const struct cursor *word, const char *text)
{
    return cur_left(word) == strlen(text) && memcmp(word->p, text, strlen(text)) == 0;
}

/* line: what stands between "PROXY " and the CRLF. */
static bool v1_line(struct cursor line, struct proxy_header *h)
{
    struct cursor word;
    if (!v1_word(&line, &word))
        return false;
    if (word_is(&word, "UNKNOWN"))
        return true;
    h->told = true;
    bool v6 = word_is(&word, "TCP6");
    return (v6 || word_is(&word, "TCP4")) && v1_ip(&line, v6, &h->source) &&
           v1_ip(&line, v6, &h->dest) && v1_port(&line, &h->source) && v1_port(&line, &h->dest) &&
           cur_left(&line) == 0 && line.end[-1] != ' ';
}

static enum step v1_read(struct cursor *in, struct proxy_header *h, struct err *e)
{
    static const char prefix[] = "PROXY ";
    size_t left = cur_left(in), most = left < V1_MAX ? left : V1_MAX;
    const uint8_t *feed = memchr(in->p, '\n', most);
    if (!feed)
        return most == V1_MAX ? step_fail(e, EPROTO, "a line of more than %d bytes", V1_MAX)
                              : STEP_MORE;
    struct cursor line = {in->p + sizeof prefix - 1, feed - 1};
    if (line.end < line.p || *line.end != '\r' || !v1_line(line, h))
        return step_fail(e, EPROTO, "a line that is not valid");
    in->p = feed + 1;
    return STEP_DONE;
}

static enum step v2_ips(struct cursor *in, uint8_t type, struct proxy_header *h)
{
    struct cursor source, dest;
    size_t len = type == ADDR_IPV4 ? 4 : 16;
    if (!cur_sub(in, len, &source) || !cur_sub(in, len, &dest) || cur_left(in) < 4)
        return STEP_MORE;
    addr_from_ip(&h->source, source.p, len);
    addr_from_ip(&h->dest, dest.p, len);
    cur_be16(in, &h->source.port);
    cur_be16(in, &h->dest.port);
    h->told = true;
    h->skip = (uint16_t)(h->skip - (2 * len + 4));
    return STEP_DONE;
}

static enum step v2_read(struct cursor *in, struct proxy_header *h, struct err *e)
{
    struct cursor c = *in;
    uint8_t command, family;
    if (!cur_skip(&c, sizeof signature) || !cur_u8(&c, &command) || !cur_u8(&c, &family) ||
        !cur_be16(&c, &h->skip))
        return STEP_MORE;
    if (command != 0x20 && command != 0x21)
        return step_fail(e, EPROTO, "version and command 0x%02x", command);
    enum step s = STEP_DONE;
    uint8_t type = family >> 4 == 1 ? ADDR_IPV4 : family >> 4 == 2 ? ADDR_IPV6 : ADDR_NONE;
    if (command == 0x21 && type != ADDR_NONE) {
        if (h->skip < (type == ADDR_IPV4 ? V2_IPV4 : V2_IPV6))
            return step_fail(e, EPROTO, "%u bytes of addresses", h->skip);
        s = v2_ips(&c, type, h);
    }
    if (s == STEP_DONE)
        *in = c;
    return s;
}

/* So many bytes as there are begin like this. */
static bool begins(const struct cursor *in, const void *with, size_t len)
{
    size_t left = cur_left(in);
    return memcmp(in->p, with, left < len ? left : len) == 0;
}

enum step proxy_header_read(struct cursor *in, struct proxy_header *h, struct err *e)
{
    *h = (struct proxy_header){0};
    if (begins(in, signature, sizeof signature))
        return v2_read(in, h, e);
    if (begins(in, "PROXY ", 6))
        return v1_read(in, h, e);
    return step_fail(e, EPROTO, "no header");
}

/* --- the layer --- */

struct proxy_in {
    struct layer layer;
    size_t len; /* of a header that is not whole */
    size_t skip;
    bool whole;
    uint8_t got[PROXY_HEADER_MAX];
};

/* What follows the header stays in the socket, and the layer has nothing to do with it. */
static ssize_t proxy_in_peek(struct proxy_in *p)
{
    ssize_t n = recv(p->layer.stream->fd, p->got + p->len, sizeof p->got - p->len, MSG_PEEK);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? STREAM_AGAIN : STREAM_ERROR;
    return n;
}

static enum step proxy_in_head(struct proxy_in *p, struct err *e)
{
    struct proxy_header h;
    ssize_t n = proxy_in_peek(p);
    if (n == STREAM_AGAIN)
        return STEP_MORE;
    if (n == STREAM_ERROR)
        return err_sys(e, "PROXY header"), STEP_FAIL;
    if (n == 0)
        return step_fail(e, ECONNRESET, "PROXY header: the connection ended before it");
    size_t before = p->len, len = before + (size_t)n;
    struct cursor c = cur_of(p->got, len);
    enum step s = proxy_header_read(&c, &h, e);
    if (s == STEP_FAIL)
        return err_wrap(e, "PROXY header"), STEP_FAIL;
    p->len = s == STEP_DONE ? len - cur_left(&c) : len;
    below_read(&p->layer, p->got + before, p->len - before);
    p->whole = s == STEP_DONE;
    p->skip = h.skip;
    if (p->whole && h.told)
        layer_tell_source(&p->layer, &h.source);
    return s;
}

static enum step proxy_in_skip(struct proxy_in *p, struct err *e)
{
    while (p->skip) {
        size_t len = p->skip < sizeof p->got ? p->skip : sizeof p->got;
        ssize_t n = below_read(&p->layer, p->got, len);
        if (n == STREAM_AGAIN)
            return STEP_MORE;
        if (n <= 0)
            return step_fail(e, ECONNRESET, "PROXY header: the connection ended within it");
        p->skip -= (size_t)n;
    }
    return STEP_DONE;
}

static enum step proxy_in_shake(struct layer *l, struct err *e)
{
    struct proxy_in *p = container_of(l, struct proxy_in, layer);
    enum step s = STEP_DONE;
    while (!p->whole && s == STEP_DONE)
        s = proxy_in_head(p, e);
    if (s == STEP_DONE)
        s = proxy_in_skip(p, e);
    l->wants_read = true;
    return s;
}

/* Then it is not in the way. */
static ssize_t proxy_in_readv(struct layer *l, struct iovec *iov, int count)
{
    return below_readv(l, iov, count);
}

static ssize_t proxy_in_writev(struct layer *l, struct iovec *iov, int count)
{
    return below_writev(l, iov, count);
}

static void proxy_in_free(struct layer *l, bool well)
{
    (void)well;
    free(container_of(l, struct proxy_in, layer));
}

static const struct layer_ops proxy_in_ops = {
    .shake = proxy_in_shake,
    .readv = proxy_in_readv,
    .writev = proxy_in_writev,
    .free = proxy_in_free,
};

struct layer *proxy_in_new(void)
{
    struct proxy_in *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->layer.ops = &proxy_in_ops;
    return &p->layer;
}
