#include "conf/quick_place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct {
    const char *name;
    enum quick_scheme scheme;
} schemes[] = {
    {"tcp://", QUICK_TCP},
    {"tls://", QUICK_TLS},
    {"ws://", QUICK_WS},
    {"wss://", QUICK_WSS},
};

static int scheme_read(struct quick_place *p, const char **text, struct err *e)
{
    const char *mark = strstr(*text, "://");
    if (!mark)
        return 0;
    size_t len = (size_t)(mark - *text) + 3;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (strlen(schemes[i].name) != len || strncmp(*text, schemes[i].name, len) != 0)
            continue;
        p->scheme = schemes[i].scheme;
        *text += len;
        return 0;
    }
    return err_set(e, EINVAL, "want tls://, ws://, wss:// or none in front, got \"%.64s\"", *text);
}

static bool port_read(const char *text, size_t len, uint16_t *port)
{
    unsigned n = 0;
    if (len == 0 || len > 5 || strspn(text, "0123456789") < len)
        return false;
    for (size_t i = 0; i < len; i++)
        n = n * 10 + (unsigned)(text[i] - '0');
    *port = (uint16_t)n;
    return n > 0 && n <= UINT16_MAX;
}

/* "HOST:PORT" of this length; HOST may be empty. */
static int host_port_read(struct quick_place *p, const char *text, size_t len, struct err *e)
{
    struct hostname h;
    const char *colon = memrchr(text, ':', len);
    size_t host = colon ? (size_t)(colon - text) : 0;
    if (!colon || !port_read(colon + 1, len - host - 1, &p->port))
        return err_set(e, EINVAL, "want HOST:PORT or :PORT, with a port 1..65535, got \"%.*s\"",
                       (int)(len < 64 ? len : 64), text);
    if (host == 0)
        return 0;
    if (hostname_read_bare(&h, text, host, e) < 0)
        return err_wrap(e, "want HOST:PORT, with brackets around an IPv6 address");
    bool brackets = h.kind == HOSTNAME_IPV6;
    memcpy(p->host, h.text + brackets, h.len - (brackets ? 2U : 0U));
    return 0;
}

int quick_place_read(struct quick_place *p, const char *text, struct err *e)
{
    *p = (struct quick_place){.scheme = QUICK_TCP};
    const char *whole = text;
    if (scheme_read(p, &text, e) < 0)
        return -1;
    size_t len = strcspn(text, "/");
    bool may = p->scheme == QUICK_WS || p->scheme == QUICK_WSS;
    if (text[len] && !may)
        return err_set(e, EINVAL, "a path is of ws:// and wss:// only, got \"%.64s\"", whole);
    p->path = text[len] ? text + len : "/";
    return host_port_read(p, text, len, e);
}

int quick_place_read_plain(struct quick_place *p, const char *text, struct err *e)
{
    if (strstr(text, "://"))
        return err_set(e, EINVAL, "want HOST:PORT or :PORT, got \"%.64s\"", text);
    return quick_place_read(p, text, e);
}

/* --- where visitors are sent --- */

/* The name in front of a "=", if that is one: a folder's path may hold a "=" as well. */
static int name_read(struct quick_target *t, const char **text, struct err *e)
{
    const char *equals = strchr(*text, '=');
    struct hostname_pattern h;
    size_t len = equals ? (size_t)(equals - *text) : 0;
    if (!equals || memchr(*text, '/', len))
        return 0;
    if (len >= sizeof t->name || hostname_read_pattern(&h, *text, len, e) < 0)
        return err_set(e, EINVAL, "want a hostname before the \"=\", got \"%.64s\"", *text);
    memcpy(t->name, *text, len);
    *text = equals + 1;
    return 0;
}

static int folder_read(struct quick_target *t, const char *path, struct err *e)
{
    struct stat st;
    t->folder = true;
    if (!realpath(path, t->place))
        return err_sys(e, "%.128s", path);
    if (stat(t->place, &st) < 0 || !S_ISDIR(st.st_mode))
        return err_set(e, ENOTDIR, "want a folder behind \"file:\", got \"%.128s\"", path);
    return 0;
}

static int server_read(struct quick_target *t, const char *text, struct err *e)
{
    struct quick_place p;
    static const char http[] = "http://";
    if (strncmp(text, http, strlen(http)) == 0)
        return err_set(e, EINVAL, "write it without http://, and with a port: %.64s:80",
                       text + strlen(http));
    if (quick_place_read_plain(&p, text, e) < 0)
        return err_wrap(e, "want HOST:PORT or file:FOLDER to send visitors to");
    bool v6 = strchr(p.host, ':');
    snprintf(t->place, sizeof t->place, v6 ? "[%s]:%u" : "%s:%u", *p.host ? p.host : "127.0.0.1",
             (unsigned)p.port);
    return 0;
}

int quick_target_read(struct quick_target *t, const char *text, struct err *e)
{
    static const char file[] = "file:";
    *t = (struct quick_target){0};
    if (name_read(t, &text, e) < 0)
        return -1;
    if (strncmp(text, file, strlen(file)) == 0)
        return folder_read(t, text + strlen(file), e);
    return server_read(t, text, e);
}
