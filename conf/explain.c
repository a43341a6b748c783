#include "conf/explain.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/args.h"
#include "conf/explain_entry.h"
#include "routing/seat.h"

/* The flow in the making, and what points to what. */
struct made_up {
    struct meta meta;
    struct user user;
    struct query query;
    char name[ADDR_NAME_MAX + 1], head[4096];
    struct addr ips[EXPLAIN_IPS]; /* of the name: the rules may be asked with them */
    unsigned ip_count;
    bool sniffed;
    const struct inbound_conf *inbound; /* NULL: a bridge, or none was named */
};

/* --- flags --- */

bool explain_flag(struct explain *x, char **argv, int *i)
{
    const struct {
        const char *name, **value;
    } flags[] = {
        {"inbound", &x->inbound}, {"user", &x->user},       {"domain", &x->domain},
        {"ip", &x->ip},           {"port", &x->port},       {"network", &x->network},
        {"source", &x->source},   {"sniffed", &x->sniffed}, {"protocol", &x->protocol},
        {"method", &x->method},   {"path", &x->path},
    };
    const char *value;
    for (size_t n = 0; n < sizeof flags / sizeof *flags; n++)
        if ((value = arg_value(argv, i, flags[n].name))) {
            *flags[n].value = value;
            return true;
        }
    if (x->header_count < EXPLAIN_HEADERS && (value = arg_value(argv, i, "header"))) {
        x->headers[x->header_count++] = value;
        return true;
    }
    if (x->ip_count < EXPLAIN_IPS && (value = arg_value(argv, i, "resolved"))) {
        x->ips[x->ip_count++] = value;
        return true;
    }
    return false;
}

/* --- the flow --- */

static const struct inbound_conf *inbound_named(const struct config *c, const char *tag)
{
    for (size_t i = 0; i < c->inbound_count; i++)
        if (strcmp(c->inbounds[i].tag, tag) == 0)
            return &c->inbounds[i];
    return NULL;
}

static const struct bridge_conf *bridge_named(const struct config *c, const char *tag)
{
    for (size_t i = 0; i < c->bridge_count; i++)
        if (strcmp(c->bridges[i].tag, tag) == 0)
            return &c->bridges[i];
    return NULL;
}

static int make_inbound(struct made_up *m, const struct explain *x, const struct config *c,
                        struct err *e)
{
    m->meta.inbound_tag = x->inbound ? x->inbound : "";
    if (!x->inbound)
        return 0;
    m->inbound = inbound_named(c, x->inbound);
    const struct bridge_conf *bridge = bridge_named(c, x->inbound);
    if (!m->inbound && !bridge)
        return err_set(e, EINVAL, "no inbound or bridge has the tag \"%s\"", x->inbound);
    m->meta.sniffing = m->inbound ? m->inbound->sniffing : bridge->sniffing;
    if (m->inbound && m->inbound->kind == IN_DOKODEMO)
        m->meta.target = m->inbound->dokodemo.target, m->meta.tunnel = m->inbound->dokodemo.tunnel;
    return 0;
}

static int make_network(struct made_up *m, const char *word, struct err *e)
{
    m->meta.net = NET_TCP;
    if (word && strcasecmp(word, "udp") == 0)
        m->meta.net = NET_UDP;
    else if (word && strcasecmp(word, "tcp") != 0)
        return err_set(e, EINVAL, "-network: want tcp or udp, got \"%s\"", word);
    return 0;
}

static int make_host(struct addr *to, const char *flag, const char *text, bool ip, struct err *e)
{
    uint16_t port = to->port;
    struct err why;
    if (!text)
        return 0;
    if (addr_parse_host(to, text, strlen(text), &why) < 0)
        return err_set(e, EINVAL, "-%s: %s", flag, why.text);
    to->port = port;
    return addr_is_ip(to) == ip ? 0
                                : err_set(e, EINVAL, "-%s: want %s, got \"%s\"", flag,
                                          ip ? "an IP address" : "a domain name", text);
}

static int make_port(struct addr *to, const char *text, struct err *e)
{
    char *end;
    if (!text)
        return 0;
    unsigned long port = strtoul(text, &end, 10);
    if (!*text || *end || port > UINT16_MAX)
        return err_set(e, EINVAL, "-port: want a port 0..65535, got \"%s\"", text);
    to->port = (uint16_t)port;
    return 0;
}

static int make_ips(struct made_up *m, const struct explain *x, struct err *e)
{
    for (unsigned i = 0; i < x->ip_count; i++)
        if (make_host(&m->ips[i], "resolved", x->ips[i], true, e) < 0)
            return -1;
    m->ip_count = x->ip_count;
    return 0;
}

