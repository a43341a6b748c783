/* proxy/http_body.h -- where the body of an HTTP/1 message ends: by Content-Length, in chunks, or, of an answer, with
 * the connection. The bytes themselves pass unchanged, so nobody behind can see another end than we do: what two
 * readers could understand in two ways is refused (RFC 9112, sections 6.3 and 7.1, without their leniencies), and so are
 * trailers with names that mean something in a head.
 * Thread: any. Pure. */
#ifndef V2C_PROXY_HTTP_BODY_H
#define V2C_PROXY_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "proxy/http1.h"
#include "proxy/http_name.h"

enum http_body_state {
    HTTP_BODY_DONE, /* nothing belongs to it any more */
    HTTP_BODY_COUNTED,
    HTTP_BODY_UNTIL_CLOSE, /* all that comes; the end of the connection is no cut */
    HTTP_BODY_SIZE,        /* a chunk's size, ... */
    HTTP_BODY_EXTENSION,
    HTTP_BODY_SIZE_LF,
    HTTP_BODY_CHUNK, /* ... its bytes, ... */
    HTTP_BODY_CHUNK_CR,
    HTTP_BODY_CHUNK_LF,
    HTTP_BODY_TRAILER, /* behind the last one: fields up to an empty line */
    HTTP_BODY_TRAILER_VALUE,
    HTTP_BODY_TRAILER_LF,
    HTTP_BODY_END_LF,
};

struct http_body {
    enum http_body_state state;
    uint64_t left;           /* bytes of the body or of this chunk */
    unsigned digits;         /* of a size, or bytes of an extension */
    unsigned trailers, line; /* bytes of all trailers, and of this one's name */
    uint8_t name[HTTP_NAME_KNOWN_MAX];
};

struct http_body http_body_counted(uint64_t length);
struct http_body http_body_chunked(void);
/* Of a head that was read. */
struct http_body http_body_of_request(const struct http1_head *h);
/* no_body: it answers HEAD. Codes 1xx, 204 and 304 have none anyway. */
struct http_body http_body_of_answer(const struct http1_head *h, bool no_body);
/* Of n bytes, how many belong to the body; fewer than n only when it is done. -1 and e: not valid. */
int http_body_take(struct http_body *b, const uint8_t *p, size_t n, size_t *took, struct err *e);
/* If the connection ends here: the body is whole. */
bool http_body_whole(const struct http_body *b);

#endif
