/* reverse/origin.h -- inside reverse/ only: asks the server behind a bridge, again and again, whether it is there. A
 * question is a flow of the bridge's, as if a portal had opened it, and goes the same way by the rules.
 * Thread: the bridge's loop. Units: seconds. Ownership: part of its bridge; ends with origin_stop().
 * Errors: whatever goes wrong with a question is a bad answer. The first answer decides; later ones do when so many
 * came in a row. */
#ifndef V2C_REVERSE_ORIGIN_H
#define V2C_REVERSE_ORIGIN_H

#include "core/flow.h"
#include "reverse/reverse.h"

struct dispatcher;

enum { ORIGIN_ANSWER = 12 }; /* bytes: "HTTP/1.1 200" */

struct origin {
    struct end end; /* of the flow, while it asks */
    const struct origin_conf *conf;
    struct loop *loop;
    struct dispatcher *dispatcher;
    const char *tag; /* of the bridge */
    const struct policy *policy;
    void (*changed)(struct origin *o); /* `down` has */
    ev_timer round, limit;
    char answer[ORIGIN_ANSWER];
    size_t got;
    unsigned streak; /* answers in a row that speak against `down` as it is */
    bool asking, answered, down;
};

/* All but conf is set by the owner. NULL: nobody is asked, and nothing is down. */
void origin_start(struct origin *o, const struct origin_conf *conf);
void origin_stop(struct origin *o);

#endif
