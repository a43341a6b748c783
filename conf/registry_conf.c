/* conf/registry_conf.c -- "registry" of a cluster: which Redis, and how its entries age. */
#include <sodium.h>
#include <string.h>
#include <strings.h>

#include "conf/cluster_settings.h"
#include "conf/compile.h"

enum {
    REDIS_PORT = 6379,
    SENTINEL_PORT = 26379,
    DATABASE_MAX = 65535,
    PASSWORD_MAX = 512,
};

struct registry_keys {
    const struct node *redis, *sentinel, *tls, *timeout, *lease, *sweep, *hold;
    const char *user, *password, *password_file;
    int64_t database;
};

struct sentinel_keys {
    const struct node *servers;
    const char *master, *password, *password_file;
};

const struct field registry_fields[] = {
    FIELD_NODE("redis", struct registry_keys, redis, "texts"),
    FIELD_NODE("sentinel", struct registry_keys, sentinel, "object"),
    FIELD_TEXT("user", struct registry_keys, user, ""),
    FIELD_TEXT("password", struct registry_keys, password, ""),
    FIELD_TEXT("passwordFile", struct registry_keys, password_file, ""),
    FIELD_NODE("tls", struct registry_keys, tls, "object"),
    FIELD_NUMBER("database", struct registry_keys, database, 0, DATABASE_MAX, 0),
    FIELD_NODE("timeout", struct registry_keys, timeout, "seconds|duration"),
    FIELD_NODE("lease", struct registry_keys, lease, "seconds|duration"),
    FIELD_NODE("sweep", struct registry_keys, sweep, "seconds|duration"),
    FIELD_NODE("hold", struct registry_keys, hold, "seconds|duration"),
    FIELD_END,
};

const struct field sentinel_fields[] = {
    FIELD_TEXT("master", struct sentinel_keys, master, ""),
    FIELD_NODE("servers", struct sentinel_keys, servers, "texts"),
    FIELD_TEXT("password", struct sentinel_keys, password, ""),
    FIELD_TEXT("passwordFile", struct sentinel_keys, password_file, ""),
    FIELD_END,
};

/* One registry under construction. */
struct making {
    struct build *b;
    struct cluster_settings *s;
    const struct node *at, *tls; /* tls: its settings, may be NULL */
    bool in_url;                 /* a URL said who we are, or which database */
};

/* --- who we are --- */

/* The first line. No message shows any of it. */
static const char *password_read(struct making *m, const struct node *at, const char *path)
{
    struct err e;
    struct source *file = source_read(path, &e);
    if (!file) {
        report_error(m->b->report, at, "%.200s: %s", path, e.text);
        return NULL;
    }
    if (file->exposed)
        report_warn(m->b->report, at, "%.200s: every user of this machine may read it: chmod o-r",
                    path);
    size_t len = strcspn(file->text, "\r\n");
    if (len == 0 || len > PASSWORD_MAX)
        report_error(m->b->report, at, "want a password of 1 to %d bytes in the first line",
                     PASSWORD_MAX);
    const char *password = arena_text(m->s->memory, file->text, len);
    source_free(file);
    return password;
}

/* NULL: none. at: the object that may have "password" or "passwordFile". */
static const char *password_build(struct making *m, const struct node *at, const char *text,
                                  const char *file)
{
    if (*text && *file)
        report_error(m->b->report, node_member(at, "passwordFile"),
                     "want \"password\" or \"passwordFile\", not both");
    if (*file)
        return password_read(m, node_member(at, "passwordFile"), file);
    if (*text)
        text = value_env(m->b->report, node_member(at, "password"), text);
    return text && *text ? arena_text(m->s->memory, text, strlen(text)) : NULL;
}

/* --- a server --- */

/* What lies between two marks of a URL, with its escapes. */
static char *part_read(struct making *m, const char *text, size_t len)
{
    char *to = arena_text(m->s->memory, text, len), *out = to;
    for (const char *p = to; p && *p; p++) {
        uint8_t byte;
        if (*p == '%' &&
            sodium_hex2bin(&byte, 1, p + 1, strnlen(p + 1, 2), NULL, NULL, NULL) == 0 && byte) {
            *out++ = (char)byte;
            p += 2;
        } else {
            *out++ = *p;
        }
    }
    if (out)
        *out = '\0';
    return to;
}

