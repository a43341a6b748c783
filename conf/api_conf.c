#include <sodium.h>
#include <string.h>
#include <strings.h>

#include "conf/compile.h"

enum {
    TOKEN_MIN = 32, /* bytes */
    TOKEN_MAX = 512,
    OWNER_ONLY = 0600,
};

struct api_keys {
    const char *tag, *token, *token_file;
    const struct node *services, *listen, *hosts;
};

const struct field api_fields[] = {
    FIELD_TEXT("tag", struct api_keys, tag, ""),
    FIELD_NODE("services", struct api_keys, services, "texts"),
    FIELD_NODE("listen", struct api_keys, listen, "address"),
    FIELD_TEXT("token", struct api_keys, token, ""),
    FIELD_TEXT("tokenFile", struct api_keys, token_file, ""),
    FIELD_NODE("hosts", struct api_keys, hosts, "texts"),
    FIELD_END,
};

/* --- services --- */

/* V2Ray's and Xray's, which are gRPC's. What is served here does not depend on them. */
static bool is_service(const char *name)
{
    static const char *const names[] = {"HandlerService", "LoggerService",
                                        "StatsService",   "ReflectionService",
                                        "RoutingService", "ObservatoryService"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

static void services_check(struct build *b, const struct node *at)
{
    struct text_list list;
    if (!at || !value_texts(b->report, b->scratch, at, &list))
        return;
    for (size_t i = 0; i < list.count; i++)
        if (!is_service(list.items[i].text))
            report_warn(b->report, list.items[i].at,
                        "no core has a service \"%.64s\": want StatsService, for one",
                        list.items[i].text);
}

/* --- the token --- */

static bool is_token_byte(char c)
{
    return c > 0x20 && c < 0x7f;
}

/* No message shows any of it. */
static const char *token_build(struct build *b, const struct node *at, const char *text, size_t len)
{
    size_t good = 0;
    while (good < len && is_token_byte(text[good]))
        good++;
    if (good < len)
        report_error(b->report, at, "want a token of printable ASCII without spaces");
    else if (len < TOKEN_MIN || len > TOKEN_MAX)
        report_error(b->report, at,
                     "want a token of %d..%d bytes, got %zu; \"openssl rand -hex 32\" prints one",
                     TOKEN_MIN, TOKEN_MAX, len);
    const char *own = arena_text(b->config->strings, text, len);
    return own ? own : "";
}

/* Its first line. */
static const char *token_read(struct build *b, const struct node *at, const char *path)
{
    struct err e;
    struct source *s = source_read(path, &e);
    if (!s) {
        report_error(b->report, at, "%.200s: %s", path, e.text);
        return "";
    }
    if (s->exposed)
        report_warn(b->report, at, "%.200s: every user of this machine may read it: chmod o-r",
                    path);
    const char *token = token_build(b, at, s->text, strcspn(s->text, "\r\n"));
    source_free(s);
    return token;
}

static const char *token_of(struct build *b, const struct node *at, const struct api_keys *keys)
{
    const struct node *token = node_get(at, "token"), *file = node_get(at, "tokenFile");
    if (*keys->token && *keys->token_file)
        report_error(b->report, file, "want \"token\" or \"tokenFile\", not both");
    else if (*keys->token)
        return token_build(b, token, keys->token, strlen(keys->token));
    else if (*keys->token_file)
        return token_read(b, file, keys->token_file);
    return "";
}

/* --- where it listens --- */

static bool is_loopback(const struct addr *a)
{
    static const uint8_t six[16] = {[15] = 1};
    return a->type == ADDR_IPV4 ? a->ip[0] == 127
                                : a->type == ADDR_IPV6 && memcmp(a->ip, six, sizeof six) == 0;
}

static bool read_port(const char *text, uint16_t *port)
{
    unsigned n = 0;
    for (; *text >= '0' && *text <= '9' && n <= UINT16_MAX; text++)
        n = n * 10 + (unsigned)(*text - '0');
    *port = (uint16_t)n;
    return !*text && n > 0 && n <= UINT16_MAX;
}

static bool read_loopback(const char *text, struct addr *a)
{
    const char *colon = strrchr(text, ':');
    struct err e;
    if (!colon || !read_port(colon + 1, &a->port) ||
        addr_parse_host(a, text, (size_t)(colon - text), &e) < 0)
        return false;
    if (a->type == ADDR_NAME && strcasecmp(a->name, "localhost") == 0)
        *a = (struct addr){.type = ADDR_IPV4, .port = a->port, .ip = {127, 0, 0, 1}};
    return true;
}

static void listen_fail(struct build *b, const struct node *at)
{
    static const char wanted[] = "\"127.0.0.1:PORT\" or the path of a unix socket";
    if (node_is(at, NODE_TEXT))
        report_error(b->report, at, "want %s, got \"%.64s\"", wanted, at->text);
    else
        report_wrong(b->report, at, wanted);
}

static bool listen_read(struct build *b, const struct node *at, struct addr *a)
{
    struct err e;
    bool text = node_is(at, NODE_TEXT);
    if (text && (*at->text == '/' || *at->text == '@')) {
        if (addr_parse_unix(a, at->text, &e) < 0)
            report_error(b->report, at, "%s", e.text);
        return a->type == ADDR_UNIX;
    }
    if (!text || !read_loopback(at->text, a)) {
        listen_fail(b, at);
        return false;
    }
    if (is_loopback(a))
        return true;
    report_error(b->report, at,
                 "the api listens on loopback or a unix socket only, for it has no TLS: use "
                 "127.0.0.1, and a tunnel or a proxy with TLS to reach it from elsewhere");
    return false;
}

static void listen_build(struct build *b, const struct node *at)
{
    struct config *c = b->config;
    char pointer[NODE_POINTER_MAX];
    struct inbound_conf *in = &c->inbounds[c->inbound_count];
    if (!listen_read(b, at, &in->listen))
        return;
    in->kind = IN_API;
    in->unix_mode = in->listen.type == ADDR_UNIX ? OWNER_ONLY : -1;
    in->tag = api_listen_tag;
    in->pointer = build_text(b, node_pointer(at, pointer));
    in->policy = build_policy(b, 0, 0);
    in->traffic = build_kept_traffic(b, "inbound", "", false, false);
    in->ports = (struct port_range){in->listen.port, in->listen.port};
    in->listen.port = 0;
    digest_node(&in->digest, at, b->scratch);
    for (size_t i = 0; i < c->inbound_count; i++)
        if (inbound_conf_clash(in, &c->inbounds[i]))
            report_error(b->report, at, "%s listens on the same port", c->inbounds[i].pointer);
    c->inbound_count++;
}

/* --- names --- */

static void hosts_build(struct build *b, const struct node *at, struct api_conf *conf)
{
    struct text_list list;
    if (!at || !value_texts(b->report, b->scratch, at, &list))
        return;
    const char **hosts = arena_array(b->config->strings, list.count, sizeof *hosts);
    for (size_t i = 0; hosts && i < list.count; i++) {
        if (!*list.items[i].text || strpbrk(list.items[i].text, ":/*@ []"))
            report_error(b->report, list.items[i].at,
                         "want a host name without a port, as browsers send it, got \"%.64s\"",
                         list.items[i].text);
        hosts[i] = arena_text(b->config->strings, list.items[i].text, strlen(list.items[i].text));
    }
    conf->hosts = hosts;
    conf->host_count = hosts ? list.count : 0;
}

void api_conf_build(struct build *b, const struct node *at, struct outbound_conf *out)
{
    struct api_keys keys;
    struct api_conf *conf = arena_alloc(b->config->strings, sizeof *conf);
    bool read = fields_read(b->report, at, api_fields, &keys);
    outbound_conf_init(b, at, keys.tag, out);
    out->kind = OUT_API;
    if (read && !*keys.tag)
        report_error(b->report, node_member(at, "tag"), "API tag can't be empty.");
    if (!conf)
        return;
    services_check(b, keys.services);
    conf->token = token_of(b, at, &keys);
    hosts_build(b, keys.hosts, conf);
    if (keys.listen)
        listen_build(b, keys.listen);
    b->config->api = conf;
}
