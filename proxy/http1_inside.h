/* proxy/http1_inside.h -- what the parts of the reader of heads share: see proxy/http1.h. */
#ifndef V2C_PROXY_HTTP1_INSIDE_H
#define V2C_PROXY_HTTP1_INSIDE_H

#include "proxy/http1.h"
#include "proxy/http_name.h"

struct bytes { /* a set of them, a bit for each */
    uint32_t bits[8];
};

static inline bool bytes_have(const struct bytes *set, uint8_t c)
{
    return set->bits[c / 32] >> c % 32 & 1;
}

/* The length of the run of such bytes at the start. */
static inline size_t bytes_run(const struct bytes *set, const uint8_t *p, size_t len)
{
    size_t n = 0;
    while (n < len && bytes_have(set, p[n]))
        n++;
    return n;
}

static inline bool http1_is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

extern const struct bytes http1_token, http1_blank;

bool http1_is_word(const uint8_t *p, size_t len, const char *word);
enum step http1_fail(struct http1_head *h, struct err *e, int status, const char *text);
/* A field that http_name_of() knows, and its value. */
enum step http1_read_known(struct http1_head *h, const uint8_t *data, enum http_name name,
                           struct http1_span v, struct err *e);
/* Of a request whose fields are all read. */
bool http1_wants_upgrade(const struct http1_head *h, const uint8_t *data);

#endif
