#include "conf/quick.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/args.h"
#include "conf/quick_place.h"

enum { FOR_PORTAL = 1, FOR_BRIDGE = 2, FOR_BOTH = 3 };

/* required: what to write if it is missing. */
static const struct quick_flag {
    const char *name;
    size_t offset;
    unsigned commands;
    const char *required;
    bool many; /* it may stand there more than once */
} flags[] = {
#define FLAG(n, m, c, r, many)                                                                     \
    {                                                                                              \
        n, offsetof(struct quick, m), c, r, many                                                   \
    }
    FLAG("listen", listen, FOR_PORTAL, "--listen :8443, where bridges come", true),
    FLAG("entry", entry, FOR_PORTAL, "--entry :8000, where visitors come", true),
    FLAG("to", to, FOR_BRIDGE, "--to HOST:8443, the portal's --listen", true),
    FLAG("tunnel", tunnel, FOR_BOTH, NULL, true),
    FLAG("key", key, FOR_BOTH, "--key FILE (\"v2c portal --new-key FILE\" makes one)", false),
    FLAG("domain", domain, FOR_PORTAL, NULL, false),
    FLAG("route", route, FOR_PORTAL, NULL, true),
    FLAG("cert", cert, FOR_PORTAL, NULL, false),
    FLAG("cert-key", cert_key, FOR_PORTAL, NULL, false),
    FLAG("new-key", new_key, FOR_PORTAL, NULL, false),
    FLAG("host", host, FOR_BOTH, NULL, true),
    FLAG("user", user, FOR_BOTH, NULL, false),
    FLAG("pin", pin, FOR_BRIDGE, NULL, true),
    FLAG("api", api, FOR_BOTH, NULL, false),
    FLAG("cluster-key", cluster_key, FOR_PORTAL, NULL, false),
    FLAG("peers", peers, FOR_PORTAL, NULL, true),
    FLAG("redis", redis, FOR_PORTAL, NULL, true),
    FLAG("peer-listen", peer_listen, FOR_PORTAL, NULL, false),
    FLAG("advertise", advertise, FOR_PORTAL, NULL, false),
    FLAG("node", node, FOR_PORTAL, NULL, false),
#undef FLAG
};

enum { FLAG_COUNT = sizeof flags / sizeof *flags };

static const struct quick_list *list_of(const struct quick *q, const struct quick_flag *f)
{
    return (const struct quick_list *)(const void *)((const char *)q + f->offset);
}

static const char *command_of(const struct quick *q)
{
    return q->is_bridge ? "bridge" : "portal";
}

static enum quick_result wrong(const struct quick *q, const char *what, const struct err *e)
{
    fprintf(stderr, "v2c %s: %s%s%s\n", command_of(q), what, *what ? ": " : "", e->text);
    return QUICK_WRONG;
}

/* --- the words --- */

static int list_add(struct quick_list *list, const char *value, const char *what, bool many,
                    struct err *e)
{
    if (list->count && !many)
        return err_set(e, EINVAL, "--%s may stand there once", what);
    if (list->count == QUICK_ITEMS)
        return err_set(e, E2BIG, "more than %d of --%s", QUICK_ITEMS, what);
    list->items[list->count++] = value;
    return 0;
}

/* 1: it was a flag of ours; 0: it is none; -1 and e. */
static int flag_take(struct quick *q, char **argv, int *i, struct err *e)
{
    unsigned command = q->is_bridge ? FOR_BRIDGE : FOR_PORTAL;
    for (size_t n = 0; n < FLAG_COUNT; n++) {
        const char *value = arg_value(argv, i, flags[n].name);
        if (!value)
            continue;
        if (!(flags[n].commands & command))
            return err_set(e, EINVAL, "--%s is of \"v2c %s\" only", flags[n].name,
                           q->is_bridge ? "portal" : "bridge");
        return list_add((struct quick_list *)list_of(q, &flags[n]), value, flags[n].name,
                        flags[n].many, e) < 0
                   ? -1
                   : 1;
    }
    return 0;
}

static int word_take(struct quick *q, char **argv, int *i, struct err *e)
{
    int taken = flag_take(q, argv, i, e);
    if (taken)
        return taken < 0 ? -1 : 0;
    if (arg_is(argv[*i], "show")) {
        q->show = true;
        return 0;
    }
    if (*argv[*i] == '-')
        return err_set(e, EINVAL, "cannot use \"%.64s\"%s; see \"v2c help\"", argv[*i],
                       argv[*i + 1] ? "" : ": it is no flag, or wants a value");
    if (!q->is_bridge)
        return err_set(e, EINVAL,
                       "cannot use \"%.64s\": where visitors go in the end, the bridge says",
                       argv[*i]);
    return list_add(&q->target, argv[*i], "targets", true, e);
}

/* --- what they say --- */

