#include <string.h>

#include "proxy/entry_inside.h"
#include "transport/tls.h"

/* Its numbers mean what the dispatcher means by them. */
static bool is_current(const struct entry *n)
{
    return n->conf->rules == n->accept.in.dispatcher->rules;
}

/* Where any visitor may go. */
static enum step find_public(struct entry *n, const struct route_asked *asked,
                             struct lookup_wait *w, struct route_to *to)
{
    *to = (struct route_to){.kind = is_current(n) ? ROUTE_NONE : ROUTE_AWAY};
    if (to->kind == ROUTE_AWAY)
        return STEP_FAIL;
    double now = loop_steady();
    enum step s;
    if (!strings_have(n->accept.in.dispatcher->reserved, asked->host))
        s = guide_ask(n->gate->guide, asked, now, to, w);
    else
        s = guide_claimed(n->gate->guide, asked, now, to, w);
    return s == STEP_DONE && to->is_private ? STEP_FAIL : s;
}

/* --- TLS --- */

enum step entry_find_passing(struct entry *n, const char *name, const struct addr *source,
                             struct lookup_wait *w, struct route_to *to)
{
    struct route_asked asked = {.host = name, .path = {"", 0}, .head = {"", 0}, .source = source};
    enum step s = find_public(n, &asked, w, to);
    return s == STEP_DONE && to->kind == ROUTE_ADDRESS ? STEP_FAIL : s;
}

static const char *tenant(enum step found, const struct route_to *to)
{
    return found == STEP_DONE && to->kind == ROUTE_TUNNEL ? to->tunnel.tenant : NULL;
}

/* Who shook hands for one name asks for another one, which leads there. MORE: where the name leads is being found out. */
static enum step may_ask(struct entry *n, const struct web_asked *asked, struct lookup_wait *w,
                         const struct route_to *there)
{
    const struct carriage *c = n->accept.carriage;
    struct route_asked shook = {
        .host = asked->sni, .path = {"", 0}, .head = {"", 0}, .source = asked->route.source};
    struct route_to to;
    if (strcmp(asked->sni, asked->route.host) == 0)
        return STEP_DONE;
    if (!c || !c->tls || !tls_shows(c->tls, asked->sni, asked->route.host))
        return STEP_FAIL;
    if (!*asked->sni)
        return STEP_DONE;
    enum step s = find_public(n, &shook, w, &to);
    if (s == STEP_MORE)
        return s;
    return tenant_equal(tenant(s, &to), tenant(STEP_DONE, there)) ? STEP_DONE : STEP_FAIL;
}

/* --- requests --- */

enum step gate_find(struct web_finder *f, const struct web_asked *asked, struct lookup_wait *w,
                    struct route_to *to, int *status)
{
    struct entry *n = container_of(f, struct gate, finder)->entry;
    enum step s = find_public(n, &asked->route, w, to);
    *status = to->kind == ROUTE_AWAY ? 503 : 404;
    if (s != STEP_DONE || !asked->sni)
        return s;
    *status = 421;
    return may_ask(n, asked, w, to);
}