static int make_sniffed(struct made_up *m, const char *name, struct err *e)
{
    struct addr a = {0};
    if (!name)
        return 0;
    if (make_host(&a, "sniffed", name, false, e) < 0)
        return -1;
    memcpy(m->name, a.name, sizeof m->name);
    addr_normalise_name(m->name);
    m->query.name = m->name;
    return 0;
}

static int head_add(struct made_up *m, size_t *len, const char *a, const char *b, const char *z,
                    struct err *e)
{
    int n = snprintf(m->head + *len, sizeof m->head - *len, "%s%s%s\r\n", a, b, z);
    if (n < 0 || (size_t)n >= sizeof m->head - *len)
        return err_set(e, EINVAL, "method, path and headers are too long");
    *len += (size_t)n;
    return 0;
}

/* An HTTP request, if any of its parts is given. */
static int make_head(struct made_up *m, const struct explain *x, struct err *e)
{
    char line[1024];
    size_t len = 0;
    if (!x->method && !x->path && !x->header_count)
        return 0;
    snprintf(line, sizeof line, "%s %s", x->method ? x->method : "GET", x->path ? x->path : "/");
    if (head_add(m, &len, line, " HTTP/1.1", "", e) < 0)
        return -1;
    for (unsigned i = 0; i < x->header_count; i++)
        if (head_add(m, &len, x->headers[i], "", "", e) < 0)
            return -1;
    if (head_add(m, &len, "", "", "", e) < 0)
        return -1;
    m->query.head = m->head;
    m->query.head_len = len;
    return 0;
}

static int make_up(struct made_up *m, const struct explain *x, const struct config *c,
                   struct err *e)
{
    *m = (struct made_up){.meta = {.outbound_tag = ""}};
    struct addr *to = &m->meta.target;
    if (make_inbound(m, x, c, e) < 0 || make_network(m, x->network, e) < 0 ||
        make_host(to, "domain", x->domain, false, e) < 0 ||
        make_host(to, "ip", x->ip, true, e) < 0 || make_port(to, x->port, e) < 0 ||
        make_host(&m->meta.source, "source", x->source, true, e) < 0)
        return -1;
    if (to->type == ADDR_NONE)
        return err_set(e, EINVAL, "say where the flow wants to go: -domain NAME or -ip IP");
    m->user.email = x->user ? x->user : "";
    m->meta.user = x->user ? &m->user : NULL;
    m->query = query_of(&m->meta, m->name);
    m->query.protocol = x->protocol;
    m->sniffed = x->sniffed || x->protocol;
    return make_ips(m, x, e) < 0 || make_sniffed(m, x->sniffed, e) < 0 ? -1 : make_head(m, x, e);
}

/* --- what is printed --- */

static void print_flow(const struct made_up *m, FILE *out)
{
    char to[ADDR_TEXT_MAX], from[ADDR_TEXT_MAX];
    fprintf(out, "flow: %s to %s", m->meta.net == NET_UDP ? "udp" : "tcp",
            addr_text(&m->meta.target, to));
    if (m->meta.source.type != ADDR_NONE)
        fprintf(out, ", from %s", addr_host_text(&m->meta.source, from));
    if (*m->meta.inbound_tag)
        fprintf(out, ", by inbound \"%s\"", m->meta.inbound_tag);
    if (m->meta.user)
        fprintf(out, ", user \"%s\"", m->meta.user->email);
    fprintf(out, "\n\n");
}

/* --- what a seat would find out first: routing/seat.h --- */

static enum seat_need need_of(const struct config *c, const struct made_up *m, bool sniffs)
{
    static const struct resolver some;
    const struct dispatcher d = {
        .rules = &c->rules, .strategy = c->strategy, .reserved = &c->reserved, .resolver = &some};
    struct meta meta = m->meta;
    struct query q = m->query;
    if (!sniffs)
        meta.sniffing = NULL;
    q.meta = &meta;
    return seat_needed(&d, &q);
}

static void print_sniffing(const struct config *c, const struct made_up *m, FILE *out)
{
    bool found = m->sniffed || m->query.head;
    if (*m->meta.inbound_tag && !m->meta.sniffing && m->sniffed)
        fprintf(out, "this inbound has no \"sniffing\": nothing would be found\n\n");
    else if (!found && need_of(c, m, true) == SEAT_SNIFFS)
        fprintf(out,
                "the first bytes are looked at here; -sniffed NAME and -protocol WORD say what "
                "is found\n\n");
}

