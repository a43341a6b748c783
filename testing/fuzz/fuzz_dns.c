/* testing/fuzz/fuzz_dns.c -- what DNS servers send: the first byte chooses a message or a reply of HTTP. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "transport/dns_message.h"
#include "transport/fetch_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_message(struct cursor in, unsigned family)
{
    struct dns_question q;
    struct dns_records r;
    struct err e;
    r.count = 0;
    r.ttl = UINT32_MAX;
    if (dns_question_init(&q, "a.example", family, false, &e) < 0)
        abort();
    dns_answer_read(in, &q, &r, &e);
    if (r.count > DNS_ADDRS_MAX)
        abort();
    for (size_t i = 0; i < r.count; i++)
        if (r.ips[i].type != ADDR_IPV4 && r.ips[i].type != ADDR_IPV6)
            abort();
}

/* What is whole stays so when more follows, and is the same. */
static void fuzz_reply(struct cursor in)
{
    static struct fetch_reply r, again;
    struct cursor c = in, less;
    struct err e;
    if (fetch_reply_read(&c, &r, &e) != STEP_DONE)
        return;
    less = cur_of(in.p, cur_left(&in) - cur_left(&c));
    if (fetch_reply_read(&less, &again, &e) != STEP_DONE || cur_left(&less) || again.len != r.len ||
        memcmp(again.body, r.body, r.len) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct cursor in = cur_of(data, len);
    uint8_t kind;
    if (!cur_u8(&in, &kind))
        return 0;
    if (kind == 'H')
        fuzz_reply(in);
    else
        fuzz_message(in, kind == '6' ? DNS_AAAA : DNS_A);
    return 0;
}
