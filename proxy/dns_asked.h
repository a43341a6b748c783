/* proxy/dns_asked.h -- questions for addresses as DNS clients write them, and our answers (RFC 1035).
 * Thread: any; pure. Ownership: nothing is kept of the bytes. */
#ifndef V2C_PROXY_DNS_ASKED_H
#define V2C_PROXY_DNS_ASKED_H

#include "core/addr.h"
#include "core/cursor.h"

enum {
    DNS_HEADER = 12,
    DNS_ASKED_A = 1,
    DNS_ASKED_AAAA = 28,
    DNS_ASKED_TTL = 600, /* seconds, as V2Ray says */
    DNS_ASKED_QUESTION = 260,
    DNS_ASKED_ANSWER = 1024, /* room that any answer fits into */
};

struct dns_asked {
    uint16_t id, flags;
    uint16_t type; /* DNS_ASKED_A or DNS_ASKED_AAAA */
    char name[ADDR_NAME_MAX + 1];
    uint8_t question[DNS_ASKED_QUESTION]; /* as it came: an answer repeats it */
    size_t question_len;
};

/* A whole message. False: it is no single question for the addresses of a name that can be one of a host. */
bool dns_asked_read(struct cursor in, struct dns_asked *q);

/* Fills `out` with the answer; returns its length. ips of another family are left out. failed: SERVFAIL. */
size_t dns_asked_answer(const struct dns_asked *q, const struct addr *ips, size_t count,
                        bool failed, uint8_t out[DNS_ASKED_ANSWER]);

#endif
