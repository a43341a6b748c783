#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/compile.h"

struct observatory_keys {
    const struct node *subjects, *interval;
    const char *url;
    bool concurrent;
};

#define PROBE_URL "https://api.v2fly.org/checkConnection.svgz" /* V2Ray's */

static const double INTERVAL = 10, INTERVAL_MIN = 0.1, INTERVAL_MAX = 86400; /* seconds */

const struct field observatory_fields[] = {
    FIELD_NODE("subjectSelector", struct observatory_keys, subjects, "texts"),
    FIELD_TEXT("probeURL", struct observatory_keys, url, PROBE_URL),
    FIELD_NODE("probeInterval", struct observatory_keys, interval, "duration"),
    FIELD_BOOL("enableConcurrency", struct observatory_keys, concurrent, false),
    FIELD_END,
};

/* --- how often --- */

static void interval_build(struct build *b, const struct node *at, double *interval)
{
    static const char wanted[] = "a duration as \"10s\" or \"1m30s\"";
    double seconds;
    *interval = INTERVAL;
    if (!at)
        return;
    if (at->type != NODE_TEXT)
        report_wrong(b->report, at, wanted);
    else if (!value_duration(at->text, &seconds))
        report_error(b->report, at, "want %s, got \"%.64s\"", wanted, at->text);
    else if (seconds != 0 && (seconds < INTERVAL_MIN || seconds > INTERVAL_MAX))
        report_error(b->report, at, "want a duration from \"100ms\" to \"24h\", got \"%.64s\"",
                     at->text);
    else if (seconds != 0)
        *interval = seconds;
}

/* --- a URL --- */

struct url {
    bool https;
    char host[ADDR_NAME_MAX + 8]; /* as it stands there, with the port */
    const char *path;
};

static const char *after(const char *text, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncasecmp(text, prefix, len) == 0 ? text + len : NULL;
}

static bool is_plain(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text >= 0x7f)
            return false;
    return true;
}

static bool url_split(const char *text, struct url *u)
{
    const char *rest = after(text, "https://");
    u->https = rest;
    if (!rest)
        rest = after(text, "http://");
    if (!rest || !is_plain(text))
        return false;
    size_t len = strcspn(rest, "/?#");
    if (len == 0 || len >= sizeof u->host || memchr(rest, '@', len))
        return false;
    memcpy(u->host, rest, len);
    u->host[len] = '\0';
    u->path = rest + len;
    return *u->path != '#';
}

/* "host", "host:port", "[v6]", "[v6]:port". */
static bool host_parse(const struct url *u, struct addr *target)
{
    struct err e;
    struct port_range port = {u->https ? 443 : 80, u->https ? 443 : 80};
    const char *colon = strrchr(u->host, ':');
    size_t len = strlen(u->host);
    if (colon && (*u->host != '[' || colon[-1] == ']')) {
        if (port_range_parse(&port, colon + 1, strlen(colon + 1), &e) < 0)
            return false;
        len = (size_t)(colon - u->host);
    }
    target->port = port.from;
    return port.from == port.to && port.from > 0 && addr_parse_host(target, u->host, len, &e) == 0;
}

/* As any client that trusts what the system trusts. */
static void tls_build(struct build *b, const struct node *at, struct prober_conf *out)
{
    out->carriage = carriage_new();
    if (out->carriage)
        out->carriage->tls = tls_conf_build(b, NULL, at, false, "http/1.1");
    else
        b->scratch->failed = true;
}

static void url_build(struct build *b, const struct node *at, const char *text,
                      struct prober_conf *out)
{
    struct url u;
    if (!url_split(text, &u) || !host_parse(&u, &out->target)) {
        report_error(b->report, node_member(at, "probeURL"),
                     "want \"https://host/path\" or \"http://host:port/path\", got "
                     "\"%.64s\"",
                     text);
        return;
    }
    out->request =
        arena_printf(b->config->strings,
                     "GET %s%.*s HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n"
                     "Connection: close\r\n\r\n",
                     *u.path == '/' ? "" : "/", (int)strcspn(u.path, "#"), u.path, u.host);
    if (u.https)
        tls_build(b, at, out);
}

/* --- whom --- */

static void subjects_build(struct build *b, const struct node *at, struct prober_conf *out)
{
    struct text_list prefixes = {0};
    size_t *outbounds;
    if (at && !value_texts(b->report, b->scratch, at, &prefixes))
        return;
    size_t count = selector_build(b, &prefixes, &outbounds);
    out->items = arena_array(b->config->strings, count, sizeof *out->items);
    for (size_t i = 0; out->items && i < count; i++)
        out->items[out->count++].outbound = outbounds[i];
}

void observatory_conf_build(struct build *b, const struct node *at)
{
    struct observatory_keys keys;
    struct prober_conf *out = &b->config->observatory;
    if (!at || !fields_read(b->report, at, observatory_fields, &keys))
        return;
    subjects_build(b, keys.subjects, out);
    interval_build(b, keys.interval, &out->interval);
    out->concurrent = keys.concurrent;
    if (out->count > 0)
        url_build(b, at, keys.url, out);
    else if (!b->partial)
        report_warn(b->report, at, "observes nothing: subjectSelector selects no outbound");
}
