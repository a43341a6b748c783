#include <sodium.h>
#include <string.h>

#include "conf/compile.h"

enum { MAPPED_ID_MAX = 30 }; /* see vmess_parse_id() */

struct account_keys {
    const struct node *id, *alter_id;
    const char *email;
    int64_t level;
    int security;
};

struct vmess_in_keys {
    const struct node *clients;
    bool refuse_insecure;
};

struct vmess_out_keys {
    const struct node *vnext;
    const struct node *address, *port, *id; /* Xray's flat form: see flat_server() */
};

struct server_keys {
    const struct node *address, *port, *users;
};

/* "legacy" and "zero" are words of newer cores. */
static const struct field_name security_names[] = {
    {"auto", VMESS_AUTO},
    {"aes-128-gcm", VMESS_GCM},
    {"chacha20-poly1305", VMESS_CHACHA},
    {"none", VMESS_NONE},
    {"zero", NAME_LATER},
    {"aes-128-cfb", NAME_LATER},
    {"legacy", NAME_LATER},
    {NULL, 0},
};

const struct field vmess_client_fields[] = {
    FIELD_NODE("id", struct account_keys, id, "UUID"),
    FIELD_TEXT("email", struct account_keys, email, ""),
    FIELD_NUMBER("level", struct account_keys, level, 0, UINT32_MAX, 0),
    FIELD_NODE("alterId", struct account_keys, alter_id, "0"),
    FIELD_IGNORED("security"),
    FIELD_LATER("experiments"),
    FIELD_LATER("testsEnabled"),
    FIELD_END,
};

const struct field vmess_user_fields[] = {
    FIELD_NODE("id", struct account_keys, id, "UUID"),
    FIELD_TEXT("email", struct account_keys, email, ""),
    FIELD_NUMBER("level", struct account_keys, level, 0, UINT32_MAX, 0),
    FIELD_NODE("alterId", struct account_keys, alter_id, "0"),
    FIELD_NAME("security", struct account_keys, security, security_names, VMESS_AUTO),
    FIELD_LATER("experiments"),
    FIELD_LATER("testsEnabled"),
    FIELD_END,
};

static const struct field detour_fields[] = {
    FIELD_LATER_WHAT("to", "detour (dynamic port)"),
    FIELD_END,
};

static const struct field features_fields[] = {
    FIELD_OBJECT("detour", detour_fields),
    FIELD_END,
};

const struct field vmess_in_fields[] = {
    FIELD_NODE("clients", struct vmess_in_keys, clients, "objects"),
    FIELD_BOOL("disableInsecureEncryption", struct vmess_in_keys, refuse_insecure, false),
    FIELD_OBJECT("detour", detour_fields),
    FIELD_OBJECT("features", features_fields),
    FIELD_IGNORED("default"), /* of users that only a detour adds */
    FIELD_END,
};

const struct field vmess_server_fields[] = {
    FIELD_NODE("address", struct server_keys, address, "address"),
    FIELD_NODE("port", struct server_keys, port, "port"),
    FIELD_NODE("users", struct server_keys, users, "objects"),
    FIELD_END,
};

/* In the flat form the keys of a server and of its one user stand here, too. */
const struct field vmess_out_fields[] = {
    FIELD_NODE("vnext", struct vmess_out_keys, vnext, "objects"),
    FIELD_NODE("address", struct vmess_out_keys, address, "address"),
    FIELD_NODE("port", struct vmess_out_keys, port, "port"),
    FIELD_NODE("id", struct vmess_out_keys, id, "UUID"),
    FIELD_IGNORED("email"),
    FIELD_IGNORED("level"),
    FIELD_IGNORED("alterId"),
    FIELD_IGNORED("security"),
    FIELD_IGNORED("experiments"),
    FIELD_LATER("reverse"),
    FIELD_END,
};

static void check_alter_id(struct build *b, const struct node *at)
{
    if (!at)
        return;
    if (at->type != NODE_INTEGER || at->integer < 0 || at->integer > UINT16_MAX)
        report_wrong(b->report, at, "alterId 0");
    else if (at->integer > 0)
        report_error(b->report, at,
                     "v2c speaks VMess with the AEAD header only: set alterId to 0 on both sides");
}

