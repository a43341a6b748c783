#include "transport/dns_message.h"

#include <ctype.h>
#include <netinet/in.h>
#include <sodium.h>

enum {
    CLASS_IN = 1,
    TYPE_A = 1,
    TYPE_CNAME = 5,
    TYPE_SOA = 6,
    TYPE_AAAA = 28,
    TYPE_OPT = 41,
    FLAG_ANSWER = 0x8000,
    FLAG_RECURSE = 0x0100,
    RCODE = 0x000f,
    RCODE_NAME = 3, /* no such name */
    LABEL_MAX = 63,
    POINTER = 0xc0,
    POINTERS_MAX = 32,
    RECORDS_MAX = 256, /* that are looked at */
    UDP_MAX = 1232,    /* bytes of an answer that pass everywhere unfragmented */
    OPTION_SUBNET = 8,
    SUBNET_IPV4 = 24, /* bits of the client's address that are told */
    SUBNET_IPV6 = 96,
};

/* --- names --- */

/* Random bits turn letters into capitals. */
static void mix_case(struct dns_name *n)
{
    uint8_t bits[DNS_NAME_WIRE];
    randombytes_buf(bits, sizeof bits);
    for (size_t at = 0, left = 0; at < n->len; at++) {
        if (left == 0)
            left = n->wire[at] + 1u;
        else if (bits[at] & 1)
            n->wire[at] = (uint8_t)toupper(n->wire[at]);
        left--;
    }
}

static int name_write(struct dns_name *n, const char *text, struct err *e)
{
    struct writer w = wr_of(n->wire, sizeof n->wire);
    for (const char *label = text, *dot; *label; label = *dot ? dot + 1 : dot) {
        dot = strchrnul(label, '.');
        size_t len = (size_t)(dot - label);
        if (len == 0 || len > LABEL_MAX)
            return err_set(e, EINVAL, "no name that can be looked up");
        wr_u8(&w, (uint8_t)len);
        wr_bytes(&w, label, len);
    }
    wr_u8(&w, 0);
    n->len = (uint8_t)wr_len(&w);
    return w.overflow || n->len < 2 ? err_set(e, EINVAL, "no name that can be looked up") : 0;
}

/* The name at *in, which may go on elsewhere in the message, further and further to its front. */
static bool name_read(const struct cursor *whole, struct cursor *in, struct dns_name *n)
{
    struct cursor at = *in;
    struct writer w = wr_of(n->wire, sizeof n->wire);
    uint8_t len, low;
    unsigned jumps = 0;
    while (cur_u8(&at, &len)) {
        if (len >= POINTER) {
            const uint8_t *here = at.p - 1;
            if (!cur_u8(&at, &low) || ++jumps > POINTERS_MAX)
                return false;
            if (jumps == 1)
                *in = at;
            at = *whole;
            if (!cur_skip(&at, (size_t)(len & ~POINTER) << 8 | low) || at.p >= here)
                return false;
            continue;
        }
        wr_u8(&w, len);
        if (len > LABEL_MAX || cur_left(&at) < len)
            return false;
        wr_bytes(&w, at.p, len);
        cur_skip(&at, len);
        if (len > 0)
            continue;
        if (jumps == 0)
            *in = at;
        n->len = (uint8_t)wr_len(&w);
        return !w.overflow;
    }
    return false;
}

static bool name_equal(const struct dns_name *a, const struct dns_name *b)
{
    if (a->len != b->len)
        return false;
    for (size_t i = 0; i < a->len; i++)
        if (tolower(a->wire[i]) != tolower(b->wire[i]))
            return false;
    return true;
}

/* --- questions --- */

static uint16_t type_of(unsigned family)
{
    return family == DNS_A ? TYPE_A : TYPE_AAAA;
}

int dns_question_init(struct dns_question *q, const char *name, unsigned family, bool mixed,
                      struct err *e)
{
    *q = (struct dns_question){.family = family, .mixed = mixed};
    if (name_write(&q->name, name, e) < 0)
        return -1;
    if (mixed)
        mix_case(&q->name);
    return 0;
}