static int places_check(const struct quick_list *list, bool host, bool plain, const char *flag,
                        struct err *e)
{
    struct quick_place p;
    for (size_t i = 0; i < list->count; i++) {
        int read = plain ? quick_place_read_plain(&p, list->items[i], e)
                         : quick_place_read(&p, list->items[i], e);
        if (read < 0)
            return err_wrap(e, "%s", flag);
        if (host && !*p.host)
            return err_set(e, EINVAL, "%s: want the portal's name or address before \"%.64s\"",
                           flag, list->items[i]);
    }
    return 0;
}

static int tunnel_check(const char *id, const char *flag, struct err *e)
{
    char text[HOSTNAME_LABEL_MAX + 1];
    if (tunnel_text_read(text, id, strlen(id)))
        return 0;
    return err_set(
        e, EINVAL,
        "%s: want a tunnel's id of up to %d letters, digits, \".\", \"_\", \"-\", got \"%.64s\"",
        flag, HOSTNAME_LABEL_MAX, id);
}

static int route_check(const char *route, struct err *e)
{
    struct hostname_pattern h;
    const char *equals = strchr(route, '=');
    size_t len = equals ? (size_t)(equals - route) : 0;
    if (!equals)
        return err_set(e, EINVAL, "--route: want HOST=TUNNEL, like .example.com=web, got \"%.64s\"",
                       route);
    if (!(len == 1 && *route == '*') && hostname_read_pattern(&h, route, len, e) < 0)
        return err_wrap(e, "--route: want HOST=TUNNEL, with a hostname, .hostname or *");
    return tunnel_check(equals + 1 + (equals[1] == '$'), "--route", e);
}

/* Whoever knows the id of the tunnel is its bridge. */
static bool id_is_secret(const struct quick *q)
{
    return q->is_bridge && !q->key.count && q->tunnel.count == 1 && key_is_id(q->tunnel.items[0]);
}

static bool is_missing(const struct quick *q, const struct quick_flag *f)
{
    unsigned command = q->is_bridge ? FOR_BRIDGE : FOR_PORTAL;
    if (f->offset == offsetof(struct quick, key) && id_is_secret(q))
        return false;
    return (f->commands & command) && f->required && !list_of(q, f)->count;
}

/* All that is missing at once. */
static int required_check(const struct quick *q, struct err *e)
{
    char text[sizeof e->text] = "";
    for (size_t n = 0; n < FLAG_COUNT; n++) {
        size_t len = strlen(text);
        if (is_missing(q, &flags[n]))
            snprintf(text + len, sizeof text - len, "%s%s", len ? "; and " : "", flags[n].required);
    }
    return *text ? err_set(e, EINVAL, "write %s", text) : 0;
}

static bool has_tls(const struct quick_list *list)
{
    struct quick_place p;
    struct err e;
    for (size_t i = 0; i < list->count; i++)
        if (quick_place_read(&p, list->items[i], &e) == 0 &&
            (p.scheme == QUICK_TLS || p.scheme == QUICK_WSS))
            return true;
    return false;
}

/* What the places are is checked where the configuration is read. */
static int cluster_check(const struct quick *q, struct err *e)
{
    bool known = q->peers.count || q->redis.count || q->peer_listen.count;
    if (q->cluster_key.count && !known)
        return err_set(e, EINVAL,
                       "write --peers HOST:7400,HOST:7400 or --redis URL, where the other portals "
                       "are, and --peer-listen :7400, where they find this one");
    if (q->cluster_key.count && !q->peer_listen.count)
        return err_set(e, EINVAL,
                       "write --peer-listen :7400, where the other portals find this one");
    if (!q->cluster_key.count && (known || q->advertise.count || q->node.count))
        return err_set(e, EINVAL,
                       "write --cluster-key FILE, which all portals have (\"openssl rand -hex 32\" "
                       "prints one)");
    return 0;
}

static int portal_check(const struct quick *q, struct err *e)
{
    if (places_check(&q->listen, false, false, "--listen", e) < 0 ||
        places_check(&q->entry, false, true, "--entry", e) < 0)
        return -1;
    for (size_t i = 0; i < q->route.count; i++)
        if (route_check(q->route.items[i], e) < 0)
            return -1;
    if (cluster_check(q, e) < 0)
        return -1;
    bool tls = has_tls(&q->listen), cert = q->cert.count && q->cert_key.count;
    if (tls && !cert)
        return err_set(e, EINVAL,
                       "write --cert FILE --cert-key FILE, the certificate of tls:// and wss://");
    if (!tls && (q->cert.count || q->cert_key.count))
        return err_set(e, EINVAL,
                       "--cert is of --listen tls://... or wss://...; write one of these");
    if (q->tunnel.count || q->host.count || q->user.count)
        return err_set(
            e, EINVAL,
            "--tunnel, --host and --user go with --new-key; which tunnel a host leads to "
            "says --route HOST=TUNNEL");
    return 0;
}

