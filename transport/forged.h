/* transport/forged.h -- tcp's "header" of type http: a forged HTTP head each way, then bytes as they are. It hides
 * nothing and protects nothing; peers that use it want it.
 * Thread: the stream's loop. Ownership: the configuration outlives its layers (transport/carriage.h).
 * Errors: what has no blank line within HANDSHAKE_MAX bytes.
 * Wire: V2Ray's transport/internet/headers/http, as 4.34 does it. */
#ifndef V2C_TRANSPORT_FORGED_H
#define V2C_TRANSPORT_FORGED_H

#include "transport/handshake.h"

struct forged_choice { /* one of these, at random for each head */
    const char *const *texts;
    size_t count;
};

struct forged_field {
    const char *name;
    struct forged_choice values;
};

struct forged_head {
    const char *method;          /* or a status */
    struct forged_choice target; /* or a reason */
    const char *version;         /* "1.1" */
    const struct forged_field *fields;
    size_t field_count;
};

struct forged_conf {
    struct forged_head request, response;
};

/* NULL: out of memory. */
struct layer *forged_client_new(const struct forged_conf *c);
struct layer *forged_server_new(const struct forged_conf *c);

#endif