static void print_findings(const struct rule *r, const struct made_up *m, FILE *out)
{
    struct rule_finding findings[COND_COUNT];
    size_t count = rule_explain(r, &m->query, findings);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "    %-4s %s %s\n", findings[i].matched ? "yes" : "no", findings[i].key,
                findings[i].text);
}

static void print_rule(const struct rule *r, bool matched, const struct made_up *m, FILE *out)
{
    fprintf(out, "%s", r->pointer);
    if (r->tag)
        fprintf(out, " \"%s\"", r->tag);
    fprintf(out, ": %s\n", matched ? "matches" : "does not match");
    print_findings(r, m, out);
}

/* NULL: none matches. */
static const struct rule *print_rules(const struct config *c, const struct made_up *m, FILE *out)
{
    for (size_t i = 0; i < c->rules.count; i++) {
        const struct rule *r = &c->rules.items[i];
        bool matched = rule_match(r, &m->query);
        print_rule(r, matched, m, out);
        if (matched)
            return r;
    }
    return NULL;
}

static void take_addresses(struct made_up *m, FILE *out)
{
    m->query.ips = m->ips;
    m->query.ip_count = m->ip_count;
    if (m->ip_count == 0)
        fprintf(out, "the name is looked up here; -resolved ADDRESS says what is found\n\n");
}

/* The name is looked up where a dispatcher does so. */
static const struct rule *print_search(const struct config *c, struct made_up *m, FILE *out)
{
    bool lacks = need_of(c, m, false) == SEAT_LOOKS_UP;
    if (lacks && c->strategy == IP_ON_DEMAND)
        take_addresses(m, out);
    const struct rule *r = print_rules(c, m, out);
    if (!r && lacks && c->strategy == IP_IF_NON_MATCH) {
        fprintf(out,
                "\nno rule matches, so domainStrategy asks again with the name's addresses\n\n");
        take_addresses(m, out);
        r = m->ip_count ? print_rules(c, m, out) : NULL;
    }
    if (m->ip_count > 0 && !m->query.ips)
        fprintf(out,
                "\n-resolved changes nothing: the name is not looked up here (domainStrategy)\n");
    return r;
}

static const char *kind_name(enum outbound_kind kind)
{
    switch (kind) {
    case OUT_FREEDOM:
        return "freedom";
    case OUT_BLACKHOLE:
        return "blackhole";
    case OUT_VMESS:
        return "vmess";
    case OUT_SOCKS:
        return "socks";
    case OUT_HTTP:
        return "http";
    case OUT_DNS:
        return "dns";
    case OUT_FILE:
        return "file";
    case OUT_WEB:
        return "web";
    case OUT_API:
        return "api";
    case OUT_PORTAL:
        return "portal";
    }
    return "?";
}

static void print_outbound(const struct config *c, size_t i, FILE *out)
{
    const struct outbound_conf *o = &c->outbounds[i];
    fprintf(out, "\"%s\" (%s, %s)", o->tag, kind_name(o->kind), o->pointer);
    if (o->via)
        fprintf(out, ", which dials through \"%s\"", o->via);
}

static bool is_observed(const struct config *c, size_t outbound)
{
    for (size_t i = 0; i < c->observatory.count; i++)
        if (c->observatory.items[i].outbound == outbound)
            return true;
    return false;
}

/* How anybody knows that it is alive. */
static const char *liveness(const struct config *c, size_t i)
{
    bool observed = is_observed(c, i);
    if (c->outbounds[i].kind == OUT_PORTAL)
        return observed ? "alive with a bridge that the observatory does not find dead"
                        : "alive while it has a bridge";
    return observed ? "alive unless the observatory finds it dead"
                    : "not observed: it counts as alive";
}

static void print_balancer(const struct config *c, const struct balancer *b, FILE *out)
{
    fprintf(out, "outbound: balancer \"%s\" chooses by %s, of those that are alive:\n", b->tag,
            balance_strategy_name(b->strategy));
    for (size_t i = 0; i < b->count; i++) {
        fprintf(out, "    ");
        print_outbound(c, b->outbounds[i], out);
        fprintf(out, ": %s\n", liveness(c, b->outbounds[i]));
    }
    fprintf(out, "when none is, ");
    if (b->has_fallback)
        print_outbound(c, b->fallback, out);
    else
        fprintf(out, "the flow is refused");
    fprintf(out, "\n");
}

static bool is_listed(const struct portal_conf *p, const struct user *u)
{
    for (size_t i = 0; i < p->user_count; i++)
        if (strcmp(p->users[i], u->email) == 0)
            return true;
    return !p->users;
}

