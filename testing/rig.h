/* testing/rig.h -- what tests of flows and sockets share: a loop with counters, ends that a test moves,
 * TCP sockets on loopback, and waiting for what the loop does, never for a time.
 * Ownership: the test's; rig_close() fails when a flow still lives. Errors end the test. */
#ifndef V2C_TESTING_RIG_H
#define V2C_TESTING_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/flow.h"
#include "core/outbound.h"

struct rig {
    struct loop loop;
    struct policy policy; /* of the flows that the test makes */
    ev_timer tick;        /* so that no turn waits for long: the test may wait for the kernel */
};

void rig_open(struct rig *r);
void rig_close(struct rig *r);
int64_t rig_stat(struct rig *r, int slot);
/* All that is due now. */
void rig_turn(struct rig *r);
/* One turn that may wait for 5 ms. */
void rig_step(struct rig *r);

enum { RIG_DEADLINE = 20 }; /* seconds: nothing that a test waits for takes this long */

/* Does `step` until `condition` holds; RIG_UNTIL turns the loop. */
#define RIG_UNTIL_BY(step, condition)                                                              \
    do {                                                                                           \
        ev_tstamp rig_deadline = ev_time() + RIG_DEADLINE;                                         \
        while (!(condition)) {                                                                     \
            if (ev_time() > rig_deadline)                                                          \
                fail_msg("waited in vain for: %s", #condition);                                    \
            step;                                                                                  \
        }                                                                                          \
    } while (0)
#define RIG_UNTIL(r, condition) RIG_UNTIL_BY(rig_step(r), condition)

/* --- an end --- */

struct rig_end {
    struct end end;
    bool idle;  /* wake() only counts; the test calls the end's functions itself */
    bool stays; /* does not leave when the flow is over */
    bool left, eof, failed;
    char why[256]; /* of the failure */
    unsigned wakes, drains;
    uint8_t *got; /* all that came */
    size_t len, room;
    size_t sizes[256]; /* of the bufs that came */
    size_t count;
};

extern const struct end_ops rig_end_ops;

/* A flow whose first end is e. */
struct flow *rig_flow(struct rig *r, struct rig_end *e, enum net net);
void rig_join(struct flow *f, struct rig_end *e);
void rig_take(struct rig_end *e); /* all that waits */
void rig_leave(struct rig_end *e, const struct err *why);
void rig_end_free(struct rig_end *e);

/* An outbound that seats one rig_end after the other. */
struct rig_outbound {
    struct outbound out;
    struct rig_end *ends;
    size_t room, count;
};

void rig_outbound_init(struct rig_outbound *o, struct rig *r, struct rig_end *ends, size_t room);

/* --- sockets; all are non-blocking --- */

struct addr rig_addr(const char *host, uint16_t port);
struct addr rig_addr_of(int fd);              /* to which it is bound */
int rig_listen(struct addr *at, int backlog); /* on 127.0.0.1; says where */
/* Nobody else is given this port, at any address, until the socket is closed. */
int rig_hold_port(uint16_t *port);
int rig_listen_at(const struct addr *at, int backlog); /* at a port that is held */
int rig_udp(struct addr *at);                          /* the same for datagrams */
int rig_connect(const struct addr *to);                /* has been connected */
int rig_accept(struct rig *r, int fd);
void rig_pair(int fds[2]);
int rig_next_fd(void); /* the number that the next socket gets */
void rig_send(struct rig *r, int fd, const void *bytes, size_t len);
void rig_say(struct rig *r, int fd, const char *text);
/* Reads exactly this. */
void rig_expect(struct rig *r, int fd, const void *bytes, size_t len);
void rig_hear(struct rig *r, int fd, const char *text);
/* Reads to the end; 0 for an orderly one, else an errno; *len: bytes on the way, may be NULL. */
int rig_drain(struct rig *r, int fd, size_t *len);
bool rig_readable(int fd);
void rig_abort(int fd); /* closes it with a reset */

/* Bytes that tell their place: the same position, the same byte. */
void rig_pattern(uint8_t *to, size_t len, size_t position);
void rig_check_pattern(const uint8_t *from, size_t len, size_t position);

#endif