static void subnet_write(const struct addr *client, struct writer *w)
{
    bool v4 = client->type == ADDR_IPV4;
    uint8_t bits = v4 ? SUBNET_IPV4 : SUBNET_IPV6;
    uint16_t len = (uint16_t)(bits / 8);
    wr_u8(w, 0), wr_be16(w, TYPE_OPT), wr_be16(w, UDP_MAX), wr_be32(w, 0);
    wr_be16(w, (uint16_t)(8 + len));
    wr_be16(w, OPTION_SUBNET), wr_be16(w, (uint16_t)(4 + len));
    wr_be16(w, v4 ? 1 : 2), wr_u8(w, bits), wr_u8(w, 0);
    wr_bytes(w, client->ip, len);
}

void dns_question_write(const struct dns_question *q, uint16_t id, const struct addr *client,
                        struct writer *w)
{
    bool tells = client->type != ADDR_NONE;
    wr_be16(w, id), wr_be16(w, FLAG_RECURSE);
    wr_be16(w, 1), wr_be16(w, 0), wr_be16(w, 0), wr_be16(w, tells);
    wr_bytes(w, q->name.wire, q->name.len);
    wr_be16(w, type_of(q->family)), wr_be16(w, CLASS_IN);
    if (tells)
        subnet_write(client, w);
}

/* --- answers --- */

struct head {
    uint16_t flags, questions, answers, authorities;
};

struct record {
    struct dns_name owner;
    uint16_t type;
    uint32_t ttl;
    struct cursor data;
};

static bool head_read(struct cursor *in, struct head *h)
{
    uint16_t id, others;
    return cur_be16(in, &id) && cur_be16(in, &h->flags) && cur_be16(in, &h->questions) &&
           cur_be16(in, &h->answers) && cur_be16(in, &h->authorities) && cur_be16(in, &others);
}

/* A record of another class has type 0. */
static bool record_read(const struct cursor *whole, struct cursor *in, struct record *r)
{
    uint16_t class, len;
    if (!name_read(whole, in, &r->owner) || !cur_be16(in, &r->type) || !cur_be16(in, &class) ||
        !cur_be32(in, &r->ttl) || !cur_be16(in, &len) || !cur_sub(in, len, &r->data))
        return false;
    if (class != CLASS_IN)
        r->type = 0;
    if (r->ttl > INT32_MAX) /* RFC 2181: as if it was 0 */
        r->ttl = 0;
    return true;
}

static void lower_ttl(struct dns_records *out, uint32_t ttl)
{
    out->ttl = out->ttl < ttl ? out->ttl : ttl;
}

/* What an answer holds, and for whom we look. */
struct answer {
    struct cursor whole, records;
    size_t count;
    uint16_t type;
    struct dns_name name;
};

/* True: the name is another one's alias, which takes its place. */
static bool answer_follow(struct answer *a, struct dns_records *out)
{
    struct cursor in = a->records;
    struct record r;
    for (size_t i = 0; i < a->count && record_read(&a->whole, &in, &r); i++) {
        struct dns_name target;
        if (r.type != TYPE_CNAME || !name_equal(&r.owner, &a->name) ||
            !name_read(&a->whole, &r.data, &target))
            continue;
        a->name = target;
        lower_ttl(out, r.ttl);
        return true;
    }
    return false;
}

/* By way of a sockaddr, so that an IPv4 address in IPv6's clothes is one everywhere. */
static bool ip_read(struct record *r, struct addr *ip)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    bool v4 = r->type == TYPE_A;
    size_t len = v4 ? sizeof in.sin_addr : sizeof in6.sin6_addr;
    if (cur_left(&r->data) != len)
        return false;
    cur_bytes(&r->data, v4 ? (void *)&in.sin_addr : (void *)&in6.sin6_addr, len);
    addr_from_sockaddr(ip, v4 ? (struct sockaddr *)&in : (struct sockaddr *)&in6);
    return true;
}

