/* proxy/http1.h -- the heads of HTTP/1 messages, read strictly: what two readers could understand in two ways is
 * refused. RFC 9112 without its leniencies: only CRLF ends a line, no folded lines, no space before the colon,
 * exactly one Host in HTTP/1.1, and a body's length said once and plainly. Of an answer only the reason phrase
 * and Connection are read with patience: neither says where it ends.
 * Thread: any. Pure: bytes in, facts out; no allocation. What is found are places (offset and length) in
 * the caller's memory, which may move between calls.
 * Errors: STEP_FAIL with the HTTP status to answer in `status`; error texts hold no foreign bytes. */
#ifndef V2C_PROXY_HTTP1_H
#define V2C_PROXY_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

enum {
    HTTP1_HEAD_MAX = 32 * 1024, /* bytes, with the empty line */
    HTTP1_LINE_MAX = 8 * 1024,  /* bytes of one line, without its CRLF */
    HTTP1_FIELDS_MAX = 100,
    HTTP1_METHOD_MAX = 32,
    HTTP1_LISTED_MAX =
        16, /* fields that Connection may name, beside those that are for one hop anyway */
};

struct http1_span {
    size_t at, len;
};

struct http1_head {
    /* valid after STEP_DONE */
    struct http1_span method, target; /* of a request */
    struct http1_span host;           /* len 0: HTTP/1.0 without one, or an answer */
    uint16_t code;                    /* of an answer: 100..999 */
    struct http1_span reason;         /* of an answer; len 0: none */
    uint8_t minor;                    /* HTTP/1.minor */
    bool keep_alive;                  /* another message may follow, if the receiver lets it */
    bool has_body;                    /* of a request; of an answer see http_body_of_answer() */
    bool chunked;                     /* the body is */
    bool counted;                     /* Content-Length is there */
    uint64_t content_length;          /* of the body, unless chunked */
    bool
        upgrade; /* Connection and Upgrade in HTTP/1.1: asked for one other protocol; or status 101 */
    bool expects; /* "Expect: 100-continue" in HTTP/1.1: the client waits before it sends a body */
    struct http1_span protocol; /* the value of the first Upgrade; len 0: none */
    size_t len;                 /* bytes of the head; the body starts here */

    int status; /* valid after STEP_FAIL: of a request 400, 431, 501 or 505; of an answer 502 */

    /* the reader's own */
    size_t line, seen; /* where the current line starts; up to where its end was looked for */
    unsigned fields, hosts, codings, upgrades;
    bool answer, close, stay, change; /* what is read; what Connection said */
    uint8_t listed;                   /* names of other fields in Connection, and their places */
    struct {
        uint16_t at, len;
    } names[HTTP1_LISTED_MAX];
};

/* Starts with a zeroed head. data[0] is the request's first byte in every call; who shows less than before hears STEP_MORE.
 * To be called again with the same head only after that. */
enum step http1_read(struct http1_head *h, const uint8_t *data, size_t len, struct err *e);
/* The same for an answer; interim ones (1xx) are answers of their own. */
enum step http1_read_answer(struct http1_head *h, const uint8_t *data, size_t len, struct err *e);

/* How many fields of a head that was read have this name, whatever its case; the value of the first. */
unsigned http1_field(const struct http1_head *h, const uint8_t *data, const char *name,
                     struct http1_span *value);
/* The bytes at a span equal the text, case and all. */
bool http1_is(const uint8_t *data, struct http1_span s, const char *text);
/* The same whatever its case: for names. */
bool http1_is_name(const uint8_t *data, struct http1_span s, const char *name);
/* A byte of a name: RFC 9110's tchar. */
bool http1_is_token(uint8_t c);
/* The bytes that a Host may have, and at least one; whether they are a host is for others to say. */
bool http1_is_host(const uint8_t *data, struct http1_span s);
/* Of a head that was read, the field behind the one that ended at *at; 0: the first. False: no more. */
bool http1_next_field(const struct http1_head *h, const uint8_t *data, size_t *at,
                      struct http1_span *name, struct http1_span *value);
/* Connection says that this field, which http_name_of() does not know, is for one hop. */
bool http1_lists(const struct http1_head *h, const uint8_t *data, struct http1_span name);

#endif
