#include "transport/handshake.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include "transport/stream.h"

enum { SWALLOWS = 16 }; /* reads in a turn of what is dropped */

/* --- a head taken apart --- */

static bool is_token_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(const char *text)
{
    const char *p = text;
    while (is_token_byte(*p))
        p++;
    return p > text && !*p;
}

/* No byte that could mean something to a reader of lines. */
static bool is_clean(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((uint8_t)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
            return false;
    return true;
}

/* Ends the line at *text, which goes on to the next. NULL: it has no CRLF, or a byte that does not belong there. */
static char *cut_line(char **text, const char *end)
{
    char *line = *text, *feed = memchr(line, '\n', (size_t)(end - line));
    if (!feed || feed == line || feed[-1] != '\r' || !is_clean(line, (size_t)(feed - 1 - line)))
        return NULL;
    feed[-1] = '\0';
    *text = feed + 1;
    return line;
}

/* The last of the three may be absent in an answer, and hold spaces. */
static bool split_first(struct head *h, char *line)
{
    for (int i = 0; i < 3; i++) {
        h->first[i] = line;
        char *space = i < 2 ? strchr(line, ' ') : NULL;
        if (space)
            *space = '\0';
        line = space ? space + 1 : line + strlen(line);
    }
    return *h->first[0] && *h->first[1];
}

static bool is_version(const char *text)
{
    return strcmp(text, "HTTP/1.1") == 0 || strcmp(text, "HTTP/1.0") == 0;
}

static bool is_first(const struct head *h)
{
    if (is_version(h->first[0]))
        return strlen(h->first[1]) == 3 && strspn(h->first[1], "0123456789") == 3;
    return is_token(h->first[0]) && is_version(h->first[2]);
}

static bool split_field(struct head *h, char *line)
{
    char *colon = strchr(line, ':');
    if (!colon || h->count == HEAD_FIELDS)
        return false;
    *colon++ = '\0';
    colon += strspn(colon, " \t");
    size_t len = strlen(colon);
    while (len && (colon[len - 1] == ' ' || colon[len - 1] == '\t'))
        colon[--len] = '\0';
    h->fields[h->count++] = (struct head_field){line, colon};
    return is_token(line);
}

int head_parse(struct head *h, char *text, size_t len, struct err *e)
{
    const char *end = text + len;
    char *line = cut_line(&text, end);
    h->count = 0;
    if (!line || !split_first(h, line) || !is_first(h))
        return err_set(e, EPROTO, "the first line is not HTTP/1");
    while ((line = cut_line(&text, end)) && *line)
        if (!split_field(h, line))
            return err_set(e, EPROTO, "a header field that is not valid");
    return line ? 0 : err_set(e, EPROTO, "a header line that is not valid");
}

const char *head_field(const struct head *h, const char *name)
{
    for (size_t i = 0; i < h->count; i++)
        if (strcasecmp(h->fields[i].name, name) == 0)
            return h->fields[i].value;
    return NULL;
}

unsigned head_count(const struct head *h, const char *name)
{
    unsigned count = 0;
    for (size_t i = 0; i < h->count; i++)
        count += strcasecmp(h->fields[i].name, name) == 0;
    return count;
}

static bool list_has(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (;;) {
        list += strspn(list, ", \t");
        size_t item = strcspn(list, ", \t");
        if (!item)
            return false;
        if (item == len && strncasecmp(list, word, len) == 0)
            return true;
        list += item;
    }
}

bool head_lists(const struct head *h, const char *name, const char *word)
{
    for (size_t i = 0; i < h->count; i++)
        if (strcasecmp(h->fields[i].name, name) == 0 && list_has(h->fields[i].value, word))
            return true;
    return false;
}

bool head_is_for(const struct head *h, const char *host)
{
    const char *said = head_field(h, "Host");
    size_t len = strlen(host);
    if (!said || strncasecmp(said, host, len) != 0)
        return false;
    return !said[len] ||
           (said[len] == ':' && strspn(said + len + 1, "0123456789") == strlen(said + len + 1));
}

/* --- reading --- */

static enum step handshake_cut(struct err *e, ssize_t n)
{
    if (n == STREAM_ERROR)
        return err_sys(e, "read"), STEP_FAIL;
    return step_fail(e, ECONNRESET, "the connection ended in the handshake");
}

/* Where the blank line ends; 0: it has not come. */
static size_t head_end(const char *text, size_t len, size_t from)
{
    for (size_t i = from > 3 ? from - 3 : 0; i + 4 <= len; i++)
        if (memcmp(text + i, "\r\n\r\n", 4) == 0)
            return i + 4;
    return 0;
}

enum step handshake_read(struct handshake *h, struct layer *l, struct err *e)
{
    if (!h->in)
        h->in = malloc(HANDSHAKE_MAX);
    if (!h->in)
        return step_fail(e, ENOMEM, "out of memory");
    while (!h->head) {
        if (h->len == HANDSHAKE_MAX)
            return step_fail(e, EPROTO, "a head of more than %d bytes", HANDSHAKE_MAX);
        ssize_t n = below_read(l, h->in + h->len, HANDSHAKE_MAX - h->len);
        if (n == STREAM_AGAIN) {
            l->wants_read = true, l->wants_write = false;
            return STEP_MORE;
        }
        h->ended = n == 0;
        if (n <= 0)
            return handshake_cut(e, n);
        h->head = head_end(h->in, h->len + (size_t)n, h->len);
        h->len += (size_t)n;
    }
    return STEP_DONE;
}

static void handshake_forget(struct handshake *h)
{
    free(h->in);
    h->in = NULL;
    h->len = h->head = 0;
}

bool handshake_waiting(const struct handshake *h)
{
    return h->len > h->head;
}

ssize_t handshake_readv(struct handshake *h, struct layer *l, struct iovec *iov, int count)
{
    size_t left = h->len - h->head, n = iov->iov_len < left ? iov->iov_len : left;
    if (!left) {
        handshake_forget(h);
        return below_readv(l, iov, count);
    }
    memcpy(iov->iov_base, h->in + h->head, n);
    h->head += n;
    return (ssize_t)n;
}

/* --- writing --- */

bool handshake_say(struct handshake *h, const char *fmt, ...)
{
    va_list list, again;
    va_start(list, fmt);
    va_copy(again, list);
    int n = vsnprintf(NULL, 0, fmt, list);
    char *out = n < 0 ? NULL : realloc(h->out, h->out_len + (size_t)n + 1);
    if (out) {
        vsnprintf(out + h->out_len, (size_t)n + 1, fmt, again);
        h->out = out;
        h->out_len += (size_t)n;
    }
    va_end(again);
    va_end(list);
    return out != NULL;
}

bool handshake_say_date(struct handshake *h)
{
    char date[64];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    return handshake_say(h, "Date: %s\r\n", date);
}

bool handshake_says(const struct handshake *h)
{
    return h->out_sent < h->out_len;
}

enum step handshake_send(struct handshake *h, struct layer *l, struct err *e)
{
    while (handshake_says(h)) {
        ssize_t n = below_write(l, h->out + h->out_sent, h->out_len - h->out_sent);
        if (n == STREAM_AGAIN) {
            l->wants_read = false, l->wants_write = true;
            return STEP_MORE;
        }
        if (n < 0)
            return err_sys(e, "write"), STEP_FAIL;
        h->out_sent += (size_t)n;
    }
    free(h->out);
    h->out = NULL;
    h->out_len = h->out_sent = 0;
    return STEP_DONE;
}

void handshake_fini(struct handshake *h)
{
    handshake_forget(h);
    free(h->out);
    *h = (struct handshake){0};
}

/* --- refusing --- */

static bool say_not_found(struct handshake *h)
{
    static const char page[] = "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n"
                               "<center><h1>404 Not Found</h1></center>\r\n</body>\r\n</html>\r\n";
    return handshake_say(h, "HTTP/1.1 404 Not Found\r\n") && handshake_say_date(h) &&
           handshake_say(h,
                         "Content-Type: text/html\r\nContent-Length: %zu\r\n"
                         "Connection: close\r\n\r\n%s",
                         sizeof page - 1, page);
}

/* What the layers below say at the end, then the socket's own. */
static void say_end(struct layer *l)
{
    for (struct layer *b = l->below; b; b = b->below)
        if (b->ops->finish)
            b->ops->finish(b);
    if (l->stream->fd >= 0)
        shutdown(l->stream->fd, SHUT_WR);
}

/* Closing before the client does, with bytes of his unread, would take the answer from him. */
static enum step swallow(struct layer *l, const char *why, struct err *e)
{
    uint8_t dropped[4096];
    ssize_t n = 1;
    for (int i = 0; n > 0 && i < SWALLOWS; i++)
        n = below_read(l, dropped, sizeof dropped);
    if (n == 0 || n == STREAM_ERROR)
        return step_fail(e, EPROTO, "%s", why);
    l->wants_read = true, l->wants_write = false;
    return STEP_MORE;
}

enum step handshake_refuse(struct handshake *h, struct layer *l, const char *why, struct err *e)
{
    if (!h->refuses) {
        h->refuses = true;
        handshake_forget(h);
        if (!say_not_found(h))
            return step_fail(e, ENOMEM, "out of memory");
    }
    enum step s = h->refused ? STEP_DONE : handshake_send(h, l, e);
    if (s != STEP_DONE)
        return s;
    if (!h->refused)
        say_end(l);
    h->refused = true;
    return swallow(l, why, e);
}