/* "*.tunnel.example": the id in front of it. False: it is no name of a tunnel here. */
static bool names_tunnel(const char *domain, const char *name, int *len)
{
    size_t all = name ? strlen(name) : 0, behind = strlen(domain) - 1;
    if (*domain != '*' || all <= behind || strcasecmp(name + all - behind, domain + 1) != 0)
        return false;
    *len = (int)(all - behind);
    return true;
}

static void print_visit(const struct outbound_conf *o, const char *tunnel, int len, FILE *out)
{
    if (len)
        fprintf(out, "there it is a visitor of tunnel \"%.*s\"\n", len, tunnel);
    else if (*o->portal->domain == '*')
        fprintf(out, "there it is refused: it names no tunnel\n");
    else
        fprintf(out, "there it is a visitor, and goes to one of the portal's bridges\n");
}

/* NULL: it may be a bridge's link. */
static const char *link_objection(const struct outbound_conf *o, const struct made_up *m,
                                  bool by_rule)
{
    if (!m->meta.user)
        return "no user was authenticated (-user)";
    if (!by_rule)
        return "no rule sent it";
    return is_listed(o->portal, m->meta.user) ? NULL : "its user is not one of the portal's users";
}

/* What a portal makes of the flow. */
static void print_portal(const struct outbound_conf *o, const struct made_up *m, bool by_rule,
                         FILE *out)
{
    char name[ADDR_NAME_MAX + 1];
    struct query q = query_of(&m->meta, name);
    const struct tunnel_name *chosen = &m->meta.tunnel;
    int len = 0;
    if (chosen->by != TUNNEL_UNNAMED) {
        print_visit(o, chosen->text, (int)strlen(chosen->text), out);
        return;
    }
    bool many = names_tunnel(o->portal->domain, q.name, &len);
    bool link =
        many ? m->meta.target.port == 0 : q.name && strcasecmp(q.name, o->portal->domain) == 0;
    const char *objection = link ? link_objection(o, m, by_rule) : NULL;
    if (!link)
        print_visit(o, q.name, len, out);
    else if (objection)
        fprintf(out, "there it is refused: it names the portal's domain, and %s\n", objection);
    else
        fprintf(out, "there it is a bridge's link\n");
    if (many && !objection && o->portal->claims)
        fprintf(out, "... if a claim of its user covers the tunnel\n");
}

/* As a dispatcher objects to it: who comes by vmess may name these, and a bridge does. */
static bool is_refused(const struct config *c, const struct made_up *m)
{
    char name[ADDR_NAME_MAX + 1];
    struct query q = query_of(&m->meta, name);
    return m->inbound && m->inbound->kind != IN_VMESS && q.name && strings_have(&c->links, q.name);
}

static void print_choice(const struct config *c, const struct rule *r, const struct made_up *m,
                         FILE *out)
{
    fprintf(out, "\n");
    if (is_refused(c, m)) {
        fprintf(out, "outbound: none: the flow is refused, for it names what is for a bridge's "
                     "links only\n");
        return;
    }
    if (r && r->balancer) {
        print_balancer(c, r->balancer, out);
        return;
    }
    if (!r && !c->has_default) {
        fprintf(out, "outbound: none: no rule matches and there is no default outbound, so the "
                     "flow is refused\n");
        return;
    }
    size_t i = r ? r->outbound : 0;
    fprintf(out, "outbound: ");
    print_outbound(c, i, out);
    fprintf(out, ", %s\n", r ? "by this rule" : "the default: no rule matches");
    if (c->outbounds[i].kind == OUT_PORTAL)
        print_portal(&c->outbounds[i], m, r != NULL, out);
}

/* An ingress asks no rules. */
static int print_request(const struct made_up *m, const struct config *c, FILE *out, struct err *e)
{
    char text[ADDR_TEXT_MAX];
    struct hostname host;
    struct route_asked asked = {.path = {"", 0},
                                .head = {m->query.head ? m->query.head : "", m->query.head_len}};
    const char *name = addr_host_text(&m->meta.target, text);
    if (hostname_read(&host, name, strlen(name), e) < 0)
        return -1;
    asked.host = host.text;
    head_attr(asked.head, (struct head_text){":path", 5}, &asked.path);
    explain_entry(c, m->inbound, &asked, out);
    return 0;
}

int explain_print(const struct explain *x, const struct config *c, FILE *out, struct err *e)
{
    struct made_up m;
    if (make_up(&m, x, c, e) < 0)
        return -1;
    print_flow(&m, out);
    if (m.inbound && m.inbound->kind == IN_INGRESS)
        return print_request(&m, c, out, e);
    print_sniffing(c, &m, out);
    const struct rule *r = print_search(c, &m, out);
    print_choice(c, r, &m, out);
    return 0;
}
