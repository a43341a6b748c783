#include <string.h>

#include "conf/compile.h"
#include "routing/sniff.h"

struct sniffing_keys {
    bool enabled, metadata_only, route_only;
    const struct node *dest_override, *domains_excluded, *ips_excluded;
};

const struct field sniffing_fields[] = {
    FIELD_BOOL("enabled", struct sniffing_keys, enabled, false),
    FIELD_NODE("destOverride", struct sniffing_keys, dest_override, "words"),
    FIELD_BOOL("routeOnly", struct sniffing_keys, route_only, false),
    FIELD_BOOL("metadataOnly", struct sniffing_keys, metadata_only, false),
    FIELD_NODE("domainsExcluded", struct sniffing_keys, domains_excluded, "texts"),
    FIELD_NODE("ipsExcluded", struct sniffing_keys, ips_excluded, "texts"),
    FIELD_END,
};

static const struct field_name kind_names[] = {
    {"http", SNIFF_HTTP},           {"tls", SNIFF_TLS},
    {"https", SNIFF_TLS},           {"ssl", SNIFF_TLS},
    {"quic", SNIFF_QUIC},           {"fakedns", NAME_LATER},
    {"fakedns+others", NAME_LATER}, {NULL, 0},
};

static unsigned kinds_build(struct build *b, const struct node *at)
{
    struct text_list list;
    unsigned mask = 0;
    if (!at || !value_texts(b->report, b->scratch, at, &list))
        return 0;
    for (size_t i = 0; i < list.count; i++) {
        char advice[192];
        const struct text_item *item = &list.items[i];
        const struct field_name *kind = field_name_find(kind_names, item->text);
        if (!kind)
            report_error(b->report, item->at, "unknown protocol: %.64s%s", item->text,
                         field_name_advice(kind_names, item->text, advice, sizeof advice));
        else if (kind->value == NAME_LATER)
            report_error(b->report, item->at, "v2c has no %s yet", kind->text);
        else
            mask |= (unsigned)kind->value;
    }
    return mask;
}

/* --- what is excluded: sets that flows point to, made once of the same texts --- */

static const char *set_name(struct build *b, const char *kind, const struct text_list *list)
{
    const char *name = kind;
    for (size_t i = 0; name && i < list->count; i++)
        name = arena_printf(b->scratch, "%s\n%s", name, list->items[i].text);
    return name;
}

/* Takes the set. NULL: it is not valid, which has been reported, or memory is out. */
static const void *set_keep(struct build *b, const char *name, void *set, bool well,
                            void (*drop)(void *set))
{
    if (well && keep_add_object(b->config->keep, name, set, drop))
        return set;
    b->scratch->failed |= well; /* nothing may pass because the list of exceptions did not fit */
    drop(set);
    return NULL;
}

static void domains_drop(void *set)
{
    domain_set_free(set);
}

static const struct domain_set *domains_build(struct build *b, const struct node *at)
{
    struct text_list list;
    struct err e = {0};
    if (!at || !value_texts(b->report, b->scratch, at, &list) || list.count == 0)
        return NULL;
    const char *name = set_name(b, "domains", &list);
    const void *kept = name ? keep_object(b->config->keep, name) : NULL;
    struct domain_set *set = kept || !name ? NULL : domain_set_new();
    b->scratch->failed |= !kept && !set;
    if (!set)
        return kept;
    bool well = true;
    for (size_t i = 0; i < list.count; i++) {
        if (domain_set_add(set, list.items[i].text, &e) == 0)
            continue;
        report_error(b->report, list.items[i].at, "failed to parse domain rule: %s", e.text);
        well = false;
    }
    return set_keep(b, name, set, well, domains_drop);
}

static void ips_drop(void *set)
{
    cidr_set_free(set);
}

static const struct cidr_set *ips_build(struct build *b, const struct node *at)
{
    struct text_list list;
    struct err e = {0};
    if (!at || !value_texts(b->report, b->scratch, at, &list) || list.count == 0)
        return NULL;
    const char *name = set_name(b, "ips", &list);
    const void *kept = name ? keep_object(b->config->keep, name) : NULL;
    struct cidr_set *set = kept || !name ? NULL : cidr_set_new();
    b->scratch->failed |= !kept && !set;
    if (!set)
        return kept;
    bool well = true;
    for (size_t i = 0; i < list.count; i++) {
        if (cidr_set_add(set, list.items[i].text, &e) == 0)
            continue;
        report_error(b->report, list.items[i].at, "%s", e.text);
        well = false;
    }
    b->scratch->failed |= cidr_set_seal(set) < 0;
    return set_keep(b, name, set, well, ips_drop);
}

/* --- all of it --- */

static const struct sniff_conf *sniffing_keep(struct build *b, unsigned names,
                                              const struct sniffing_keys *keys)
{
    struct sniff_conf conf;
    memset(&conf, 0, sizeof conf); /* what is kept is compared with its padding */
    conf.names = names;
    conf.route_only = keys->route_only;
    conf.domains_excluded = domains_build(b, keys->domains_excluded);
    conf.ips_excluded = ips_build(b, keys->ips_excluded);
    return build_keep(b, &conf, sizeof conf);
}

const struct sniff_conf *sniffing_conf_build(struct build *b, const struct node *at,
                                             const struct node *old, const char *fixed)
{
    struct sniffing_keys keys;
    fields_read(b->report, at, sniffing_fields, &keys);
    unsigned names = kinds_build(b, keys.dest_override), old_names = kinds_build(b, old);
    if (!at && old_names) { /* V2Ray 3 */
        keys.enabled = true;
        names = old_names;
    }
    const struct sniff_conf *conf = sniffing_keep(b, names, &keys);
    if (keys.enabled && keys.metadata_only)
        report_warn(b->report, at, "with metadataOnly nothing is sniffed: v2c has no fakedns yet");
    if (!keys.enabled || keys.metadata_only)
        return NULL;
    if (fixed && names && !keys.route_only)
        report_warn(b->report, at ? at : old,
                    "visitors choose %s by the names they send; \"routeOnly\": true leaves it "
                    "as it is",
                    fixed);
    return conf;
}
