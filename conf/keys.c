#include "conf/keys.h"

#include <inttypes.h>

#include "conf/compile.h"

struct key_object {
    const char *name;
    const struct field *fields;
};

static const struct key_object key_objects[] = {
    {"-", root_fields},
    {"log", log_fields},
    {"policy", policy_fields},
    {"policy.levels{}", policy_level_fields},
    {"inbounds[]", inbound_fields},
    {"inbounds[].settings(dokodemo-door)", dokodemo_fields},
    {"inbounds[].settings(ingress)", ingress_fields},
    {"inbounds[].settings(vmess)", vmess_in_fields},
    {"inbounds[].settings(vmess).clients[]", vmess_client_fields},
    {"inbounds[].settings(socks)", socks_in_fields},
    {"inbounds[].settings(socks).accounts[]", account_fields},
    {"inbounds[].settings(http)", http_in_fields},
    {"inbounds[].settings(http).accounts[]", account_fields},
    {"outbounds[]", outbound_fields},
    {"outbounds[].mux", mux_fields},
    {"outbounds[].proxySettings", chain_fields},
    {"outbounds[].settings(freedom)", freedom_fields},
    {"outbounds[].settings(dns)", dns_out_fields},
    {"outbounds[].settings(file)", file_fields},
    {"outbounds[].settings(web)", web_fields},
    {"outbounds[].settings(blackhole)", blackhole_fields},
    {"outbounds[].settings(blackhole).response", blackhole_response_fields},
    {"outbounds[].settings(vmess)", vmess_out_fields},
    {"outbounds[].settings(vmess).vnext[]", vmess_server_fields},
    {"outbounds[].settings(vmess).vnext[].users[]", vmess_user_fields},
    {"outbounds[].settings(socks)", socks_out_fields},
    {"outbounds[].settings(socks).servers[]", login_server_fields},
    {"outbounds[].settings(socks).servers[].users[]", login_fields},
    {"outbounds[].settings(http)", http_out_fields},
    {"outbounds[].settings(http).servers[]", login_server_fields},
    {"outbounds[].settings(http).servers[].users[]", login_fields},
    {"routes[]", route_fields},
    {"routesUrl", route_service_fields},
    {"sniffing", sniffing_fields},
    {"streamSettings", stream_fields},
    {"streamSettings.tcpSettings", tcp_fields},
    {"streamSettings.tcpSettings.header", tcp_header_fields},
    {"streamSettings.tcpSettings.header.request", forged_request_fields},
    {"streamSettings.tcpSettings.header.response", forged_response_fields},
    {"streamSettings.wsSettings", ws_fields},
    {"streamSettings.httpupgradeSettings", upgrade_fields},
    {"streamSettings.dsSettings", ds_fields},
    {"streamSettings.sockopt", sockopt_fields},
    {"streamSettings.tlsSettings", tls_fields},
    {"streamSettings.tlsSettings.certificates[]", tls_certificate_fields},
    {"api", api_fields},
    {"reverse", reverse_fields},
    {"reverse.bridges[]", bridge_fields},
    {"reverse.bridges[].health", health_fields},
    {"reverse.portals[]", portal_fields},
    {"reverse.portals[].claims[]", claim_fields},
    {"cluster", cluster_fields},
    {"cluster.registry", registry_fields},
    {"cluster.registry.sentinel", sentinel_fields},
    {"dns", dns_fields},
    {"dns.servers[]", dns_server_fields},
    {"routing", routing_fields},
    {"routing.rules[]", rule_fields},
    {"routing.balancers[]", balancer_fields},
    {"observatory", observatory_fields},
};

static const char *name_of(const struct field *f)
{
    for (const struct field_name *n = f->names; n->text; n++)
        if (n->value == f->def)
            return n->text;
    return "-";
}

static void key_print(FILE *out, const char *object, const char *inner, const struct field *f)
{
    fprintf(out, "%s%s%s %s ", object, *inner ? "." : "", inner, f->key);
    if (f->type == FIELD_TYPE_BOOL)
        fprintf(out, "bool %s\n", f->def ? "true" : "false");
    else if (f->type == FIELD_TYPE_NUMBER)
        fprintf(out, "number %" PRId64 "\n", f->def);
    else if (f->type == FIELD_TYPE_TEXT)
        fprintf(out, "text %s\n", *f->text ? f->text : "-");
    else if (f->type == FIELD_TYPE_NAME)
        fprintf(out, "word %s\n", name_of(f));
    else
        fprintf(out, "%s -\n", f->text);
}

/* Nothing of an object whose keys v2c all lacks or ignores. */
static void table_print(FILE *out, const char *object, const char *inner,
                        const struct field *fields)
{
    for (const struct field *f = fields; f->key; f++) {
        if (f->type == FIELD_TYPE_OBJECT)
            table_print(out, object, f->key, f->fields);
        else if (f->type != FIELD_TYPE_IGNORED && f->type != FIELD_TYPE_LATER)
            key_print(out, object, inner, f);
    }
}

void conf_keys_print(FILE *out)
{
    for (size_t i = 0; i < sizeof key_objects / sizeof *key_objects; i++)
        table_print(out, key_objects[i].name, "", key_objects[i].fields);
}
