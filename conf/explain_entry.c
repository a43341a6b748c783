#include "conf/explain_entry.h"

#include "conf/cluster_settings.h"
#include "transport/tls.h"

static const char *by_name(uint8_t by)
{
    return by == TUNNEL_BY_NODE ? "node" : by == TUNNEL_BY_CLUSTER ? "cluster" : "tunnel";
}

static void print_to(const struct config *c, const struct route_to *to, FILE *out)
{
    char text[ADDR_TEXT_MAX];
    switch ((enum route_kind)to->kind) {
    case ROUTE_TUNNEL:
        fprintf(out, "%s \"%s\"", by_name(to->tunnel.by), to->tunnel.text);
        if (to->tunnel.tenant)
            fprintf(out, " of tenant \"%s\"", to->tunnel.tenant);
        fprintf(out, " at portal \"%s\"", c->outbounds[to->outbound].tag);
        fprintf(out, "%s\n", to->is_private ? ": it is private, and the answer 404" : "");
        break;
    case ROUTE_OUTBOUND:
        fprintf(out, "outbound \"%s\"\n", c->outbounds[to->outbound].tag);
        break;
    case ROUTE_ADDRESS:
        fprintf(out, "address %s\n", addr_text(&to->address, text));
        break;
    default:
        fprintf(out, "nobody: the answer is 404\n");
    }
}

/* Who is asked when no route has the host. */
static void print_others(const struct config *c, const struct guide_conf *g, FILE *out)
{
    if (g->has_portal)
        fprintf(out, "to: the tunnel that holds this hostname at portal \"%s\", if there is one\n",
                c->outbounds[g->portal].tag);
    if (g->has_portal && c->cluster)
        fprintf(out, "to: the tunnel that holds it at another node of cluster \"%s\": %s\n",
                c->cluster->conf.name,
                c->cluster->conf.registry ? "the registry is asked, and peers while it is away"
                                          : "peers are asked");
    if (*g->lookups.url)
        fprintf(out, "to: the tunnel that %s answers, if it does\n", g->lookups.url);
}

static void print_routes(const struct config *c, const struct guide_conf *g, const struct routes *r,
                         const struct route_asked *asked, FILE *out)
{
    struct route_to to = {0};
    bool known;
    if (routes_find_host(r, asked, &to, &known)) {
        fprintf(out, "to: ");
        print_to(c, &to, out);
    } else if (known) {
        fprintf(out, "to: nobody: this host has routes, none of them for this path and these "
                     "headers; the answer is 404\n");
    } else {
        print_others(c, g, out);
        routes_find_default(r, asked, &to);
        fprintf(out, g->has_portal || *g->lookups.url ? "else to: " : "to: ");
        print_to(c, &to, out);
    }
}

static void print_tls(const struct inbound_conf *in, const char *host, bool passes, FILE *out)
{
    const struct tls_conf *tls = in->carriage ? in->carriage->tls : NULL;
    if (tls && tls_covers(tls, host))
        fprintf(out, "tls: ended here, with a certificate of this name\n");
    else if (passes)
        fprintf(out, "tls: passed on there as it comes\n");
    else
        fprintf(out, "tls: %s\n",
                tls ? "ended here, with a certificate of another name" : "refused");
}

void explain_entry(const struct config *c, const struct inbound_conf *in,
                   const struct route_asked *asked, FILE *out)
{
    const struct guide_conf *g = in->ingress.guide;
    struct route_reader reader = {0};
    struct route_asked bare = {.host = asked->host, .path = {"", 0}, .head = {"", 0}};
    struct route_to to;
    const struct routes *r = route_reader_now(&reader, g->table);
    fprintf(out, "host: %s\n", asked->host);
    print_routes(c, g, r, asked, out);
    bool passes = routes_find(r, &bare, &to) && to.kind != ROUTE_ADDRESS && !to.is_private;
    print_tls(in, asked->host, passes, out);
    route_reader_fini(&reader);
}
