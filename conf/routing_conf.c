#include <stdlib.h>

#include "conf/compile.h"

struct routing_keys {
    const struct node *rules, *settings, *balancers;
    int strategy; /* enum domain_strategy */
};

static const struct field_name strategy_names[] = {
    {"AsIs", AS_IS},
    {"alwaysIP", AS_IS}, /* as in V2Ray */
    {"IPIfNonMatch", IP_IF_NON_MATCH},
    {"IPOnDemand", IP_ON_DEMAND},
    {NULL, 0},
};

static const struct field settings_fields[] = {
    FIELD_NODE("rules", struct routing_keys, rules, "objects"),
    FIELD_NAME_LENIENT("domainStrategy", struct routing_keys, strategy, strategy_names, 0),
    FIELD_END,
};

/* settings: where V2Ray 3 had the rules. */
const struct field routing_fields[] = {
    FIELD_NODE("rules", struct routing_keys, rules, "objects"),
    FIELD_NAME_LENIENT("domainStrategy", struct routing_keys, strategy, strategy_names, 0),
    FIELD_NODE("settings", struct routing_keys, settings, "object"),
    FIELD_NODE("balancers", struct routing_keys, balancers, "objects"),
    FIELD_IGNORED("strategy"),
    FIELD_IGNORED("domainMatcher"),
    FIELD_END,
};

void routing_conf_build(struct build *b, const struct node *at)
{
    struct routing_keys keys, old;
    struct node_list nodes = {0};
    struct rules *rules = &b->config->rules;
    fields_read(b->report, at, routing_fields, &keys);
    fields_read(b->report, keys.settings, settings_fields, &old);
    const struct node *said = node_get(at, "domainStrategy");
    bool here = said && said->type != NODE_NULL;
    b->config->strategy = (enum domain_strategy)(here ? keys.strategy : old.strategy);
    balancers_conf_build(b, keys.balancers);
    value_objects(b->report, b->scratch, keys.rules, &nodes);
    value_objects(b->report, b->scratch, old.rules, &nodes);
    if (nodes.count == 0)
        return;
    rules->items = calloc(nodes.count, sizeof *rules->items);
    if (!rules->items) {
        b->scratch->failed = true;
        return;
    }
    for (size_t i = 0; i < nodes.count; i++)
        if (rule_conf_build(b, nodes.items[i], &rules->items[rules->count]))
            rules->count++;
    if (!rules_seal(rules))
        b->scratch->failed = true;
}
