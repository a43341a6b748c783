#include "reverse/claim.h"

#include <string.h>

/* Of pointers. Claims of certificates only have no user, and come first. */
int claim_compare(const void *a, const void *b)
{
    const struct portal_claim *const *one = a, *const *other = b;
    return strcmp((*one)->user ? (*one)->user : "", (*other)->user ? (*other)->user : "");
}

/* --- patterns --- */

/* "web", "team-*" or "*"; "$" in front makes what it means private. */
static bool pattern_fits(const char *pattern, const char *text)
{
    size_t len = strlen(pattern);
    if (len && pattern[len - 1] == '*')
        return strncmp(pattern, text, len - 1) == 0;
    return strcmp(pattern, text) == 0;
}

static bool patterns_fit(const struct patterns *p, const char *text, bool *is_private)
{
    for (size_t i = 0; i < p->count; i++) {
        bool marked = *p->items[i] == '$';
        if (!pattern_fits(p->items[i] + marked, text))
            continue;
        *is_private |= marked;
        return true;
    }
    return false;
}

/* "example.com"; ".example.com", which is all names below it and itself; "*". */
static bool host_fits(const char *claimed, const struct hostname_pattern *host)
{
    if (strcmp(claimed, "*") == 0)
        return true;
    if (*claimed == '.')
        return hostname_is_within(host->host.text, claimed + 1);
    return !host->below && strcmp(claimed, host->host.text) == 0;
}

/* --- whose claims --- */

static bool is_of(const struct portal_claim *c, const struct meta *who)
{
    return (!c->user || (who->user && strcmp(c->user, who->user->email) == 0)) &&
           (!c->certificate || certificate_is(&who->certificate, c->certificate));
}

/* The first that does not come before this user. */
static size_t first_of(const struct portal_conf *conf, const char *user)
{
    const struct portal_claim his = {.user = user}, *key = &his;
    size_t from = 0, to = conf->claim_count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (claim_compare(&conf->claims[middle], &key) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* The next of his claims from *at on, and *at behind it. NULL: no more. */
static const struct portal_claim *claim_next(const struct portal_conf *conf, const struct meta *who,
                                             size_t *at)
{
    const struct portal_claim *const *claims = conf->claims;
    const char *email = who->user ? who->user->email : "";
    for (; *at < conf->claim_count && !claims[*at]->user; ++*at)
        if (is_of(claims[*at], who))
            return claims[(*at)++];
    size_t his = first_of(conf, email);
    *at = *at < his ? his : *at;
    for (; *at < conf->claim_count && strcmp(claims[*at]->user, email) == 0; ++*at)
        if (is_of(claims[*at], who))
            return claims[(*at)++];
    return NULL;
}

static bool texts_equal(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* --- questions --- */

/* What one of its claims says holds for all. */
static bool is_private(const struct portal_conf *conf, const char *tenant, const char *id)
{
    for (size_t i = 0; conf->has_private && i < conf->claim_count; i++) {
        const struct portal_claim *c = conf->claims[i];
        bool marked = c->is_private;
        if (texts_equal(c->tenant, tenant) && patterns_fit(&c->tunnels, id, &marked) && marked)
            return true;
    }
    return false;
}

static bool claim_tunnel(const struct portal_conf *conf, const struct meta *who, bool visits,
                         struct tunnel_name *t)
{
    const struct portal_claim *c = NULL;
    bool ignored = false, fits = false;
    for (size_t at = 0; !fits && (c = claim_next(conf, who, &at));)
        fits = patterns_fit(&c->tunnels, t->text, &ignored) ||
               (visits && patterns_fit(&c->visits, t->text, &ignored));
    if (!fits && conf->claims)
        return false;
    t->tenant = c ? c->tenant : NULL;
    if (is_private(conf, t->tenant, t->text))
        t->by = TUNNEL_PRIVATE;
    return true;
}

bool claim_serves(const struct portal_conf *conf, const struct meta *who, struct tunnel_name *t)
{
    return claim_tunnel(conf, who, false, t);
}

bool claim_visits(const struct portal_conf *conf, const struct meta *who, struct tunnel_name *t)
{
    return claim_tunnel(conf, who, true, t);
}

const char *claim_tenant(const struct portal_conf *conf, const struct meta *who)
{
    size_t at = 0;
    const struct portal_claim *c = claim_next(conf, who, &at);
    return c ? c->tenant : NULL;
}

bool claim_names(const struct portal_conf *conf, const struct meta *who, const char *tenant,
                 enum tunnel_by by, const char *name)
{
    const struct portal_claim *c;
    bool ignored = false;
    for (size_t at = 0; (c = claim_next(conf, who, &at));)
        if (texts_equal(c->tenant, tenant) &&
            patterns_fit(by == TUNNEL_BY_NODE ? &c->nodes : &c->clusters, name, &ignored))
            return true;
    return !conf->claims && !tenant;
}

bool claim_host(const struct portal_conf *conf, const struct meta *who, const char *tenant,
                const struct hostname_pattern *host)
{
    const struct portal_claim *c;
    for (size_t at = 0; (c = claim_next(conf, who, &at));)
        for (size_t i = 0; texts_equal(c->tenant, tenant) && i < c->hosts.count; i++)
            if (host_fits(c->hosts.items[i], host))
                return true;
    return false;
}
