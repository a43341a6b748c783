/* transport/handshake.h -- one HTTP/1.1 head each way, with which ws, httpupgrade and forged heads begin: read to
 * its blank line, taken apart, written.
 * Thread: the stream's loop. Ownership: embedded in a layer, which calls handshake_fini(). Errors: a head that is
 * not strictly HTTP/1 is refused; no more than HANDSHAKE_MAX bytes are ever kept.
 * Wire: RFC 9112. */
#ifndef V2C_TRANSPORT_HANDSHAKE_H
#define V2C_TRANSPORT_HANDSHAKE_H

#include "transport/layer.h"

enum {
    HANDSHAKE_MAX = 8 * 1024, /* bytes of a head, and of what came with it */
    HEAD_FIELDS = 64,
};

/* A head taken apart: texts end with a NUL. */
struct head {
    const char *first[3]; /* method, target, version; or version, status, reason */
    struct head_field {
        const char *name, *value;
    } fields[HEAD_FIELDS];
    size_t count;
};

/* text[0..len) is a head with its blank line; it is changed, and h points into it. -1 and e. */
int head_parse(struct head *h, char *text, size_t len, struct err *e);
/* The first field of that name; NULL: none. */
const char *head_field(const struct head *h, const char *name);
/* How many fields have that name. */
unsigned head_count(const struct head *h, const char *name);
/* One of the fields of that name, which are lists, has the word; case does not matter. */
bool head_lists(const struct head *h, const char *name, const char *word);
/* How a field "Host" names `host`, whatever the port. */
bool head_is_for(const struct head *h, const char *host);

struct handshake {
    char *in;   /* HANDSHAKE_MAX bytes; NULL: nothing was read, or all of it is gone */
    size_t len; /* bytes there, of which the first `head` are the head, once it is whole */
    size_t head;
    char *out; /* what is to be sent */
    size_t out_len, out_sent;
    bool refuses, refused;
    bool ended; /* the peer said all before its head was whole */
};

/* MORE: l wants to read. FAIL also at the end of the stream. */
enum step handshake_read(struct handshake *h, struct layer *l, struct err *e);
/* Adds to what is to be sent; false: out of memory. */
bool handshake_say(struct handshake *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool handshake_say_date(struct handshake *h);   /* the field, as of now */
bool handshake_says(const struct handshake *h); /* something is still to be sent */
/* MORE: l wants to write. */
enum step handshake_send(struct handshake *h, struct layer *l, struct err *e);
/* What came behind the head, then what is below. As layer_ops.readv; only iov[0] is filled. */
ssize_t handshake_readv(struct handshake *h, struct layer *l, struct iovec *iov, int count);
bool handshake_waiting(const struct handshake *h); /* something came behind the head */
void handshake_fini(struct handshake *h);

/* A request that is not for us is answered as by any web server that has no such page; then nothing follows, and
 * the client is left to close. Once begun, as `refuses` tells, it is called until FAIL; e tells `why`. */
enum step handshake_refuse(struct handshake *h, struct layer *l, const char *why, struct err *e);

#endif
