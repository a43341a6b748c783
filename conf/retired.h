/* conf/retired.h -- what a reload ended and still has work: inbounds and outbounds that were told to drain,
 * and flows of tags that are gone. Each is freed when its work is done, or at its deadline, and then lets
 * go of its configuration.
 * Thread: its loop. */
#ifndef V2C_CONF_RETIRED_H
#define V2C_CONF_RETIRED_H

#include "conf/generation.h"
#include "core/inbound.h"
#include "core/outbound.h"

struct retirement { /* of one loop */
    struct loop *loop;
    struct list all;
    ev_timer look;
};

void retirement_init(struct retirement *r, struct loop *l);
/* Takes the object, which is drained; frees it at once when nothing waits. tag_gone: its tag names nothing
 * any more, so that its flows end with it; carriers among them tell their peers to go elsewhere. drain:
 * seconds. */
void retire_inbound(struct retirement *r, struct inbound *in, bool tag_gone, double drain,
                    struct generation *g);
void retire_outbound(struct retirement *r, struct outbound *out, bool tag_gone, double drain,
                     struct generation *g);
/* By this configuration: tags that name something again keep their flows, and who is still greeting where
 * the tag is gone is dispatched by `closed`, else by `open`. */
void retirement_renew(struct retirement *r, const struct config *to, struct dispatcher *open,
                      struct dispatcher *closed);
/* Frees all at once. */
void retirement_fini(struct retirement *r);

#endif