/* Said at several servers, it is said the same. */
static void same_text(struct making *m, const struct node *at, const char **to, const char *text)
{
    if (*to && strcmp(*to, text) != 0)
        report_error(m->b->report, at, "want the same user and password in all URLs");
    *to = text;
}

/* "user:password" or ":password". */
static void login_read(struct making *m, const struct node *at, const char *text, size_t len)
{
    const char *colon = memchr(text, ':', len);
    size_t user = colon ? (size_t)(colon - text) : len;
    if (!colon || user + 1 == len) {
        report_error(m->b->report, at, "want \"user:password@\" or \":password@\" before the host");
        return;
    }
    m->in_url = true;
    if (user > 0)
        same_text(m, at, &m->s->registry.user, part_read(m, text, user));
    same_text(m, at, &m->s->registry.password, part_read(m, colon + 1, len - user - 1));
}

/* "/2" behind the host. */
static void database_read(struct making *m, const struct node *at, const char *text)
{
    unsigned n = 0;
    size_t len = strspn(text, "0123456789");
    for (size_t i = 0; i < len && i < 6; i++)
        n = n * 10 + (unsigned)(text[i] - '0');
    if (text[len] || len > 5 || n > DATABASE_MAX) {
        report_error(m->b->report, at, "want the number of a database, if anything, behind \"/\"");
        return;
    }
    if (m->s->registry.database && m->s->registry.database != n)
        report_error(m->b->report, at, "want the same database in all URLs");
    if (len)
        m->s->registry.database = n;
}

/* One for all: they say the same. */
static struct carriage *tls_carriage(struct making *m, const struct node *at)
{
    if (m->s->tls)
        return m->s->tls;
    m->s->tls = carriage_new();
    if (m->s->tls)
        m->s->tls->tls = tls_conf_build(m->b, m->tls, m->tls ? m->tls : at, false, "");
    else
        m->b->scratch->failed = true;
    return m->s->tls;
}

static bool unix_read(struct making *m, const struct node *at, const char *path,
                      struct redis_server *to)
{
    struct err e;
    if (addr_parse_unix(&to->at, path, &e) == 0)
        return true;
    report_error(m->b->report, at, "want \"unix:///path\", got \"%.64s\": %s", path, e.text);
    return false;
}

static const char *after(const char *text, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncasecmp(text, prefix, len) == 0 ? text + len : NULL;
}

/* "[user:password@]host[:port][/database]" of this URL, or of none. */
static bool host_read(struct making *m, const struct node *at, const char *text, uint16_t port,
                      struct redis_server *to)
{
    size_t len = strcspn(text, "/?#");
    const char *mark = memrchr(text, '@', len);
    const char *host = mark ? mark + 1 : text;
    char *own = arena_text(m->b->scratch, host, len - (size_t)(host - text));
    if (text[len] && text[len] != '/')
        report_error(m->b->report, at, "want nothing like \"?\" or \"#\" behind the host");
    else if (text[len])
        database_read(m, at, text + len + 1);
    if (mark)
        login_read(m, at, text, (size_t)(mark - text));
    return own && cluster_place_read(m->b, at, own, port, &to->at);
}

static bool server_read(struct making *m, const struct text_item *item, uint16_t port,
                        struct redis_server *to)
{
    const char *text = value_env(m->b->report, item->at, item->text), *rest;
    if (!text)
        return false;
    if ((rest = after(text, "unix://")))
        return unix_read(m, item->at, rest, to);
    if ((rest = after(text, "rediss://")))
        to->carriage = tls_carriage(m, item->at);
    else if (!(rest = after(text, "redis://")))
        rest = text;
    if (!strstr(rest, "://"))
        return host_read(m, item->at, rest, port, to);
    report_error(m->b->report, item->at,
                 "want \"redis://host:port\", \"rediss://host:port\" or \"unix:///path\"");
    return false;
}

