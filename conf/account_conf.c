#include <string.h>

#include "conf/compile.h"

struct account_keys {
    const char *name, *pass;
    int64_t level;
};

const struct field account_fields[] = {
    FIELD_TEXT("user", struct account_keys, name, ""),
    FIELD_TEXT("pass", struct account_keys, pass, ""),
    FIELD_END,
};

const struct field login_fields[] = {
    FIELD_TEXT("user", struct account_keys, name, ""),
    FIELD_TEXT("pass", struct account_keys, pass, ""),
    FIELD_NUMBER("level", struct account_keys, level, 0, UINT32_MAX, 0),
    FIELD_IGNORED("email"),
    FIELD_END,
};

/* No message shows a password. */
static void check_texts(struct build *b, const struct node *at, const struct account_keys *keys)
{
    if (!*keys->name)
        report_error(b->report, node_member(at, "user"),
                     "want a \"user\" of 1..255 bytes, got none");
    else if (strlen(keys->name) > ACCOUNT_TEXT_MAX || strlen(keys->pass) > ACCOUNT_TEXT_MAX)
        report_error(b->report, at, "\"user\" and \"pass\" have at most 255 bytes");
}

static const struct user *account_user(struct build *b, const struct node *at, const char *name,
                                       int64_t level, const struct policy *policy)
{
    struct user who;
    memset(&who, 0, sizeof who); /* what is kept is compared with its padding */
    who.email = build_text(b, name);
    who.level = (uint32_t)level;
    build_user(b, &who);
    who.policy = policy; /* with the inbound's timeout */
    names_add(&b->emails, b->scratch, who.email, at, 0);
    return build_keep(b, &who, sizeof who);
}

static void account_build(struct build *b, const struct node *at, int64_t level,
                          const struct inbound_conf *in, struct account *account)
{
    struct account_keys keys;
    fields_read(b->report, at, account_fields, &keys);
    check_texts(b, at, &keys);
    if (strlen(keys.name) <= ACCOUNT_TEXT_MAX && strlen(keys.pass) <= ACCOUNT_TEXT_MAX)
        account_init(account, keys.name, strlen(keys.name), keys.pass, strlen(keys.pass),
                     account_user(b, at, keys.name, level, in->policy));
}

static void check_doubles(struct build *b, const struct node_list *nodes)
{
    struct names names = {0};
    for (size_t i = 0; i < nodes->count; i++) {
        const struct node *name = node_get(nodes->items[i], "user");
        if (node_is(name, NODE_TEXT))
            names_add(&names, b->scratch, name->text, nodes->items[i], i);
    }
    names_seal(&names);
    names_report_doubles(&names, b->report, "account of user");
}

void accounts_build(struct build *b, const struct node *at, int64_t level,
                    const struct inbound_conf *in, struct accounts *accounts)
{
    struct node_list nodes = {0};
    value_objects(b->report, b->scratch, at, &nodes);
    accounts->items = arena_array(b->config->strings, nodes.count, sizeof *accounts->items);
    accounts->count = accounts->items ? nodes.count : 0;
    for (size_t i = 0; i < accounts->count; i++)
        account_build(b, nodes.items[i], level, in, &accounts->items[i]);
    check_doubles(b, &nodes);
}

static bool is_loopback(const struct addr *a)
{
    static const uint8_t v6[16] = {[15] = 1};
    return (a->type == ADDR_IPV4 && a->ip[0] == 127) ||
           (a->type == ADDR_IPV6 && memcmp(a->ip, v6, sizeof v6) == 0);
}

void open_proxy_check(struct build *b, const struct node *at, const struct inbound_conf *in,
                      const char *advice)
{
    if (in->listen.type != ADDR_UNIX && !is_loopback(&in->listen))
        report_warn(b->report, at,
                    "an open proxy: whoever reaches this port goes where the rules let him, under "
                    "this host's address; listen on 127.0.0.1, or %s",
                    advice);
}

/* --- the other side --- */

struct server_keys {
    const struct node *address, *port, *users;
};

const struct field login_server_fields[] = {
    FIELD_NODE("address", struct server_keys, address, "address"),
    FIELD_NODE("port", struct server_keys, port, "port"),
    FIELD_NODE("users", struct server_keys, users, "objects"),
    FIELD_END,
};

static void login_build(struct build *b, const struct node *at, struct login *login, int64_t *level)
{
    struct account_keys keys;
    fields_read(b->report, at, login_fields, &keys);
    check_texts(b, at, &keys);
    login->name = arena_text(b->config->strings, keys.name, strlen(keys.name));
    login->pass = arena_text(b->config->strings, keys.pass, strlen(keys.pass));
    *level = keys.level;
}

static void host_build(struct build *b, const struct node *at, const struct server_keys *keys,
                       struct addr *addr)
{
    if (keys->address)
        value_host(b->report, keys->address, addr);
    else
        report_error(b->report, at, "want \"address\": the server's");
    if (keys->port)
        value_port(b->report, keys->port, &addr->port);
    else
        report_error(b->report, at, "want \"port\": the server's");
}

/* The level is that of the first one. */
static void server_build(struct build *b, const struct node *at, struct login_server *server,
                         int64_t *level)
{
    struct server_keys keys;
    struct node_list nodes = {0};
    fields_read(b->report, at, login_server_fields, &keys);
    host_build(b, at, &keys, &server->addr);
    value_objects(b->report, b->scratch, keys.users, &nodes);
    server->logins = arena_array(b->config->strings, nodes.count, sizeof *server->logins);
    server->login_count = server->logins ? nodes.count : 0;
    for (size_t i = server->login_count; i-- > 0;)
        login_build(b, nodes.items[i], &server->logins[i], level);
}

void login_servers_build(struct build *b, const struct node *at, const struct node *owner,
                         struct login_servers *servers, int64_t *level)
{
    struct node_list nodes = {0};
    value_objects(b->report, b->scratch, at, &nodes);
    if (!at || node_is_blank(at))
        report_error(b->report, at ? at : owner, "0 target server: want \"servers\", got none");
    servers->items = arena_array(b->config->strings, nodes.count, sizeof *servers->items);
    servers->count = servers->items ? nodes.count : 0;
    for (size_t i = servers->count; i-- > 0;)
        server_build(b, nodes.items[i], &servers->items[i], level);
}
