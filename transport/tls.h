/* transport/tls.h -- TLS 1.2 and 1.3 as a layer of a stream, by OpenSSL; what the configuration says about it, and the
 * certificates that it names.
 * Thread: tls_conf_new(), tls_conf_free() and the material: the main thread. tls_dial() and tls_accept(): any loop, for
 * one conf at once; what it shares is under its own lock. A layer: its stream's loop.
 * Ownership: a layer points into its conf, which is its carriage's and so outlives it.
 * Errors: an err in the user's words; no key and no passphrase is ever in one, or in the log.
 * Wire: RFC 8446, RFC 5246; the pins are those of V2Ray (chain) and of Xray (certificate). */
#ifndef V2C_TRANSPORT_TLS_H
#define V2C_TRANSPORT_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/addr.h"
#include "core/err.h"

struct layer;
struct tls_conf;
struct tls_material;

enum { TLS_ALPN_MAX = 256, TLS_NAME_MAX = 256, TLS_PIN = 32, TLS_CIPHERS_MAX = 1024 };

/* What peers identify themselves by, as PEM: in files or in place. */
enum tls_usage {
    TLS_OURS,      /* a certificate of ours, the authorities between behind it, and its key */
    TLS_AUTHORITY, /* who may vouch for the peer's */
};

struct tls_source {
    enum tls_usage usage;
    const char *cert_file, *key_file; /* NULL: in place */
    const char *cert, *key;           /* NULL: not there */
    bool once;                        /* nobody looks whether the files change */
};

/* One share. NULL and e: cannot be read, is none, key and certificate differ, ... */
struct tls_material *tls_material_load(const struct tls_source *s, struct err *e);
void tls_material_unref(struct tls_material *m);
/* Until a certificate of ours, or one behind it, expires; until the last authority does. Below 0: it has. */
double tls_material_days(const struct tls_material *m);
/* Others than its owner and group may read the file with the key. */
bool tls_material_exposed(const struct tls_material *m);

struct tls_settings {
    bool server;
    char name[TLS_NAME_MAX]; /* client: who the server must be; "": as the destination is called */
    uint8_t alpn[TLS_ALPN_MAX]; /* each with its length in front, the best first */
    size_t alpn_len;
    /* The chain must lead to a known authority; for a client also the name must be right. A server that verifies
     * refuses who has no certificate. */
    bool verifies;
    bool system_roots; /* what the system trusts is known, too */
    bool tickets;
    bool
        known_names; /* server: refuses a client that asks for a name of none of our certificates */
    int min_version, max_version;         /* OpenSSL's numbers; 0: 1.2, the highest */
    char suites[TLS_CIPHERS_MAX];         /* of TLS 1.3, OpenSSL's form; "": the usual ones */
    char ciphers[TLS_CIPHERS_MAX];        /* of TLS 1.2 */
    const uint8_t (*chain_pins)[TLS_PIN]; /* one must be tls_chain_pin() of what the peer shows */
    size_t chain_pin_count;
    const uint8_t (*cert_pins)
        [TLS_PIN]; /* one must be the SHA-256 of the peer's certificate, which then needs no authority,
                                            or of an authority in its chain, which then is the only one */
    size_t cert_pin_count;
};

/* Splits a list of cipher suites, with OpenSSL's names or IANA's (Go's), separated by ':' or ','. -1 and e. */
int tls_ciphers_parse(const char *text, struct tls_settings *to, struct err *e);

/* Takes copies, and shares of the material. NULL and e. */
struct tls_conf *tls_conf_new(const struct tls_settings *s, struct tls_material *const *material,
                              size_t count, struct err *e);
void tls_conf_free(struct tls_conf *c); /* c may be NULL */

/* Of a server: one of its certificates is for this host, a text of core/hostname.h. */
bool tls_covers(const struct tls_conf *c, const char *host);
/* The certificates that may be shown to who asks for `asked` ("": for no name) are for this host, too. */
bool tls_shows(const struct tls_conf *c, const char *asked, const char *host);

/* A layer that is not on a stream yet; NULL and e. to: where it was dialled, by whose name the server is known if the
 * conf names none. */
struct layer *tls_dial(const struct tls_conf *c, const struct addr *to, struct err *e);
struct layer *tls_accept(const struct tls_conf *c, struct err *e);

/* V2Ray's hash over the certificates of a PEM file, which pinnedPeerCertificateChainSha256 holds as base64. -1 and e. */
int tls_chain_pin_of_file(const char *path, uint8_t pin[TLS_PIN], struct err *e);

#endif
