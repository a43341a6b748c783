/* proxy/http_target.h -- the target of an HTTP request: where its path is, and its percent-encoding.
 * Thread: any. Pure. */
#ifndef V2C_PROXY_HTTP_TARGET_H
#define V2C_PROXY_HTTP_TARGET_H

#include "proxy/http1.h"
#include "proxy/page.h"

/* The path of "/path?query" and of "http://host/path?query". */
struct http1_span http_target_path(const uint8_t *data, struct http1_span target);
/* "?query" behind that path; empty when there is none. */
struct http1_span http_target_query(struct http1_span target, struct http1_span path);
/* The byte for which the first of these stand, and how many they are: "%41" is three. -1: what begins with a percent
 * sign is no byte. len > 0. */
int http_target_byte(const uint8_t *p, size_t len, size_t *took);
/* The bytes of a name as a piece of a path: all but letters, digits and "-._~" encoded. */
void http_target_write(struct page *p, const char *name, size_t len);

#endif
