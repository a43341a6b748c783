#include "proxy/web_page.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/http_words.h"

enum { BODY_MAX = 1024 };

static const struct said {
    int status;
    const char *fields, *why;
} all_said[] = {
    {400, "", "The request is not valid HTTP."},
    {404, "", "No site of this name is known here."},
    {405, "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE\r\n", "This is not a proxy."},
    {408, "", "The request did not come in time."},
    {421, "", "This connection was made for another site."},
    {431, "", "The head of the request is too large."},
    {501, "", "The transfer coding of the request is not known here."},
    {502, "", "The server of this site did not give a valid answer."},
    {503, "Retry-After: 1\r\n", "The server of this site is not connected at this time."},
    {504, "", "The server of this site did not answer in time."},
    {505, "", "Here HTTP/1.0 and HTTP/1.1 are spoken."},
};

static const struct said *said_of(int status)
{
    for (size_t i = 0; i < sizeof all_said / sizeof *all_said; i++)
        if (all_said[i].status == status)
            return &all_said[i];
    return &all_said[0];
}

static const char *connection_of(const struct web_page *p)
{
    if (!p->keep_alive)
        return "Connection: close\r\n";
    return p->minor == 0 ? "Connection: keep-alive\r\n" : "";
}

static size_t body_write(char to[BODY_MAX], const struct web_page *p, const struct said *s)
{
    const char *reason = http_reason(s->status);
    int n = snprintf(to, BODY_MAX,
                     "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                     "<title>%d %s</title></head>\n<body><h1>%d %s</h1>\n<p>%s</p>\n"
                     "<p>Request <code>%s</code></p></body></html>\n",
                     s->status, reason, s->status, reason, s->why, p->id);
    return n < BODY_MAX ? (size_t)n : BODY_MAX - 1;
}

size_t web_page_write(uint8_t to[WEB_PAGE_MAX], const struct web_page *p)
{
    char body[BODY_MAX], date[HTTP_DATE_ROOM];
    const struct said *s = said_of(p->status);
    size_t len = body_write(body, p, s);
    int n = snprintf((char *)to, WEB_PAGE_MAX,
                     "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: text/html; charset=utf-8\r\n"
                     "Content-Length: %zu\r\nCache-Control: no-store\r\n"
                     "X-Content-Type-Options: nosniff\r\nX-Request-Id: %s\r\n%s%s\r\n",
                     s->status, http_reason(s->status), http_date(p->now, date), len, p->id,
                     s->fields, connection_of(p));
    size_t head = n < WEB_PAGE_MAX - BODY_MAX ? (size_t)n : WEB_PAGE_MAX - BODY_MAX;
    if (p->head_only)
        return head;
    memcpy(to + head, body, len);
    return head + len;
}

int web_page_status(int code, bool reached)
{
    if (code == ETIMEDOUT)
        return 504;
    if (reached)
        return 502;
    switch (code) {
    case EHOSTUNREACH: /* no bridge has this tunnel */
    case EAGAIN:
    case ENOMEM:
    case ENOBUFS:
        return 503;
    default:
        return 502;
    }
}
