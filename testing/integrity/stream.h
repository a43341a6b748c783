/* testing/integrity/stream.h -- what client and origin have in common: a socket with one way out and one way in,
 * the list of those that are open, and the verdict on what came.
 * Ownership: a stream is the memory of who made it; stream_end() closes its socket and counts it.
 * Thread: one. Errors: values of errno, or an outcome. */
#ifndef V2C_INTEGRITY_STREAM_H
#define V2C_INTEGRITY_STREAM_H

#include <sys/socket.h>

#include "testing/integrity/tally.h"
#include "testing/integrity/wire.h"

struct stream {
    struct stream *next, *prev; /* in run.live */
    struct head head;           /* of the client's way */
    struct way up, down;
    const struct way *in, *out;
    uint64_t got, sent;
    double opened, first, moved; /* when; when the peer's head had come; when any byte went */
    uint32_t events;
    int fd;           /* -1: not in use */
    bool ended, shut; /* the peer's side; ours */
};

struct run {
    struct stream live; /* head of the list */
    struct tally tally;
    uint64_t seed;
    int epoll;
    uint8_t scratch[WIRE_PIECE];
};

enum got { GOT_SOME, GOT_NOTHING, GOT_END, GOT_ERROR, GOT_WRONG };

void run_init(struct run *r, uint64_t seed);
void run_fini(struct run *r);

/* Puts the stream with its socket into the list and under epoll with data.ptr `tag`. False: errno. */
bool stream_begin(struct run *r, struct stream *s, int fd, void *tag);
void stream_ways(struct stream *s); /* both, from s->head */
bool stream_watch(struct run *r, struct stream *s, uint32_t events, void *tag);

/* Writes up to offset `limit` of the way out; 0, or errno. */
int stream_send(struct run *r, struct stream *s, uint64_t limit);
/* One read of at most `limit` bytes, checked. GOT_WRONG: s->got is the place of the wrong byte, and
 * r->scratch has what came, from offset 0 on the right bytes; *wrong is where and *len how much. */
enum got stream_receive(struct run *r, struct stream *s, size_t limit, size_t *wrong, size_t *len);
/* Whose bytes these are: OUT_CROSSTALK or OUT_CORRUPT, with a text. */
enum outcome stream_blame(struct run *r, struct stream *s, const uint8_t *sample, size_t len,
                          char *text, size_t room);

/* Closes (with RST unless `orderly`, for its socket is armed), counts, takes it off the list. */
void stream_end(struct run *r, struct stream *s, enum outcome o, bool orderly, const char *text);
enum outcome outcome_of_errno(int error);

/* From now on closing it is a reset, be it by us or because the process was killed. */
void socket_arm(int fd);

#endif
