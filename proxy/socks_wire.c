#include "proxy/socks_wire.h"

#include <string.h>

/* --- addresses --- */

enum { TYPE_IPV4 = 1, TYPE_NAME = 3, TYPE_IPV6 = 4 };

static uint8_t type_from_wire(uint8_t type)
{
    switch (type) {
    case TYPE_IPV4:
        return ADDR_IPV4;
    case TYPE_NAME:
        return ADDR_NAME;
    case TYPE_IPV6:
        return ADDR_IPV6;
    default:
        return ADDR_NONE;
    }
}

static uint8_t type_to_wire(uint8_t type)
{
    return type == ADDR_NAME ? TYPE_NAME : type == ADDR_IPV6 ? TYPE_IPV6 : TYPE_IPV4;
}

enum step socks_addr_read(struct cursor *in, struct addr *a, struct err *e)
{
    struct cursor c = *in;
    uint8_t type;
    if (!cur_u8(&c, &type))
        return STEP_MORE;
    if (type_from_wire(type) == ADDR_NONE)
        return step_fail(e, EAFNOSUPPORT, "address type %u, want 1, 3 or 4", type);
    enum step s = addr_read_host(&c, type_from_wire(type), a, e);
    if (s != STEP_DONE)
        return s;
    if (!cur_be16(&c, &a->port))
        return STEP_MORE;
    *in = c;
    return STEP_DONE;
}

enum step socks_addr_skip(struct cursor *in, struct err *e)
{
    struct cursor c = *in;
    uint8_t type, len = 4;
    if (!cur_u8(&c, &type))
        return STEP_MORE;
    if (type_from_wire(type) == ADDR_NONE)
        return step_fail(e, EAFNOSUPPORT, "address type %u, want 1, 3 or 4", type);
    if (type == TYPE_IPV6)
        len = 16;
    if ((type == TYPE_NAME && !cur_u8(&c, &len)) || !cur_skip(&c, (size_t)len + 2))
        return STEP_MORE;
    *in = c;
    return STEP_DONE;
}

void socks_addr_write(struct writer *w, const struct addr *a)
{
    static const struct addr none = {.type = ADDR_IPV4};
    if (a->type != ADDR_NAME && !addr_is_ip(a))
        a = &none;
    size_t len = a->type == ADDR_NAME ? strlen(a->name) : addr_ip_len(a);
    wr_u8(w, type_to_wire(a->type));
    if (a->type == ADDR_NAME)
        wr_u8(w, (uint8_t)len);
    wr_bytes(w, a->type == ADDR_NAME ? (const void *)a->name : a->ip, len);
    wr_be16(w, a->port);
}

/* --- replies --- */

void socks_reply_write(struct writer *w, enum socks_reply reply, const struct addr *bound)
{
    wr_u8(w, SOCKS5);
    wr_u8(w, (uint8_t)reply);
    wr_u8(w, 0);
    socks_addr_write(w, bound);
}

static const struct meaning {
    uint8_t reply;
    int code;
    const char *text;
} meanings[] = {
    {SOCKS_REFUSED, ECONNREFUSED, "connection refused"},
    {SOCKS_HOST_UNREACHABLE, EHOSTUNREACH, "host unreachable"},
    {SOCKS_NET_UNREACHABLE, ENETUNREACH, "network unreachable"},
    {SOCKS_NOT_ALLOWED, EACCES, "not allowed"},
    {SOCKS_EXPIRED, ETIMEDOUT, "time is over"},
    {SOCKS_NO_COMMAND, EOPNOTSUPP, "command not supported"},
    {SOCKS_NO_ADDRESS_TYPE, EAFNOSUPPORT, "address type not supported"},
};

enum socks_reply socks_reply_of(int code)
{
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        if (meanings[i].code == code)
            return meanings[i].reply;
    return SOCKS_FAILED;
}

int socks_reply_error(uint8_t reply, struct err *e)
{
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        if (meanings[i].reply == reply)
            return err_set(e, meanings[i].code, "the socks server says: %s", meanings[i].text);
    return err_set(e, ECONNABORTED, "the socks server says: failure %u", reply);
}

/* --- datagrams --- */

enum step socks_udp_read(struct cursor *in, struct addr *a, struct err *e)
{
    struct cursor c = *in;
    uint16_t reserved;
    uint8_t fragment;
    if (!cur_be16(&c, &reserved) || !cur_u8(&c, &fragment))
        return step_fail(e, EPROTO, "a datagram without a head");
    if (fragment)
        return step_fail(e, EPROTO, "a fragment of a datagram");
    enum step s = socks_addr_read(&c, a, e);
    if (s == STEP_DONE)
        *in = c;
    return s == STEP_MORE ? step_fail(e, EPROTO, "a datagram with half a head") : s;
}

size_t socks_udp_write(uint8_t out[SOCKS_UDP_HEAD_MAX], const struct addr *a)
{
    struct writer w = wr_of(out, SOCKS_UDP_HEAD_MAX);
    wr_bytes(&w, "\0\0", 3);
    socks_addr_write(&w, a);
    return wr_len(&w);
}

bool socks_udp_push(struct buf *b, const uint8_t *head, size_t len)
{
    if (buf_headroom(b) < len) {
        if (len + b->len > BUF_HEAD + BUF_ROOM)
            return false;
        memmove(b->mem + len, b->data, b->len);
        b->data = b->mem + len;
    }
    memcpy(buf_push(b, len), head, len);
    return true;
}
