/* proxy/socks_wire.h -- the bytes of SOCKS 4, 4a and 5, as both sides read and write them.
 * Source: RFC 1928, RFC 1929, and the SOCKS 4A memo of Ying-Da Lee.
 * Thread: any. Pure: nothing allocated. Every reader leaves its cursor alone unless it answers DONE. */
#ifndef V2C_PROXY_SOCKS_WIRE_H
#define V2C_PROXY_SOCKS_WIRE_H

#include "core/addr.h"
#include "core/buf.h"

enum {
    SOCKS4 = 4,
    SOCKS5 = 5,
    SOCKS_PASSWORD_VERSION = 1, /* of RFC 1929 */
    SOCKS_METHOD_NONE = 0,
    SOCKS_METHOD_PASSWORD = 2,
    SOCKS_METHOD_REFUSED = 0xff,
    SOCKS_CONNECT = 1,
    SOCKS_ASSOCIATE = 3,
    SOCKS4_GRANTED = 90,
    SOCKS4_REFUSED = 91,
    SOCKS_ADDR_MAX = 1 + 1 + 255 + 2, /* type, length, name, port */
    SOCKS_UDP_HEAD_MAX = 3 + SOCKS_ADDR_MAX,
};

enum socks_reply {
    SOCKS_OK = 0,
    SOCKS_FAILED = 1,
    SOCKS_NOT_ALLOWED = 2,
    SOCKS_NET_UNREACHABLE = 3,
    SOCKS_HOST_UNREACHABLE = 4,
    SOCKS_REFUSED = 5,
    SOCKS_EXPIRED = 6,
    SOCKS_NO_COMMAND = 7,
    SOCKS_NO_ADDRESS_TYPE = 8,
};

/* type address port. A name as addr_read_wire() takes it. */
enum step socks_addr_read(struct cursor *in, struct addr *a, struct err *e);
/* The same where nobody needs it, and servers write what they like. */
enum step socks_addr_skip(struct cursor *in, struct err *e);
/* What is neither IP nor name is 0.0.0.0:0. */
void socks_addr_write(struct writer *w, const struct addr *a);

/* version reply reserved address, as a server says it. */
void socks_reply_write(struct writer *w, enum socks_reply reply, const struct addr *bound);
/* What an error of ours is in the protocol's words, and the other way round. */
enum socks_reply socks_reply_of(int code);
int socks_reply_error(uint8_t reply, struct err *e); /* always -1 */

/* The head of a datagram. Fragments are refused: FAIL. */
enum step socks_udp_read(struct cursor *in, struct addr *a, struct err *e);
size_t socks_udp_write(uint8_t out[SOCKS_UDP_HEAD_MAX], const struct addr *a);
/* Puts it in front of what a buf holds. False: the buf has no room for it. */
bool socks_udp_push(struct buf *b, const uint8_t *head, size_t len);

#endif
