/* proxy/http_words.h -- what answers of our own say in HTTP's words: a status' reason, dates.
 * Thread: any. Pure. */
#ifndef V2C_PROXY_HTTP_WORDS_H
#define V2C_PROXY_HTTP_WORDS_H

#include <time.h>

#include "proxy/http1.h"

const char *http_reason(int status);

enum { HTTP_DATE_ROOM = 40 };
/* "Sun, 06 Nov 1994 08:49:37 GMT"; returns `out`. */
const char *http_date(time_t at, char out[HTTP_DATE_ROOM]);
/* The same back. False: it is no date of this form; the older two of RFC 9110 are none here. */
bool http_date_read(const uint8_t *data, struct http1_span s, time_t *at);

#endif