static void answer_collect(const struct answer *a, struct dns_records *out)
{
    struct cursor in = a->records;
    struct record r;
    for (size_t i = 0; i < a->count && record_read(&a->whole, &in, &r); i++) {
        struct addr ip;
        if (r.type != a->type || !ip_read(&r, &ip) || !name_equal(&r.owner, &a->name))
            continue;
        dns_records_add(out, &ip);
        lower_ttl(out, r.ttl);
    }
}

/* How long it holds that there is nothing: the last number of the zone's SOA, or its ttl. */
static void answer_nothing(const struct answer *a, const struct head *h, struct dns_records *out)
{
    struct cursor in = a->records;
    struct record r;
    uint32_t least = 0;
    size_t count = (size_t)h->answers + h->authorities;
    for (size_t i = 0; i < count && i < RECORDS_MAX && record_read(&a->whole, &in, &r); i++) {
        if (r.type != TYPE_SOA || cur_left(&r.data) < 4)
            continue;
        cur_skip(&r.data, cur_left(&r.data) - 4);
        cur_be32(&r.data, &least);
        least = least < r.ttl ? least : r.ttl;
    }
    lower_ttl(out, least);
}

static enum dns_said answer_records(struct answer *a, const struct head *h, struct dns_records *out,
                                    struct err *e)
{
    size_t before = out->count;
    unsigned aliases = 0;
    a->count = h->answers < RECORDS_MAX ? h->answers : RECORDS_MAX;
    while (answer_follow(a, out))
        if (++aliases > DNS_CNAMES_MAX) {
            err_set(e, EPROTO, "more than %d aliases, or they go round", DNS_CNAMES_MAX);
            return DNS_FAILED;
        }
    answer_collect(a, out);
    if (out->count == before)
        answer_nothing(a, h, out);
    return DNS_SAID;
}

static const char *rcode_text(unsigned code)
{
    static const char *const names[] = {"", "FORMERR", "SERVFAIL", "", "NOTIMP", "REFUSED"};
    return code < sizeof names / sizeof *names && *names[code] ? names[code] : "an error";
}

static enum dns_said not_valid(struct err *e)
{
    err_set(e, EPROTO, "the answer is not valid");
    return DNS_FAILED;
}

enum dns_said dns_answer_read(struct cursor in, const struct dns_question *q,
                              struct dns_records *out, struct err *e)
{
    struct answer a = {.whole = in, .type = type_of(q->family)};
    struct head h;
    uint16_t type, class;
    if (!head_read(&in, &h) || !(h.flags & FLAG_ANSWER))
        return not_valid(e);
    unsigned rcode = h.flags & RCODE;
    if (rcode != 0 && rcode != RCODE_NAME) {
        err_set(e, EHOSTUNREACH, "it says %s", rcode_text(rcode));
        return DNS_FAILED;
    }
    if (h.questions != 1 || !name_read(&a.whole, &in, &a.name) || !cur_be16(&in, &type) ||
        !cur_be16(&in, &class) || type != a.type || class != CLASS_IN ||
        !name_equal(&a.name, &q->name))
        return not_valid(e);
    if (q->mixed && memcmp(a.name.wire, q->name.wire, q->name.len) != 0)
        return DNS_RECASED;
    a.records = in;
    enum dns_said said = answer_records(&a, &h, out, e);
    return said == DNS_SAID && rcode == RCODE_NAME ? DNS_UNKNOWN : said;
}

/* --- records --- */

struct addr dns_ip_addr(const struct dns_ip *ip)
{
    struct addr a = {.type = ip->type};
    memcpy(a.ip, ip->ip, sizeof ip->ip);
    return a;
}

void dns_records_add(struct dns_records *r, const struct addr *ip)
{
    if (r->count == DNS_ADDRS_MAX)
        return;
    struct dns_ip *to = &r->ips[r->count++];
    to->type = ip->type;
    memcpy(to->ip, ip->ip, sizeof to->ip);
}
