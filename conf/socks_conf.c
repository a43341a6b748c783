#include <string.h>

#include "conf/compile.h"

struct socks_keys {
    int password;
    const struct node *accounts, *ip;
    bool udp;
    int64_t timeout, level;
};

struct socks_out_keys {
    const struct node *servers;
};

static const struct field_name auth_names[] = {{"noauth", false}, {"password", true}, {NULL, 0}};

const struct field socks_in_fields[] = {
    FIELD_NAME("auth", struct socks_keys, password, auth_names, false),
    FIELD_NODE("accounts", struct socks_keys, accounts, "objects"),
    FIELD_BOOL("udp", struct socks_keys, udp, false),
    FIELD_NODE("ip", struct socks_keys, ip, "IP"),
    FIELD_NUMBER("timeout", struct socks_keys, timeout, 0, UINT32_MAX, 0),
    FIELD_NUMBER("userLevel", struct socks_keys, level, 0, UINT32_MAX, 0),
    FIELD_END,
};

const struct field socks_out_fields[] = {
    FIELD_NODE("servers", struct socks_out_keys, servers, "objects"),
    FIELD_LATER_UNLESS("version", "SOCKS versions but 5 on outbounds", "5"),
    FIELD_END,
};

static void ip_build(struct build *b, const struct node *at, struct addr *ip)
{
    struct addr a = {0};
    if (!at || !value_host(b->report, at, &a))
        return;
    if (addr_is_ip(&a))
        *ip = a;
    else
        report_error(b->report, at, "want an IP address, got \"%.64s\"", a.name);
}

static void auth_check(struct build *b, const struct node *at, const struct socks_keys *keys,
                       const struct inbound_conf *in)
{
    if (!keys->password)
        open_proxy_check(b, at, in, "set \"auth\" to \"password\" and add \"accounts\"");
    if (!keys->password && in->socks.accounts.count)
        report_warn(b->report, keys->accounts,
                    "nobody is asked for an account: set \"auth\" to \"password\"");
    if (keys->password && !in->socks.accounts.count)
        report_warn(b->report, at, "no accounts: nobody can connect");
}

void socks_in_conf_build(struct build *b, const struct node *at, const struct node *owner,
                         struct inbound_conf *in)
{
    struct socks_keys keys;
    fields_read(b->report, at, socks_in_fields, &keys);
    in->policy = build_policy(b, keys.level, keys.timeout);
    in->socks.password = keys.password;
    in->socks.udp = keys.udp;
    ip_build(b, keys.ip, &in->socks.ip);
    accounts_build(b, keys.accounts, keys.level, in, &in->socks.accounts);
    auth_check(b, at ? at : owner, &keys, in);
}

void socks_out_conf_build(struct build *b, const struct node *at, const struct node *owner,
                          struct outbound_conf *out)
{
    struct socks_out_keys keys;
    int64_t level = 0;
    fields_read(b->report, at, socks_out_fields, &keys);
    login_servers_build(b, keys.servers, at ? at : owner, &out->socks.servers, &level);
    out->policy = build_policy(b, level, 0);
}
