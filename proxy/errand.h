/* proxy/errand.h -- a request to the api that concerns all loops: it goes to whoever can ask them, and comes
 * back with its answer.
 * Thread: made and answered on the loop `from`; in between it belongs to the one who took it.
 * Ownership: its own; freed on its loop when it has come back, whether the asker is still there or not. Whoever
 * took it sends each one back, with loop_post(), before that loop ends. */
#ifndef V2C_PROXY_ERRAND_H
#define V2C_PROXY_ERRAND_H

#include "core/loop.h"
#include "proxy/api_target.h"
#include "proxy/page.h"

enum errand_verb { ERRAND_GET, ERRAND_POST, ERRAND_DELETE };

struct errand {
    struct task task; /* in the taker's queue, then on the loop: it has come back */
    struct loop *from;
    void *asker; /* NULL: it has left; this and the next are looked at on `from` only */
    bool came_back;
    enum errand_verb verb;
    struct api_target target;
    uint8_t *body; /* JSON, not terminated; owned; NULL: none */
    size_t body_len;

    int status;       /* the answer: of HTTP, ... */
    const char *type; /* NULL: JSON */
    struct page page; /* ... and text */
};

/* Who takes errands. False: nobody does any more; the errand is still the caller's. */
struct errand_taker {
    bool (*take)(struct errand_taker *t, struct errand *e);
};

#endif
