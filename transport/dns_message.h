/* transport/dns_message.h -- questions and answers of DNS as bytes (RFC 1035; EDNS: RFC 6891, client subnet: RFC 7871).
 * Thread: any. Ownership: plain values.
 * Answers come from strangers: what is looked at is bounded by DNS_ADDRS_MAX, DNS_CNAMES_MAX and a number of records. */
#ifndef V2C_TRANSPORT_DNS_MESSAGE_H
#define V2C_TRANSPORT_DNS_MESSAGE_H

#include "core/cursor.h"
#include "core/err.h"
#include "transport/dns.h"

enum { DNS_QUESTION_MAX = 320, DNS_NAME_WIRE = 255 };

/* A name as it stands in messages: labels with their lengths, the empty one at its end. */
struct dns_name {
    uint8_t wire[DNS_NAME_WIRE];
    uint8_t len;
};

struct dns_question {
    struct dns_name name;
    unsigned family; /* DNS_A or DNS_AAAA */
    bool mixed;      /* letters have a random case, which an answer must repeat */
};

struct dns_ip {
    uint8_t type; /* ADDR_IPV4 or ADDR_IPV6 */
    uint8_t ip[16];
};

struct dns_records {
    struct dns_ip ips[DNS_ADDRS_MAX];
    size_t count;
    uint32_t ttl; /* seconds; the smallest of all, of none at all what the zone says of that */
};

/* mixed: one more thing that must be guessed by who forges an answer. -1 and e: no name that DNS can be asked for. */
int dns_question_init(struct dns_question *q, const char *name, unsigned family, bool mixed,
                      struct err *e);
/* client: ADDR_NONE, or whose network is told. */
void dns_question_write(const struct dns_question *q, uint16_t id, const struct addr *client,
                        struct writer *w);

enum dns_said {
    DNS_SAID,    /* records, or that there are none */
    DNS_UNKNOWN, /* that there is no such name */
    DNS_FAILED,  /* SERVFAIL and the like, or not valid: e says */
    DNS_RECASED, /* letters came back in another case: from a server that folds it, or forged */
};

/* The answer to q in a whole message; the id is the caller's affair. Adds to `out`, and lowers its ttl. */
enum dns_said dns_answer_read(struct cursor in, const struct dns_question *q,
                              struct dns_records *out, struct err *e);

struct addr dns_ip_addr(const struct dns_ip *ip); /* port 0 */
/* Forgotten when there are DNS_ADDRS_MAX. */
void dns_records_add(struct dns_records *r, const struct addr *ip);

#endif