static void servers_build(struct making *m, const struct node *at, uint16_t port)
{
    struct text_list list = {0};
    struct registry_conf *r = &m->s->registry;
    if (!at || !value_texts(m->b->report, m->b->scratch, at, &list))
        return;
    if (!list.count)
        report_error(m->b->report, at, "want at least one server");
    if (list.count > CLUSTER_REDIS_MAX)
        report_error(m->b->report, at, "too many servers: at most %d", CLUSTER_REDIS_MAX);
    struct redis_server *servers = arena_array(m->s->memory, list.count, sizeof *servers);
    for (size_t i = 0; servers && i < list.count; i++)
        if (server_read(m, &list.items[i], port, &servers[r->server_count]))
            r->server_count++;
    r->servers = servers;
}

/* --- Sentinel --- */

static void sentinel_build(struct making *m, const struct node *at)
{
    struct sentinel_keys keys;
    struct registry_conf *r = &m->s->registry;
    if (!fields_read(m->b->report, at, sentinel_fields, &keys))
        return;
    if (!*keys.master || strlen(keys.master) > PASSWORD_MAX)
        report_error(m->b->report, node_member(at, "master"),
                     "want the name under which Sentinel knows the server");
    if (!keys.servers)
        report_error(m->b->report, at, "want \"servers\", where Sentinels are");
    r->master = arena_text(m->s->memory, keys.master, strlen(keys.master));
    r->sentinel_password = password_build(m, at, keys.password, keys.password_file);
    servers_build(m, keys.servers, SENTINEL_PORT);
    if (m->in_url)
        report_error(m->b->report, keys.servers,
                     "want user and password of Redis in \"registry\", and Sentinel's in "
                     "\"sentinel\", not here");
}

/* --- all of it --- */

static void login_build(struct making *m, const struct registry_keys *keys)
{
    struct registry_conf *r = &m->s->registry;
    const char *password = password_build(m, m->at, keys->password, keys->password_file);
    if (m->in_url && (password || *keys->user)) {
        report_error(m->b->report, m->at, "want user and password in the URL or here, not both");
        return;
    }
    if (m->in_url)
        return;
    r->password = password;
    if (*keys->user && !password)
        report_error(m->b->report, node_member(m->at, "user"), "want a password for \"%.64s\", too",
                     keys->user);
    r->user = *keys->user ? arena_text(m->s->memory, keys->user, strlen(keys->user)) : NULL;
}

static void ages_build(struct making *m, const struct registry_keys *keys)
{
    struct registry_conf *r = &m->s->registry;
    struct report *report = m->b->report;
    r->timeout = 0.05;
    r->lease = 10;
    r->sweep = 600;
    r->hold = 86400;
    value_seconds(report, keys->timeout, 0.01, 5, &r->timeout);
    value_seconds(report, keys->lease, 3, 300, &r->lease);
    value_seconds(report, keys->sweep, 10, 86400, &r->sweep);
    value_seconds(report, keys->hold, 0, 30 * 86400, &r->hold);
}

void registry_conf_build(struct build *b, const struct node *at, struct cluster_settings *s)
{
    struct registry_keys keys;
    struct making m = {.b = b, .s = s, .at = at};
    if (!fields_read(b->report, at, registry_fields, &keys))
        return;
    s->conf.registry = &s->registry;
    m.tls = keys.tls;
    if (keys.redis && keys.sentinel)
        report_error(b->report, keys.redis, "want \"redis\" or \"sentinel\", not both");
    if (keys.sentinel)
        sentinel_build(&m, keys.sentinel);
    else if (keys.redis)
        servers_build(&m, keys.redis, REDIS_PORT);
    else
        report_error(b->report, at, "want \"redis\", like \"redis://127.0.0.1:6379\"");
    login_build(&m, &keys);
    if (keys.database)
        s->registry.database = (unsigned)keys.database;
    if (keys.tls && !s->tls)
        report_warn_key(b->report, keys.tls, "has no effect: no server is a rediss:// one");
    ages_build(&m, &keys);
}
