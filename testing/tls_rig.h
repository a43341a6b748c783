/* testing/tls_rig.h -- a client and a server with tls on streams that a test leads byte by byte.
 * Ownership: the test's; talk_close(). Errors end the test. */
#ifndef V2C_TESTING_TLS_RIG_H
#define V2C_TESTING_TLS_RIG_H

#include "testing/certs.h"
#include "testing/rig.h"
#include "transport/layer.h"
#include "transport/stream.h"
#include "transport/tls.h"

enum { TALK_ROOM = 1024 * 1024 };

/* Stands for a socket: bytes written by one side can be read by the other. */
struct side {
    struct stream stream;
    struct layer socket;
    struct talk *talk;
    struct side *peer;
    bool want_read, want_write, ended, gone;
    uint8_t *in; /* what the peer wrote and we have not read */
    size_t in_at, in_len;
    size_t read_max, write_max; /* bytes of one call; 0: none */
    size_t room;                /* bytes that the peer may leave unread; 0: any */
    bool full;                  /* the next write finds no room */
    unsigned reads, writes;

    const uint8_t *send;             /* the user's */
    size_t send_len, send_at, offer; /* offer: bytes of one iovec */
    uint8_t *got;
    size_t got_len, ask; /* bytes of one read */
    ssize_t said;        /* of the last read */
    int error;
    bool opened, finishes, finished;
};

struct talk {
    struct rig rig;
    struct side client, server;
};

void talk_open(struct talk *t);
/* Puts tls on both; to: where the client dials. */
void talk_tls(struct talk *t, const struct tls_conf *client, const struct tls_conf *server,
              const char *to);
/* Until nothing moves any more. */
void talk_run(struct talk *t);
void talk_close(struct talk *t);
void side_send(struct side *s, const void *bytes, size_t len);
bool side_shook(const struct side *s); /* the handshake is done */
const char *side_why(const struct side *s, struct err *e);

struct tls_conf *conf_new(const struct tls_settings *s, const struct tls_source *sources,
                          size_t count);
struct tls_source ours(const struct cert *c);
struct tls_source authority(const struct cert *c);

#endif