/* No message shows the id, and none of vmess_parse_id()'s words about it. */
static void id_build(struct build *b, const struct node *at, const struct node *owner,
                     struct vmess_user *u)
{
    struct err e = {0};
    if (at && at->type != NODE_TEXT) {
        report_wrong(b->report, at, "a UUID as text");
        return;
    }
    if (!at || !*at->text || vmess_parse_id(u->id, at->text, &e) < 0) {
        report_error(b->report, at ? at : owner,
                     "failed to parse ID: invalid UUID: want 32 hexadecimal digits, as "
                     "\"v2c uuid\" prints them");
        return;
    }
    if (strlen(at->text) <= MAPPED_ID_MAX)
        report_warn(b->report, at,
                    "not a UUID: one is made from this text as Xray does; V2Ray refuses it");
    if (vmess_user_init(u, &e) < 0)
        report_error(b->report, at, "%s", e.text);
}

static void user_build(struct build *b, const struct node *at, const struct field *fields,
                       struct vmess_user *u, struct user *who)
{
    struct account_keys keys = {.security = VMESS_AUTO};
    fields_read(b->report, at, fields, &keys);
    u->security = (enum vmess_security)keys.security;
    memset(who, 0, sizeof *who); /* what is kept is compared with its padding */
    who->email = build_text(b, keys.email);
    who->level = (uint32_t)keys.level;
    who->traffic = (struct traffic){-1, -1};
    check_alter_id(b, keys.alter_id);
    id_build(b, keys.id, at, u);
}

static void account_build(struct build *b, const struct node *at, const struct field *fields,
                          struct vmess_user *u)
{
    struct user who;
    user_build(b, at, fields, u, &who);
    u->user = build_keep(b, &who, sizeof who);
}

/* What the configuration says of his level, and what flows know of him. */
static void client_keep(struct build *b, struct user *who, struct vmess_user *u)
{
    build_user(b, who);
    who->may_link = true;
    u->user = build_keep(b, who, sizeof *who);
}

void vmess_client_build(struct build *b, const struct node *at, struct vmess_user *u)
{
    struct user who;
    user_build(b, at, vmess_client_fields, u, &who);
    names_add(&b->emails, b->scratch, who.email, at, 0);
    client_keep(b, &who, u);
}

void vmess_client_renew(struct build *b, struct vmess_user *u)
{
    struct user who;
    memset(&who, 0, sizeof who);
    who.email = u->user->email;
    who.level = u->user->level;
    client_keep(b, &who, u);
}

static void check_emails(struct build *b, const struct node_list *nodes,
                         const struct vmess_in_conf *conf)
{
    struct names emails = {.fold = true};
    for (size_t i = 0; i < conf->count; i++)
        names_add(&emails, b->scratch, conf->users[i].user ? conf->users[i].user->email : "",
                  nodes->items[i], i);
    names_seal(&emails);
    names_report_doubles(&emails, b->report, "User");
}

/* Ids as hexadecimal text, in memory that is wiped. */
static void check_ids(struct build *b, const struct node_list *nodes,
                      const struct vmess_in_conf *conf)
{
    struct names ids = {0};
    for (size_t i = 0; i < conf->count; i++) {
        char *text = arena_alloc(b->scratch, 33);
        if (!text)
            return;
        sodium_bin2hex(text, 33, conf->users[i].id, 16);
        if (!sodium_is_zero(conf->users[i].id, 16))
            names_add(&ids, b->scratch, text, nodes->items[i], i);
    }
    names_seal(&ids);
    for (size_t i = 1; i < ids.count; i++)
        if (strcmp(ids.items[i - 1].text, ids.items[i].text) == 0)
            report_warn(b->report, ids.items[i].at,
                        "another client has the same id: they cannot be told apart");
}

