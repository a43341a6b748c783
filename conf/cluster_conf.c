/* conf/cluster_conf.c -- "cluster": the other portals of one service, and how they know this one. */
#include <sodium.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "conf/cluster_settings.h"
#include "conf/compile.h"

enum {
    PEERS_MAX = 255,
    LINKS_MAX = 8,
    PEER_PORT = 7400,
    KEY_MIN = 32, /* bytes, of which the key is made */
    KEY_MAX = 512,
};

static const double SPREAD = 10, SPREAD_MAX = 600; /* seconds */

struct cluster_keys {
    const char *name, *node, *zone, *key, *listen, *advertise;
    const struct node *peers, *networks, *spread, *registry;
    int64_t links;
};

const struct field cluster_fields[] = {
    FIELD_TEXT("name", struct cluster_keys, name, "v2c"),
    FIELD_TEXT("node", struct cluster_keys, node, ""),
    FIELD_TEXT("zone", struct cluster_keys, zone, ""),
    FIELD_TEXT("key", struct cluster_keys, key, ""),
    FIELD_TEXT("listen", struct cluster_keys, listen, ""),
    FIELD_TEXT("advertise", struct cluster_keys, advertise, ""),
    FIELD_NODE("peers", struct cluster_keys, peers, "texts"),
    FIELD_NODE("networks", struct cluster_keys, networks, "texts"),
    FIELD_NUMBER("links", struct cluster_keys, links, 0, LINKS_MAX, 0),
    FIELD_NODE("spread", struct cluster_keys, spread, "seconds|duration"),
    FIELD_NODE("registry", struct cluster_keys, registry, "object"),
    FIELD_END,
};

/* --- names --- */

/* They are parts of keys in the registry. */
static const char *name_build(struct build *b, const struct node *at, const char *text,
                              struct cluster_settings *s)
{
    char name[HOSTNAME_LABEL_MAX + 1];
    text = value_env(b->report, at, text);
    if (text && !tunnel_text_read(name, text, strlen(text))) {
        report_error(b->report, at,
                     "want 1 to %d letters, digits, \".\", \"_\" and \"-\", got \"%.64s\"",
                     HOSTNAME_LABEL_MAX, text);
        text = NULL;
    }
    const char *own = text ? arena_text(s->memory, name, strlen(name)) : NULL;
    return own ? own : "";
}

/* As the machine, or the pod, is called. */
static const char *own_name(struct build *b, const struct node *at, struct cluster_settings *s)
{
    char host[256] = "", name[HOSTNAME_LABEL_MAX + 1] = "";
    if (gethostname(host, sizeof host - 1) < 0 || !tunnel_text_read(name, host, strlen(host)))
        report_error(b->report, at,
                     "this host is called \"%.64s\", which cannot be a node's name: want \"node\"",
                     host);
    const char *own = arena_text(s->memory, name, strlen(name));
    return own ? own : "";
}

static void names_build(struct build *b, const struct node *at, const struct cluster_keys *keys,
                        struct cluster_settings *s)
{
    struct cluster_conf *c = &s->conf;
    c->name = name_build(b, node_member(at, "name"), keys->name, s);
    c->node =
        *keys->node ? name_build(b, node_member(at, "node"), keys->node, s) : own_name(b, at, s);
    c->zone = *keys->zone ? name_build(b, node_member(at, "zone"), keys->zone, s) : "";
}

/* --- the key --- */

static size_t key_decode(const char *text, size_t len, uint8_t raw[KEY_MAX])
{
    static const int variants[] = {
        sodium_base64_VARIANT_ORIGINAL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING,
        sodium_base64_VARIANT_URLSAFE, sodium_base64_VARIANT_URLSAFE_NO_PADDING};
    size_t got = 0;
    if (sodium_hex2bin(raw, KEY_MAX, text, len, NULL, &got, NULL) == 0)
        return got;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (sodium_base642bin(raw, KEY_MAX, text, len, NULL, &got, NULL, variants[i]) == 0)
            return got;
    return 0;
}

/* No message shows any of it. */
static void key_read(struct build *b, const struct node *at, const char *text, size_t len,
                     struct cluster_settings *s)
{
    uint8_t raw[KEY_MAX];
    size_t got = key_decode(text, len, raw);
    if (got < KEY_MIN)
        report_error(b->report, at,
                     "want the key as hexadecimal digits or base64, of at least %d bytes: "
                     "\"openssl rand -hex 32\" prints one",
                     KEY_MIN);
    else
        crypto_hash_sha256(s->conf.key, raw, got);
    sodium_memzero(raw, sizeof raw);
}

