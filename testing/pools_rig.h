/* testing/pools_rig.h -- a portal with many tunnels on two loops, its bridges and visitors, and claims of users.
 * Thread: one, which turns both loops. What goes wrong fails the test that runs. */
#ifndef V2C_TESTING_POOLS_RIG_H
#define V2C_TESTING_POOLS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "reverse/carrier.h"
#include "testing/portal_rig.h"

struct test {
    struct portal_rig at[2];
    struct portal_shards *shards;
};

#define PATTERNS(...)                                                                              \
    {                                                                                              \
        .items = (const char *const[]){__VA_ARGS__},                                               \
        .count = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)                       \
    }

/* Alice has some tunnels, of which ssh is private; bob is of tenant "b" and has all; a guest visits ssh. */
extern const struct user alice, bob, guest;
extern const struct portal_claim alices_claim, bobs_claim;

int pools_open(void **state);
int pools_close(void **state);
void turn(struct test *t);
/* Both loops; bridges speak meanwhile. */
void wait_for(struct test *t, double seconds);
struct portal *portal_at(struct test *t, int loop);

/* v2c, of one instance each; its link has said HELLO. */
struct far *bridge_to(struct test *t, int loop, const struct user *u, const char *domain,
                      uint64_t instance);
struct far *bridge(struct test *t, const struct user *u, const char *id);
struct link_text text(const char *s);
void say_names(struct test *t, struct far *f, const char *node, const char *cluster,
               const char *tenant, uint8_t weight);
/* What the portal answers to a wish for a hostname; all zero: nothing. */
struct link_item host_answer(struct test *t, struct far *wire, const char *name);
/* It hears this, and its link ends. */
void assert_told(struct test *t, struct far *wire, const char *why);

/* Whom an inbound gave to a tunnel. */
struct far *visitor_from(struct test *t, int loop, enum tunnel_by by, const char *tenant,
                         const char *name, const char *source);
struct far *visitor(struct test *t, enum tunnel_by by, const char *tenant, const char *name);
struct far *visit(struct test *t, const char *id);
/* Who names a host himself. */
struct far *names(struct test *t, const struct user *u, const char *host, uint16_t port);
/* That were opened on this link since it was asked last. */
unsigned streams(struct test *t, struct far *wire);

#define POOLS_TEST(name) cmocka_unit_test_setup_teardown(name, pools_open, pools_close)

#endif