void vmess_in_conf_build(struct build *b, const struct node *at, const struct node *owner,
                         struct inbound_conf *in)
{
    struct vmess_in_keys keys;
    struct node_list nodes = {0};
    struct vmess_in_conf *conf = &in->vmess;
    fields_read(b->report, at, vmess_in_fields, &keys);
    value_objects(b->report, b->scratch, keys.clients, &nodes);
    conf->refuse_insecure = keys.refuse_insecure;
    conf->users = arena_array(b->config->strings, nodes.count, sizeof *conf->users);
    conf->count = conf->users ? nodes.count : 0;
    for (size_t i = 0; i < conf->count; i++)
        vmess_client_build(b, nodes.items[i], &conf->users[i]);
    check_emails(b, &nodes, conf);
    check_ids(b, &nodes, conf);
    if (conf->count == 0)
        report_warn(b->report, at ? at : owner, "no clients: nobody can connect");
}

static void server_host_build(struct build *b, const struct node *at, const struct node *address,
                              const struct node *port, struct vmess_server_conf *server)
{
    if (!address)
        report_error(b->report, at, "address is not set in VMess outbound config");
    else
        value_host(b->report, address, &server->addr);
    if (!port)
        report_error(b->report, at, "port is not set in VMess outbound config");
    else
        value_port(b->report, port, &server->addr.port);
}

static void server_build(struct build *b, const struct node *at, struct vmess_server_conf *server)
{
    struct server_keys keys;
    struct node_list nodes = {0};
    fields_read(b->report, at, vmess_server_fields, &keys);
    server_host_build(b, at, keys.address, keys.port, server);
    value_objects(b->report, b->scratch, keys.users, &nodes);
    if (!keys.users || node_is_blank(keys.users))
        report_error(b->report, keys.users ? keys.users : at,
                     "0 user configured for VMess outbound: want one");
    server->users = arena_array(b->config->strings, nodes.count, sizeof *server->users);
    server->count = server->users ? nodes.count : 0;
    for (size_t i = 0; i < server->count; i++)
        account_build(b, nodes.items[i], vmess_user_fields, &server->users[i]);
}

/* The user's keys among the outbound's, for the flat form. Those of the server are not for it. */
static const struct field flat_user_fields[] = {
    FIELD_NODE("id", struct account_keys, id, "UUID"),
    FIELD_TEXT("email", struct account_keys, email, ""),
    FIELD_NUMBER("level", struct account_keys, level, 0, UINT32_MAX, 0),
    FIELD_NODE("alterId", struct account_keys, alter_id, "0"),
    FIELD_NAME("security", struct account_keys, security, security_names, VMESS_AUTO),
    FIELD_LATER("experiments"),
    FIELD_IGNORED("vnext"),
    FIELD_IGNORED("address"),
    FIELD_IGNORED("port"),
    FIELD_IGNORED("reverse"),
    FIELD_END,
};

static void flat_server(struct build *b, const struct node *at, const struct vmess_out_keys *keys,
                        struct vmess_out_conf *conf)
{
    struct arena *strings = b->config->strings;
    conf->servers = arena_array(strings, 1, sizeof *conf->servers);
    struct vmess_user *user = arena_array(strings, 1, sizeof *user);
    if (!conf->servers || !user)
        return;
    conf->count = 1;
    conf->servers[0].users = user;
    conf->servers[0].count = 1;
    server_host_build(b, at, keys->address, keys->port, &conf->servers[0]);
    account_build(b, at, flat_user_fields, user);
}

void vmess_out_conf_build(struct build *b, const struct node *at, const struct node *owner,
                          struct outbound_conf *out)
{
    struct vmess_out_keys keys;
    struct node_list nodes = {0};
    struct vmess_out_conf *conf = &out->vmess;
    fields_read(b->report, at, vmess_out_fields, &keys);
    value_objects(b->report, b->scratch, keys.vnext, &nodes);
    if (nodes.count == 0 && keys.address) {
        flat_server(b, at, &keys, conf);
    } else if (nodes.count == 0) {
        report_error(b->report, at ? node_member(at, "vnext") : owner,
                     "0 VMess receiver configured: want \"vnext\"");
    } else {
        conf->servers = arena_array(b->config->strings, nodes.count, sizeof *conf->servers);
        conf->count = conf->servers ? nodes.count : 0;
        for (size_t i = 0; i < conf->count; i++)
            server_build(b, nodes.items[i], &conf->servers[i]);
    }
    if (conf->count > 0 && conf->servers[0].count > 0 && conf->servers[0].users[0].user)
        out->policy = build_policy(b, conf->servers[0].users[0].user->level, 0);
}
