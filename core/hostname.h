/* core/hostname.h -- the one form in which hosts are compared: those of requests and of SNI, of the configuration, and
 * those that bridges ask for. Whoever compares has read both sides here; there is no other reader.
 * A host is a name of labels of [a-z0-9_-], lower case, without a dot at its end; an IPv4 address in four decimal
 * numbers; or an IPv6 address in brackets, in its shortest form (IPv4-mapped ones become IPv4). What some reader could
 * take for an address and another for a name (0x7f.1, 2130706433, 01.2.3.4) is refused, and so are escapes, user parts,
 * blanks and bytes beyond ASCII: the configuration turns those of its names into A-labels first (conf/idn.h).
 * Thread: any. Pure; nothing allocated. Errors: texts hold no foreign bytes. Reading a host's text gives it again. */
#ifndef V2C_CORE_HOSTNAME_H
#define V2C_CORE_HOSTNAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/addr.h"
#include "core/err.h"

enum { HOSTNAME_MAX = 253, HOSTNAME_LABEL_MAX = 63 };

enum hostname_kind { HOSTNAME_NAME, HOSTNAME_IPV4, HOSTNAME_IPV6 };

struct hostname {
    char text[HOSTNAME_MAX + 1];
    uint8_t kind;  /* enum hostname_kind */
    uint8_t len;   /* of the text */
    uint16_t port; /* 0: none was said */
};

/* A host, or all names below one as well. */
struct hostname_pattern {
    struct hostname host;
    bool below; /* ".example.com" and "*.example.com": example.com itself, too */
};

/* "host" or "host:port", as in Host fields and targets. -1 and e. */
int hostname_read(struct hostname *h, const char *text, size_t len, struct err *e);
/* Without a port, as in SNI. */
int hostname_read_bare(struct hostname *h, const char *text, size_t len, struct err *e);
/* A host, ".name" or "*.name". */
int hostname_read_pattern(struct hostname_pattern *p, const char *text, size_t len, struct err *e);

/* name, a host's text, is the other or below it; dots count, so xa.b is not below a.b. */
bool hostname_is_within(const char *name, const char *other);
bool hostname_pattern_has(const struct hostname_pattern *p, const char *name);
/* Where it leads; port: if none was said. */
void hostname_addr(const struct hostname *h, uint16_t port, struct addr *a);

/* The name of a tunnel, node or cluster: 1 to 63 bytes of [a-z0-9._-], which come as lower case. False: it is none. */
bool tunnel_text_read(char to[HOSTNAME_LABEL_MAX + 1], const char *text, size_t len);

#endif
