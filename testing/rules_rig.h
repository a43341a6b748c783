/* testing/rules_rig.h -- rules and queries made of a run of numbers, small enough that they often meet. */
#ifndef V2C_TESTING_RULES_RIG_H
#define V2C_TESTING_RULES_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/rule.h"

/* Where the numbers come from; it may end, and then says 0. */
struct numbers {
    const uint8_t *p, *end;
};

static inline unsigned number_below(struct numbers *n, unsigned below)
{
    return n->p < n->end ? *n->p++ % below : 0;
}

static inline const char *rig_pick(struct numbers *n, const char *const *items, unsigned count)
{
    return items[number_below(n, count)];
}

#define RIG_PICK(n, list) rig_pick((n), (list), sizeof(list) / sizeof *(list))

static const char *const rig_names[] = {
    "a.example", "b.example", "www.a.example", "x.www.a.example",
    "example",   "localhost", "adserver.test", "my-adserver-1.test",
    "a..b",      "test."};
static const char *const rig_domains[] = {"full:a.example",
                                          "domain:a.example",
                                          "domain:example",
                                          "full:www.a.example",
                                          "adserver",
                                          "keyword:ads",
                                          "keyword:ad",
                                          "dotless:local",
                                          "dotless:",
                                          "domain:test",
                                          "regexp:^b",
                                          "ver-1.test",
                                          "full:localhost",
                                          "domain:B.Example.",
                                          "keyword:verylongkeywordthatnobodyhas",
                                          ""};
static const char *const rig_ips[] = {"10.0.0.1",
                                      "10.1.0.1",
                                      "10.255.255.255",
                                      "11.0.0.0",
                                      "192.0.2.1",
                                      "0.0.0.0",
                                      "255.255.255.255",
                                      "2001:db8::1",
                                      "2001:db8:0:1::",
                                      "::",
                                      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"};
static const char *const rig_networks[] = {
    "10.0.0.0/8",    "10.0.0.1",    "10.1.0.0/16", "0.0.0.0/0",   "192.0.2.0/31",
    "2001:db8::/32", "2001:db8::1", "::/0",        "!10.0.0.0/8", "!2001:db8::/32",
    "128.0.0.0/1",   "::/65",       "!0.0.0.0/0"};
static const char *const rig_ports[] = {"80",         "443,80",    "1-1023", "0-65535",
                                        "1024-65535", "53,81-442", "65535",  "90-80"};
static const char *const rig_tags[] = {"in", "door", "window", "a", ""};
static const char *const rig_words[] = {"http", "tls", "quic", ""};

static inline struct string_list rig_list(struct numbers *n, const char *const *items,
                                          unsigned count)
{
    struct string_list l = {calloc(3, sizeof(char *)), 0};
    for (unsigned i = 0, some = 1 + number_below(n, 3); i < some; i++)
        l.items[l.count++] = strdup(rig_pick(n, items, count));
    return l;
}

static inline struct domain_set *rig_domain_set(struct numbers *n)
{
    struct domain_set *s = domain_set_new(), *part = NULL;
    struct err e;
    for (unsigned i = 0, some = 1 + number_below(n, 3); i < some; i++)
        domain_set_add(s, RIG_PICK(n, rig_domains), &e);
    if (number_below(n, 8) == 1) {
        part = rig_domain_set(n);
        domain_set_include(s, part, &e);
        domain_set_free(part);
    }
    return s;
}

static inline struct cidr_set *rig_cidr_set(struct numbers *n)
{
    struct cidr_set *s = cidr_set_new(), *part = NULL;
    struct err e;
    for (unsigned i = 0, some = 1 + number_below(n, 3); i < some; i++)
        cidr_set_add(s, RIG_PICK(n, rig_networks), &e);
    cidr_set_seal(s);
    if (number_below(n, 8) == 1) {
        part = rig_cidr_set(n);
        cidr_set_include(s, part, &e);
        cidr_set_free(part);
    }
    return s;
}

static inline void rig_rule(struct numbers *n, struct rule *r)
{
    unsigned fields = number_below(n, 256) | number_below(n, 4) << 8;
    struct err e;
    *r = (struct rule){.networks = number_below(n, 4)};
    if (fields & 1)
        r->domains = rig_domain_set(n);
    if (fields & 2)
        r->ips = rig_cidr_set(n);
    if ((fields & 12) == 12)
        r->sources = rig_cidr_set(n);
    if (fields & 16)
        port_set_add(&r->ports, RIG_PICK(n, rig_ports), &e);
    if ((fields & 40) == 40)
        port_set_add(&r->source_ports, RIG_PICK(n, rig_ports), &e);
    if (fields & 64)
        r->inbound_tags = rig_list(n, rig_tags, 5);
    if (fields & 128)
        r->users = rig_list(n, rig_tags, 5);
    if ((fields & 0x108) == 0x108)
        r->protocols = rig_list(n, rig_words, 4);
    if ((fields & 0x280) == 0x280) {
        r->user_patterns = malloc(sizeof(struct regex *));
        r->user_patterns[r->user_pattern_count++] = regex_new_exact("^d", &e);
    }
}

static inline struct addr rig_addr(struct numbers *n, bool may_be_name)
{
    static const uint16_t ports[] = {80, 443, 53, 1023, 1024, 65535, 0, 81};
    struct addr a = {.type = ADDR_NONE};
    struct err e;
    unsigned what = number_below(n, may_be_name ? 4 : 3);
    const char *text = what == 3 ? RIG_PICK(n, rig_names) : RIG_PICK(n, rig_ips);
    if (what > 0)
        addr_parse_host(&a, text, strlen(text), &e);
    a.port = ports[number_below(n, 8)];
    return a;
}

/* A query with all that it points to. */
struct rig_query {
    struct query q;
    struct meta meta;
    struct user user;
    struct addr ips[3];
    char name[ADDR_NAME_MAX + 1];
};

static inline void rig_ask(struct numbers *n, struct rig_query *a)
{
    a->user = (struct user){.email = RIG_PICK(n, rig_tags)};
    a->meta = (struct meta){.net = 1 + number_below(n, 2),
                            .source = rig_addr(n, false),
                            .target = rig_addr(n, true),
                            .inbound_tag = RIG_PICK(n, rig_tags),
                            .user = number_below(n, 3) ? &a->user : NULL,
                            .outbound_tag = ""};
    a->q = query_of(&a->meta, a->name);
    a->q.ip_count = number_below(n, 4);
    a->q.ips = a->ips;
    for (size_t i = 0; i < a->q.ip_count; i++)
        a->ips[i] = rig_addr(n, false);
    if (number_below(n, 3) == 1)
        a->q.protocol = RIG_PICK(n, rig_words);
}

/* The oracle. */
static inline const struct rule *rig_first(const struct rules *rs, const struct query *q)
{
    for (size_t i = 0; i < rs->count; i++)
        if (rule_match(&rs->items[i], q))
            return &rs->items[i];
    return NULL;
}

#endif
