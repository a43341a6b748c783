/* routing/rule.h -- compiled field rules: every present condition must match, any entry of a condition
 * suffices, the first rule that matches decides.
 * Thread: built by conf (rules_seal() last), then immutable and read by any thread. Ownership: a rule owns
 * its sets, lists and patterns, and borrows `tag`, `pointer` and `texts`; struct rules owns its rules. */
#ifndef V2C_ROUTING_RULE_H
#define V2C_ROUTING_RULE_H

#include "routing/attrs.h"
#include "routing/cidr.h"
#include "routing/domain.h"
#include "routing/ports.h"
#include "routing/query.h"
#include "routing/regex.h"

/* In the order in which they are tried: the cheap ones first. */
enum condition {
    COND_NETWORK,
    COND_PORT,
    COND_SOURCE_PORT,
    COND_INBOUND,
    COND_USER,
    COND_SOURCE,
    COND_PROTOCOL,
    COND_IP,
    COND_DOMAIN,
    COND_ATTRS,
    COND_COUNT,
};

/* Sorted by rules_seal(), when long. */
struct string_list {
    const char **items;
    size_t count;
};

struct rule {
    struct string_list inbound_tags;     /* count 0: any */
    struct string_list users, protocols; /* protocols: prefixes, in lower case */
    struct regex **user_patterns;        /* they and `users` are one condition */
    size_t user_pattern_count;
    struct domain_set *domains;          /* NULL: any */
    struct cidr_set *ips, *sources;      /* NULL: any */
    struct attrs *attrs;                 /* NULL: any */
    struct port_set ports, source_ports; /* count 0: any */
    unsigned networks;                   /* mask of enum net; 0: any */
    size_t outbound;                     /* index into the config's outbounds */
    const struct balancer *balancer;     /* chooses the outbound instead; NULL: none */
    const char *tag;                     /* ruleTag; NULL: none */
    const char *pointer;                 /* where it stands in the configuration; NULL: nowhere */
    const char *texts[COND_COUNT]; /* what the configuration says, cut when long; NULL: unknown */
};

struct rule_index;

/* What a condition looks at may not be known yet. */
enum fact { FACT_NAME = 1, FACT_PROTOCOL = 2, FACT_HEAD = 4, FACT_IPS = 8 };

enum { FACT_COUNT = 4 };

struct rules {
    struct rule *items;
    size_t count;
    unsigned unasked;         /* facts that no rule looks at; 0 before rules_seal() */
    struct rule_index *index; /* NULL: all rules are tried in turn */
};

/* Makes many rules as fast as few. False: out of memory; the rules can be used nevertheless. */
bool rules_seal(struct rules *rs);

bool rule_match(const struct rule *r, const struct query *q);
/* False: what is known excludes the rule. Else *lacks are those of the unknown facts that decide. */
bool rule_may_match(const struct rule *r, const struct query *q, unsigned unknown, unsigned *lacks);
/* What it looks at: a mask of enum fact. */
unsigned rule_facts(const struct rule *r);
/* NULL: none matched. */
const struct rule *rules_match(const struct rules *rs, const struct query *q);
/* Which of the unknown facts (a mask) the choice hangs on: those that the rules ask for which come before
 * the first that matches whatever they are, and which nothing known excludes. 0: the choice is made. */
unsigned rules_lack(const struct rules *rs, const struct query *q, unsigned unknown);

/* One condition of a rule, for people. */
struct rule_finding {
    const char *key;  /* as in the configuration */
    const char *text; /* "" when nobody kept it */
    bool matched;
};

/* Fills `to` with what the rule says of the query, in the order in which it is tried; returns how many. */
size_t rule_explain(const struct rule *r, const struct query *q,
                    struct rule_finding to[COND_COUNT]);

void rule_fini(struct rule *r);
void rules_fini(struct rules *rs);

#endif
