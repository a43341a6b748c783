/* routing/dispatch.h -- where a new flow goes: the first rule that matches, else the default outbound. While
 * the choice hangs on what is not known yet, a seat (routing/seat.h) is the flow's second end.
 * Thread: one dispatcher per loop; its rules are the config's. */
#ifndef V2C_ROUTING_DISPATCH_H
#define V2C_ROUTING_DISPATCH_H

#include "core/flow.h"
#include "core/log.h"
#include "core/outbound.h"
#include "routing/balance.h"
#include "routing/rule.h"

struct seat;

/* When rules for IPs see the addresses of a name: never; when no rule matched; when such a rule is asked. */
enum domain_strategy { AS_IS, IP_IF_NON_MATCH, IP_ON_DEMAND };

/* How names get addresses. start: seat_resolved() is called later, from the loop, unless it was cancelled;
 * NULL: it cannot be. */
struct resolver {
    void *(*start)(struct loop *l, const char *name, struct seat *s);
    void (*cancel)(void *look_up);
};

struct dispatcher {
    struct loop *loop;
    const struct rules *rules;
    struct outbound **outbounds; /* as the rules number them */
    size_t count;
    const struct balancers *balancers;
    struct outbound *fallback; /* NULL: what no rule matches is refused */
    struct log_limit refused;  /* what balancers could give to nobody */
    struct outbound *mux;      /* takes requests of authenticated users for the Mux.Cool name */
    enum domain_strategy strategy;
    const struct resolver *resolver; /* NULL: names have no addresses */
    /* Names in normal form that mean something to this process: portals, bridges, their control streams,
     * mux. No sniffed name may be one of them, and they are not looked up. NULL: none. */
    const struct string_list *reserved;
    const struct string_list
        *links; /* the bridges' among them: no visitor may name them. NULL: none */
};

/* The destination by which a client asks for many streams on one connection. */
#define MUX_NAME "v1.mux.cool"

/* Whether the text is one of them; not so for NULL. */
bool strings_have(const struct string_list *l, const char *text);

/* A client that may do so asks for many streams on one connection. */
bool asks_for_mux(const struct meta *m);

/* Gives the flow its second end. The flow's maker must be ready to be woken. */
void dispatch(struct dispatcher *d, struct flow *f);
/* The same when the rules were asked already; NULL: none matched. */
void dispatch_by(struct dispatcher *d, struct flow *f, const struct rule *r);
/* The same without asking the rules: to this outbound. */
void dispatch_to(struct dispatcher *d, struct flow *f, size_t outbound);

/* NULL: there is none. */
struct outbound *dispatcher_find(const struct dispatcher *d, const char *tag);
/* Another outbound dials through this one. No rule sent the flow, so it never is a bridge's link. */
void dispatch_through(struct outbound *out, struct flow *f);

#endif
