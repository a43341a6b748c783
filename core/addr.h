/* core/addr.h -- a host (IPv4, IPv6 or a name) with a port, or a unix socket; as text, as sockaddr, as wire bytes.
 * Thread: any. Ownership: plain values, nothing allocated. Ports are in host order.
 * IPv4-mapped IPv6 always becomes IPv4. The type numbers are those of VMess and Mux.Cool on the wire
 * (docs: VMess request header, "address types"); they are not the SOCKS5 numbers. */
#ifndef V2C_CORE_ADDR_H
#define V2C_CORE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/cursor.h"
#include "core/err.h"

enum addr_type { ADDR_NONE = 0, ADDR_IPV4 = 1, ADDR_NAME = 2, ADDR_IPV6 = 3, ADDR_UNIX = 4 };

enum { ADDR_TEXT_MAX = 272, ADDR_NAME_MAX = 255 };

struct addr {
    uint8_t type; /* enum addr_type */
    uint16_t port;
    union {
        uint8_t ip[16];               /* ADDR_IPV4: the first 4 bytes */
        char name[ADDR_NAME_MAX + 1]; /* ADDR_NAME, ADDR_UNIX: NUL-terminated, no NUL inside */
    };
};

/* Host text as V2Ray reads it: an IP literal (also "[::1]") or any name; spaces around are trimmed.
 * Leaves the port alone. -1 when empty, longer than 255 bytes or holding control bytes. */
int addr_parse_host(struct addr *a, const char *text, size_t len, struct err *e);
/* An IP of 4 or 16 bytes; leaves the port alone. */
void addr_from_ip(struct addr *a, const void *ip, size_t len);
/* A unix socket: "/path"; "@name", which is no file; "@@name", the same with NULs up to the full length, as HAProxy
 * wants it. -1 when it is longer than the system can say. Never on the wire. */
int addr_parse_unix(struct addr *a, const char *text, struct err *e);
bool addr_is_ip(const struct addr *a);
size_t addr_ip_len(const struct addr *a);                    /* 4, 16, or 0 for a name */
bool addr_equal(const struct addr *a, const struct addr *b); /* host and port; names case-blind */

void addr_from_sockaddr(struct addr *a, const struct sockaddr *sa);
/* The address must be an IP or a unix socket. Returns the length of what was written. */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ss);

/* "host", "host:port", "[v6]:port"; names are escaped; returns `out` for use in an argument list. */
const char *addr_host_text(const struct addr *a, char out[ADDR_TEXT_MAX]);
const char *addr_text(const struct addr *a, char out[ADDR_TEXT_MAX]);

/* port(2) type(1) address, shared by the VMess header and the Mux.Cool New frame. A name must be 1..255
 * bytes of [0-9A-Za-z._-]; one that spells an IP becomes that IP, as peers do. */
enum step addr_read_wire(struct cursor *in, struct addr *a, struct err *e);
void addr_write_wire(struct writer *w, const struct addr *a);
/* Its address alone, of that type. Moves the cursor in any case. */
enum step addr_read_host(struct cursor *c, uint8_t type, struct addr *a, struct err *e);

/* The form in which names are compared everywhere: lower case, one trailing dot stripped. */
void addr_normalise_name(char *name);

#endif