static void key_of_file(struct build *b, const struct node *at, const char *path,
                        struct cluster_settings *s)
{
    struct err e;
    struct source *file = source_read(path, &e);
    if (!file) {
        report_error(
            b->report, at,
            "%.200s: %s; all nodes have the same file, and \"openssl rand -hex 32\" prints "
            "what is in it",
            path, e.text);
        return;
    }
    if (file->exposed)
        report_warn(b->report, at, "%.200s: every user of this machine may read it: chmod o-r",
                    path);
    key_read(b, at, file->text, strcspn(file->text, " \t\r\n"), s);
    source_free(file);
}

static void key_build(struct build *b, const struct node *at, const char *text,
                      struct cluster_settings *s)
{
    if (!*text) {
        report_error(b->report, at,
                     "want \"key\", which all nodes have and nobody else: \"file:PATH\", "
                     "\"openssl rand -hex 32\" prints one");
        return;
    }
    text = value_env(b->report, at, text);
    if (text && strncmp(text, "file:", 5) == 0)
        key_of_file(b, at, text + 5, s);
    else if (text)
        key_read(b, at, text, strlen(text), s);
}

/* --- where it is, and where others are --- */

bool cluster_place_read(struct build *b, const struct node *at, const char *text, uint16_t port,
                        struct addr *a)
{
    struct hostname h;
    struct err e;
    const char *colon = strchr(text, ':');
    if (*text != '[' && colon && strchr(colon + 1, ':'))
        text = arena_printf(b->scratch, "[%s]", text); /* a pod's address, without a port */
    if (text && hostname_read(&h, text, strlen(text), &e) == 0) {
        hostname_addr(&h, port, a);
        return true;
    }
    if (text)
        report_error(b->report, at, "want \"host:port\", got \"%.64s\": %s", text, e.text);
    return false;
}

static bool is_any(const struct addr *a)
{
    static const uint8_t zero[16];
    return addr_is_ip(a) && memcmp(a->ip, zero, addr_ip_len(a)) == 0;
}

/* ":7400" is every address. */
static void listen_build(struct build *b, const struct node *at, const char *text,
                         struct cluster_settings *s)
{
    struct addr a = {0};
    text = value_env(b->report, at, text);
    if (text && *text == ':')
        text = arena_printf(b->scratch, "0.0.0.0%s", text);
    if (!text || !cluster_place_read(b, at, text, PEER_PORT, &a))
        return;
    if (a.type == ADDR_NAME && strcasecmp(a.name, "localhost") == 0)
        a = (struct addr){.type = ADDR_IPV4, .port = a.port, .ip = {127, 0, 0, 1}};
    if (a.type == ADDR_NAME)
        report_error(b->report, at, "want an address to listen on, or \":port\", got \"%.64s\"",
                     a.name);
    else if (is_any(&a))
        a = (struct addr){.port = a.port};
    s->conf.listen = a;
}

/* Two listeners of one process on one port would share what comes. */
static void listen_check(struct build *b, const struct node *at, const struct addr *listen)
{
    struct inbound_conf own = {
        .kind = IN_VMESS, .listen = *listen, .ports = {listen->port, listen->port}};
    own.listen.port = 0;
    for (size_t i = 0; i < b->config->inbound_count; i++)
        if (inbound_conf_clash(&own, &b->config->inbounds[i]))
            report_error(b->report, at, "%s listens on the same port",
                         b->config->inbounds[i].pointer);
}

static void advertise_build(struct build *b, const struct node *at, const char *text,
                            struct cluster_settings *s)
{
    struct cluster_conf *c = &s->conf;
    uint16_t port = c->listen.port ? c->listen.port : PEER_PORT;
    if (*text) {
        text = value_env(b->report, at, text);
        if (text && cluster_place_read(b, at, text, port, &c->advertise) && is_any(&c->advertise))
            report_error(b->report, at, "want the address that other nodes dial, got \"%.64s\"",
                         text);
        return;
    }
    c->advertise = c->listen;
    if (c->listen.type != ADDR_NONE || !c->listen.port)
        return;
    c->advertise = (struct addr){0};
    if (c->registry)
        report_error(b->report, at,
                     "want \"advertise\", where other nodes find this one: \"listen\" is every "
                     "address; \"env:POD_IP\" for one");
}

