/* proxy/web_visit.h -- a visitor's HTTP/1 connection at the gateway (proxy/web.h): the second end of his flow. One request
 * at a time: the next one waits in the flow until the answer is whole.
 * Thread: its loop. Ownership: its own, and goes with the flow. */
#ifndef V2C_PROXY_WEB_VISIT_H
#define V2C_PROXY_WEB_VISIT_H

#include "proxy/http1.h"
#include "proxy/http_body.h"
#include "proxy/web.h"
#include "proxy/web_way.h"

struct web {
    const struct web_conf *conf;
    struct web_finder *finder;
    struct list visits;
    struct ways ways;
    uint64_t ids;
    struct log_limit complained; /* about origins that do not answer */
    bool going;
};

enum { VISIT_ID = 16 /* digits */ };

enum visit_state {
    VISIT_READS,    /* a request's head */
    VISIT_ASKS,     /* the finder where it goes */
    VISIT_EXCHANGE, /* its body goes up and the answer comes down */
    VISIT_RAW,      /* bytes pass both ways */
};

/* What a step of its work says. */
enum visit_turn { VISIT_AGAIN, VISIT_WAITS, VISIT_LEAVES };

struct visit {
    struct end end;
    struct web *web; /* NULL: it is gone, and this answer is the last one */
    struct list_item item;
    struct lookup_wait wait;
    enum visit_state state;
    char *sni; /* owned; NULL: no TLS */
    ev_timer timer;
    double due, armed; /* of loop_steady(): when it is due, 0: never; when the timer fires */
    struct http1_head head, answer;
    struct http_body up, down;
    struct way *way; /* of this request; NULL: none yet */
    uint8_t *kept;   /* the request as it was sent; owned */
    size_t kept_len; /* 0: it cannot be sent again */
    size_t kept_room;
    uint8_t tries;   /* ways that this request had */
    bool head_only;  /* the request's method is HEAD */
    bool changes;    /* it asks for another protocol */
    bool alone;      /* its way gets no request after it */
    bool answered;   /* the origin said something */
    bool relayed;    /* ... and the visitor has the head of the answer */
    bool moved;      /* something of its body went up */
    bool last;       /* the visitor gets no answer after this one */
    bool parts;      /* ... nor, once that can be said, after the next one */
    uint64_t number; /* of the request; its id are the digits */
    char id[VISIT_ID + 1];
};

/* Takes the flow's second side. False: out of memory. */
bool visit_begin(struct web *w, struct flow *f, const char *sni);
/* What is open with the origin is cut off. Nothing of it may be touched from here on. */
void visit_free(struct visit *v, const struct err *why);
/* Becomes due in so many seconds after what moved last; 0: never. */
void visit_limit(struct visit *v, double seconds);
/* All of the request has come. */
static inline bool visit_is_whole(const struct visit *v)
{
    return v->head.len && v->up.state == HTTP_BODY_DONE;
}

/* What waits at an end, in one piece: `len` bytes or more, if there are so many. Where they lie, or copied into the
 * loop's scratch memory. len: HTTP1_HEAD_MAX at most. */
struct cursor visit_look(const struct end *e, size_t len);
/* Takes so many of these bytes. */
void visit_take(struct end *e, size_t len);
/* Has so long to be answered. */
void visit_await_answer(struct visit *v);
/* Answers with a page. */
enum visit_turn visit_say(struct visit *v, int status, struct err *why);
/* The answer was given. */
enum visit_turn visit_next(struct visit *v);

/* Its web goes, or begins to. */
void visit_part(struct visit *v);

/* --- web_request.c --- */
/* Reads a request, if its head has come, and finds its way. */
enum visit_turn visit_read(struct visit *v, struct err *why);
/* The same for one whose head was read before. */
enum visit_turn visit_ask(struct visit *v, struct err *why);
/* Takes the way, and opens it if it is new. */
void visit_go_by(struct visit *v, struct way *way);
/* Room for so many bytes in `kept`. False: out of memory. */
bool visit_reserve(struct visit *v, size_t room);

/* --- web_exchange.c --- */
/* The request's head is on its way. */
enum visit_turn visit_exchange(struct visit *v, struct err *why);
enum visit_turn visit_pass(struct visit *v, struct err *why);

#endif
