/* routing/sniff.h -- what a client's first bytes are, and which name they ask for.
 * Thread: any; pure. Ownership: nothing is kept of the bytes. Looks at no more than SNIFF_MAX bytes, or
 * SNIFF_DATAGRAMS datagrams. An answer but STEP_MORE stays the same whatever follows, however the bytes
 * came: so what is found can be found again in the same bytes.
 * Who sent the bytes is a stranger: a name is what he wrote, not where he wants to go, and only one that
 * is beyond doubt is answered. Two Host headers give none.
 * Sources: RFC 9112 (HTTP/1.1), RFC 8446 and 6066 (ClientHello), RFC 9000, 9001, 9369 (QUIC Initial packets). */
#ifndef V2C_ROUTING_SNIFF_H
#define V2C_ROUTING_SNIFF_H

#include "core/addr.h"

struct domain_set;
struct cidr_set;

/* Bits of a mask. */
enum sniff_kind { SNIFF_HTTP = 1, SNIFF_TLS = 2, SNIFF_BITTORRENT = 4, SNIFF_QUIC = 8 };

enum { SNIFF_MAX = 16 * 1024, SNIFF_DATAGRAMS = 4 };

/* What an inbound or bridge wants to be looked for. Kept: flows outlive configurations. */
struct sniff_conf {
    unsigned names;  /* mask: in which the name found counts; in others only the protocol does */
    bool route_only; /* the name is for rules only, else it also becomes the target */
    const struct domain_set *domains_excluded; /* names that do not count; NULL: none */
    const struct cidr_set *ips_excluded;       /* targets whose names do not count; NULL: none */
};

struct sniffed {
    enum sniff_kind kind;
    char name[ADDR_NAME_MAX + 1]; /* in the normal form of addr_normalise_name(); "": none */
    size_t head_len;              /* of an HTTP request: with so many bytes its head ends; else 0 */
};

/* The word of `protocol` in rules. */
const char *sniff_protocol(enum sniff_kind kind);

/* STEP_FAIL: it is nothing of what is known here. */
enum step sniff_stream(const uint8_t *data, size_t len, struct sniffed *s);
enum step sniff_datagrams(const struct cursor *datagrams, size_t count, struct sniffed *s);

/* --- its parts --- */

enum step sniff_http(struct cursor in, struct sniffed *s);
enum step sniff_tls(struct cursor in, struct sniffed *s);
enum step sniff_quic(const struct cursor *datagrams, size_t count, struct sniffed *s);

/* A ClientHello, from its type on. */
enum step sniff_hello(struct cursor in, struct sniffed *s);

enum { QUIC_HELLO_MAX = 8 * 1024 };

/* What the CRYPTO frames of Initial packets have brought, in any order. Begins as zeros. */
struct quic_hello {
    uint8_t bytes[QUIC_HELLO_MAX];
    uint8_t have[QUIC_HELLO_MAX / 8]; /* a bit for each byte */
    size_t whole;                     /* so many are there from the first on */
};

/* The frames of one packet. False: they are not those of a client's Initial packet. */
bool quic_hello_add(struct quic_hello *h, struct cursor frames);

/* A domain in normal form. False for what is none: an IP, also in its old spellings, or a name with bytes
 * other than letters, digits, "-" and "_". */
bool sniff_name(const void *text, size_t len, char out[ADDR_NAME_MAX + 1]);

#endif