static void peers_build(struct build *b, const struct node *at, struct cluster_settings *s)
{
    struct text_list list = {0};
    struct cluster_conf *c = &s->conf;
    if (!value_texts(b->report, b->scratch, at, &list) || !list.count)
        return;
    if (list.count > PEERS_MAX)
        report_error(b->report, at, "too many peers: at most %d", PEERS_MAX);
    struct addr *peers = arena_array(s->memory, list.count, sizeof *peers);
    for (size_t i = 0; peers && i < list.count; i++) {
        const char *text = value_env(b->report, list.items[i].at, list.items[i].text);
        if (text && cluster_place_read(b, list.items[i].at, text, PEER_PORT, &peers[c->peer_count]))
            c->peer_count++;
    }
    c->peers = peers;
}

/* --- networks --- */

static bool bits_read(const char *text, unsigned most, uint8_t *bits)
{
    unsigned n = 0;
    size_t len = strspn(text, "0123456789");
    for (size_t i = 0; i < len && i < 4; i++)
        n = n * 10 + (unsigned)(text[i] - '0');
    *bits = (uint8_t)n;
    return len > 0 && len < 4 && !text[len] && n <= most;
}

static bool network_read(const char *text, struct cluster_network *n)
{
    struct err e;
    size_t len = strcspn(text, "/");
    *n = (struct cluster_network){0};
    if (addr_parse_host(&n->from, text, len, &e) < 0 || !addr_is_ip(&n->from))
        return false;
    unsigned most = 8 * (unsigned)addr_ip_len(&n->from);
    n->bits = (uint8_t)most;
    return !text[len] || bits_read(text + len + 1, most, &n->bits);
}

static void networks_build(struct build *b, const struct node *at, struct cluster_settings *s)
{
    struct text_list list = {0};
    struct cluster_conf *c = &s->conf;
    if (!value_texts(b->report, b->scratch, at, &list) || !list.count)
        return;
    struct cluster_network *networks = arena_array(s->memory, list.count, sizeof *networks);
    for (size_t i = 0; networks && i < list.count; i++)
        if (network_read(list.items[i].text, &networks[c->network_count]))
            c->network_count++;
        else
            report_error(b->report, list.items[i].at,
                         "want a network like \"10.0.0.0/8\" or an address, got \"%.64s\"",
                         list.items[i].text);
    c->networks = networks;
}

/* --- all of it --- */

static void digest_build(struct build *b, const struct node *at, struct cluster_settings *s)
{
    const char *const secrets[] = {s->registry.password, s->registry.sentinel_password};
    digest_node(&s->digest, at, b->scratch);
    digest_mix(&s->digest, s->conf.key, sizeof s->conf.key);
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
        if (secrets[i])
            digest_mix(&s->digest, secrets[i], strlen(secrets[i]));
}

static void settings_build(struct build *b, const struct node *at, const struct cluster_keys *keys,
                           struct cluster_settings *s)
{
    char pointer[NODE_POINTER_MAX];
    struct cluster_conf *c = &s->conf;
    node_pointer(at, pointer);
    c->pointer = arena_text(s->memory, pointer, strlen(pointer));
    c->links = (unsigned)keys->links;
    c->spread = SPREAD;
    names_build(b, at, keys, s);
    key_build(b, node_member(at, "key"), keys->key, s);
    if (*keys->listen)
        listen_build(b, node_member(at, "listen"), keys->listen, s);
    if (c->listen.port)
        listen_check(b, node_member(at, "listen"), &c->listen);
    if (keys->registry)
        registry_conf_build(b, keys->registry, s);
    advertise_build(b, node_member(at, "advertise"), keys->advertise, s);
    if (keys->peers)
        peers_build(b, keys->peers, s);
    if (keys->networks)
        networks_build(b, keys->networks, s);
    value_seconds(b->report, keys->spread, 0, SPREAD_MAX, &c->spread);
    if (!c->peer_count && !c->registry && !c->listen.port)
        report_warn(b->report, at,
                    "this node finds no other and none finds it: want \"peers\", \"registry\" or "
                    "\"listen\"");
    digest_build(b, at, s);
}

void cluster_conf_build(struct build *b, const struct node *at)
{
    struct cluster_keys keys;
    if (!at || !fields_read(b->report, at, cluster_fields, &keys))
        return;
    struct cluster_settings *s = b->config->cluster = cluster_settings_new();
    if (s)
        settings_build(b, at, &keys, s);
    b->scratch->failed |= !s || s->memory->failed;
}