static int bridge_check(const struct quick *q, struct err *e)
{
    struct quick_target t;
    struct hostname_pattern h;
    if (q->tunnel.count != 1)
        return err_set(e, EINVAL, "write --tunnel ID once: the tunnel that this bridge is");
    if (tunnel_check(q->tunnel.items[0], "--tunnel", e) < 0 ||
        places_check(&q->to, true, false, "--to", e) < 0)
        return -1;
    for (size_t i = 0; i < q->host.count; i++)
        if (hostname_read_pattern(&h, q->host.items[i], strlen(q->host.items[i]), e) < 0)
            return err_wrap(e, "--host %.64s: want a hostname without a port", q->host.items[i]);
    if (q->user.count && !q->key.count)
        return err_set(e, EINVAL, "--user is somebody in a --key FILE; write that one, too");
    if (q->pin.count && !has_tls(&q->to))
        return err_set(e, EINVAL, "--pin is of --to tls://... or wss://...; write one of these");
    if (!q->target.count)
        return err_set(
            e, EINVAL,
            "write, as the last word, where visitors are sent: 192.168.1.1:80 or file:FOLDER");
    for (size_t i = 0; i < q->target.count; i++)
        if (quick_target_read(&t, q->target.items[i], e) < 0)
            return -1;
    return 0;
}

static int quick_check(const struct quick *q, struct err *e)
{
    struct hostname h;
    if (required_check(q, e) < 0)
        return -1;
    if (q->domain.count &&
        hostname_read_bare(&h, q->domain.items[0], strlen(q->domain.items[0]), e) < 0)
        return err_wrap(e, "--domain: want a name, like tunnel.example");
    return q->is_bridge ? bridge_check(q, e) : portal_check(q, e);
}

/* --- what follows --- */

static void wipe(char *text)
{
    if (text)
        sodium_memzero(text, strlen(text));
    free(text);
}

static int users_read(struct keyfile *k, const struct quick *q, struct err *e)
{
    if (id_is_secret(q))
        return keyfile_of(k, q->tunnel.items[0], e);
    const char *path = q->key.items[0];
    if (keyfile_read(k, path, e) == 0)
        return 0;
    if (e->code == ENOENT && !q->is_bridge)
        return err_set(
            e, ENOENT,
            "--key %.128s: there is no such file; \"v2c portal --new-key %.128s\" makes it", path,
            path);
    return err_wrap(e, "--key %.128s", path);
}

static char *quick_json(const struct quick *q, struct err *e)
{
    struct keyfile k;
    if (users_read(&k, q, e) < 0)
        return NULL;
    char *text = q->is_bridge ? quick_bridge_json(q, &k, e) : quick_portal_json(q, &k, e);
    keyfile_free(&k);
    return text;
}

static struct source *quick_make(struct config_maker *m, struct err *e)
{
    const struct quick *q = container_of(m, struct quick, maker);
    char *text = quick_json(q, e);
    struct source *s = text ? source_of(m->name, text, strlen(text)) : NULL;
    if (text && !s)
        err_set(e, ENOMEM, "out of memory");
    wipe(text);
    return s;
}

static enum quick_result quick_show(const struct quick *q)
{
    struct err e = {0};
    char *text = quick_json(q, &e);
    if (!text)
        return wrong(q, "", &e);
    printf("%s\n", text);
    wipe(text);
    return QUICK_DONE;
}

/* The items, divided by commas; NULL: there are none, or memory is out. */
static char *list_join(const struct quick_list *list)
{
    char *text = NULL;
    size_t len;
    FILE *to = list->count ? open_memstream(&text, &len) : NULL;
    if (!to)
        return NULL;
    for (size_t i = 0; i < list->count; i++)
        fprintf(to, "%s%s", i ? "," : "", list->items[i]);
    fclose(to);
    return text;
}

static enum quick_result quick_new_key(const struct quick *q)
{
    struct err e = {0};
    const char *path = q->new_key.items[0];
    char *tunnels = list_join(&q->tunnel), *hosts = list_join(&q->host);
    const struct key_user u = {
        .name = q->user.count ? q->user.items[0] : "home", .tunnels = tunnels, .hosts = hosts};
    int result = keyfile_add(path, &u, &e);
    free(tunnels);
    free(hosts);
    if (result < 0)
        return wrong(q, path, &e);
    printf("%s: a new id for \"%s\" is in it. A copy of that line, in a file of its own with mode "
           "600, is the\n"
           "--key of his bridge; the whole file is the portal's.\n",
           path, u.name);
    return QUICK_DONE;
}

enum quick_result quick_read(struct quick *q, const char *command, int argc, char **argv)
{
    struct err e = {0};
    *q = (struct quick){.is_bridge = strcmp(command, "bridge") == 0};
    q->maker = (struct config_maker){.name = q->is_bridge ? "v2c bridge" : "v2c portal",
                                     .make = quick_make};
    for (int i = 0; i < argc; i++)
        if (word_take(q, argv, &i, &e) < 0)
            return wrong(q, "", &e);
    if (q->new_key.count)
        return quick_new_key(q);
    if (quick_check(q, &e) < 0)
        return wrong(q, "", &e);
    if (id_is_secret(q))
        fprintf(stderr,
                "v2c bridge: without --key the tunnel's id is its only secret, and every user "
                "of this machine sees it in the list of processes\n");
    return q->show ? quick_show(q) : QUICK_RUN;
}
