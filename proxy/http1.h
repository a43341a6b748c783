/* proxy/http1.h -- the head of an HTTP/1 request, read strictly: what two readers could understand in
 * two ways is refused. RFC 9112 without its leniencies: only CRLF ends a line, no folded lines, no space
 * before the colon, exactly one Host in HTTP/1.1, and a body's length said once and plainly.
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
};

struct http1_span {
    size_t at, len;
};

struct http1_head {
    /* valid after STEP_DONE */
    struct http1_span method, target;
    struct http1_span host; /* len 0: HTTP/1.0 without one */
    uint8_t minor;          /* HTTP/1.minor */
    bool keep_alive;        /* the client will send another request, if we let it */
    bool has_body;
    bool chunked;            /* the body is */
    uint64_t content_length; /* of the body, unless chunked */
    size_t len;              /* bytes of the head; the body starts here */

    int status; /* valid after STEP_FAIL: 400, 431, 501 or 505 */

    /* the reader's own */
    size_t line, seen; /* where the current line starts; up to where its end was looked for */
    unsigned fields, hosts, lengths, codings;
    bool close, stay; /* Connection said so */
};

/* Starts with a zeroed head. data[0] is the request's first byte in every call, and len only grows.
 * To be called again with the same head only after STEP_MORE. */
enum step http1_read(struct http1_head *h, const uint8_t *data, size_t len, struct err *e);

/* How many fields of a head that was read have this name, whatever its case; the value of the first. */
unsigned http1_field(const struct http1_head *h, const uint8_t *data, const char *name,
                     struct http1_span *value);
/* The bytes at a span equal the text, case and all. */
bool http1_is(const uint8_t *data, struct http1_span s, const char *text);
/* The same whatever its case: for names. */
bool http1_is_name(const uint8_t *data, struct http1_span s, const char *name);
/* Of a head that was read, the field behind the one that ended at *at; 0: the first. False: no more. */
bool http1_next_field(const struct http1_head *h, const uint8_t *data, size_t *at,
                      struct http1_span *name, struct http1_span *value);

#endif
