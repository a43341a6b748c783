#include "proxy/dns_asked.h"

#include <string.h>

enum {
    ANSWER = 0x8000,          /* flags: it is one, */
    OPCODE = 0x7800,          /* what is asked: 0, a question, */
    WANTS_RECURSION = 0x0100, /* repeated in the answer, */
    RECURSION = 0x0080,       /* which is to be had, */
    SERVFAIL = 2,             /* and why there is none */
    CLASS_IN = 1,
    LABEL_MAX = 63,
    NAME_AT = 0xc000 | DNS_HEADER, /* a pointer to the question's name */
};

static bool is_host_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static bool label_read(struct cursor *in, uint8_t len, char *to)
{
    if (!cur_bytes(in, to, len))
        return false;
    for (uint8_t i = 0; i < len; i++)
        if (!is_host_byte((uint8_t)to[i]))
            return false;
    return true;
}

/* False also for the root, and for pointers, which a question need not have. */
static bool name_read(struct cursor *in, char name[ADDR_NAME_MAX + 1])
{
    size_t at = 0;
    uint8_t len;
    while (cur_u8(in, &len) && len) {
        if (len > LABEL_MAX || at + len + 1 > ADDR_NAME_MAX || !label_read(in, len, name + at))
            return false;
        at += len;
        name[at++] = '.';
    }
    if (at == 0 || len != 0)
        return false;
    name[at - 1] = '\0';
    return true;
}

static bool question_keep(struct dns_asked *q, struct cursor from, const struct cursor *to)
{
    q->question_len = cur_left(&from) - cur_left(to);
    return q->question_len <= sizeof q->question && cur_bytes(&from, q->question, q->question_len);
}

bool dns_asked_read(struct cursor in, struct dns_asked *q)
{
    uint16_t questions, answers, authorities, class;
    if (!cur_be16(&in, &q->id) || !cur_be16(&in, &q->flags) || !cur_be16(&in, &questions) ||
        !cur_be16(&in, &answers) || !cur_be16(&in, &authorities) || !cur_skip(&in, 2))
        return false;
    if (q->flags & (ANSWER | OPCODE) || questions != 1 || answers || authorities)
        return false;
    struct cursor from = in;
    if (!name_read(&in, q->name) || !cur_be16(&in, &q->type) || !cur_be16(&in, &class))
        return false;
    bool wanted = q->type == DNS_ASKED_A || q->type == DNS_ASKED_AAAA;
    return wanted && class == CLASS_IN && question_keep(q, from, &in);
}

static bool is_asked_for(const struct dns_asked *q, const struct addr *ip)
{
    return ip->type == (q->type == DNS_ASKED_A ? ADDR_IPV4 : ADDR_IPV6);
}

size_t dns_asked_answer(const struct dns_asked *q, const struct addr *ips, size_t count,
                        bool failed, uint8_t out[DNS_ASKED_ANSWER])
{
    struct writer w = wr_of(out, DNS_ASKED_ANSWER);
    uint16_t answers = 0;
    for (size_t i = 0; i < count; i++)
        answers += is_asked_for(q, &ips[i]);
    wr_be16(&w, q->id);
    wr_be16(&w, (uint16_t)(ANSWER | RECURSION | (q->flags & WANTS_RECURSION) |
                           (failed ? SERVFAIL : 0)));
    wr_be16(&w, 1);
    wr_be16(&w, answers);
    wr_be32(&w, 0);
    wr_bytes(&w, q->question, q->question_len);
    for (size_t i = 0; i < count; i++) {
        if (!is_asked_for(q, &ips[i]))
            continue;
        wr_be16(&w, NAME_AT);
        wr_be16(&w, q->type);
        wr_be16(&w, CLASS_IN);
        wr_be32(&w, DNS_ASKED_TTL);
        wr_be16(&w, (uint16_t)addr_ip_len(&ips[i]));
        wr_bytes(&w, ips[i].ip, addr_ip_len(&ips[i]));
    }
    return wr_len(&w);
}
