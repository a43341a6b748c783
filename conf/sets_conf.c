#include <string.h>

#include "conf/compile.h"
#include "conf/geo_conf.h"

/* A plain text is found anywhere in a name: "com" is in nearly every one. */
static void warn_wide_domain(struct build *b, const struct text_item *item)
{
    if (!strpbrk(item->text, ":."))
        report_warn(b->report, item->at,
                    "\"%.64s\" matches every name that has this text anywhere; did you mean "
                    "\"domain:%.64s\"?",
                    item->text, item->text);
}

static void domain_add(struct build *b, const struct text_item *item, struct domain_set *set)
{
    struct err e = {0};
    if (geo_domains_add(b, item, set))
        return;
    warn_wide_domain(b, item);
    if (domain_set_add(set, item->text, &e) < 0)
        report_error(b->report, item->at, "failed to parse domain rule: %s", e.text);
}

static void ip_add(struct build *b, const struct text_item *item, struct cidr_set *set)
{
    struct err e = {0};
    if (!geo_ips_add(b, item, set) && cidr_set_add(set, item->text, &e) < 0)
        report_error(b->report, item->at, "%s", e.text);
}

bool domain_set_build(struct build *b, const struct node *at, struct domain_set **set)
{
    struct text_list list;
    if (!at || !value_texts(b->report, b->scratch, at, &list) || list.count == 0)
        return false;
    if (!*set)
        *set = domain_set_new();
    if (!*set)
        b->scratch->failed = true;
    for (size_t i = 0; *set && i < list.count; i++)
        domain_add(b, &list.items[i], *set);
    return *set;
}

/* Entries are alternatives, as in V2Ray: what is not in one or not in the other is nearly everything. */
static void warn_negations(struct build *b, const struct text_list *list)
{
    unsigned count = 0;
    for (size_t i = 0; i < list->count; i++) {
        const char *mark = strchr(list->items[i].text, '!');
        count += mark && (mark == list->items[i].text || mark[-1] == ':');
        if (mark && count == 2)
            report_warn(b->report, list->items[i].at,
                        "a second \"!\": each is an alternative, together they match nearly every "
                        "address");
        count += mark && count == 2;
    }
}

bool cidr_set_build(struct build *b, const struct node *at, struct cidr_set **set)
{
    struct text_list list;
    if (!at || !value_texts(b->report, b->scratch, at, &list) || list.count == 0)
        return false;
    if (!*set)
        *set = cidr_set_new();
    for (size_t i = 0; *set && i < list.count; i++)
        ip_add(b, &list.items[i], *set);
    warn_negations(b, &list);
    if (!*set || cidr_set_seal(*set) < 0)
        b->scratch->failed = true;
    return *set;
}
