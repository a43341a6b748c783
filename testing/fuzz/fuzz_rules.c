/* Rules and queries from bytes: what the index finds is what the rules say one after the other, and an
 * expression on attributes can be asked once it is accepted. The first byte says which of both it is. */
#include "routing/index.h"
#include "testing/rules_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RULES_MAX = 24, QUERIES_MAX = 16 };

static void require(bool fact)
{
    if (!fact)
        __builtin_trap();
}

static void fuzz_index(struct numbers n)
{
    struct rule items[RULES_MAX];
    struct rules rs = {items, 1 + number_below(&n, RULES_MAX), 0, NULL};
    for (size_t i = 0; i < rs.count; i++)
        rig_rule(&n, &items[i]);
    struct rule_index *ix = rule_index_new(items, rs.count);
    require(ix);
    for (unsigned i = 0; i < QUERIES_MAX && (i == 0 || n.p < n.end); i++) {
        struct rig_query a;
        rig_ask(&n, &a);
        const struct rule *first = rig_first(&rs, &a.q);
        require(rule_index_match(ix, &a.q) == first);
        unsigned unknown = number_below(&n, 1 << FACT_COUNT);
        require(rule_index_lack(ix, &a.q, unknown) == rules_lack(&rs, &a.q, unknown));
    }
    rule_index_free(ix);
    for (size_t i = 0; i < rs.count; i++)
        rule_fini(&items[i]);
}

/* An expression, an empty line, and a request's head. Whoever says "not" to what is true says false. */
static void fuzz_attrs(const uint8_t *data, size_t size)
{
    const uint8_t *gap = memmem(data, size, "\n\n", 2);
    size_t len = gap ? (size_t)(gap - data) : size;
    char text[ATTRS_TEXT_MAX + 16];
    struct err e = {0};
    if (len > ATTRS_TEXT_MAX - 8 || memchr(data, 0, len))
        return;
    snprintf(text, sizeof text, "%.*s", (int)len, (const char *)data);
    struct attrs *a = attrs_new(text, &e);
    snprintf(text, sizeof text, "not (%.*s)", (int)len, (const char *)data);
    struct attrs *negated = attrs_new(text, &e);
    require(a || e.code);
    require(!a || !negated || gap == NULL ||
            !(attrs_match(a, (const char *)gap + 2, size - len - 2) &&
              attrs_match(negated, (const char *)gap + 2, size - len - 2)));
    attrs_free(a);
    attrs_free(negated);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] == 'a')
        fuzz_attrs(data + 1, size - 1);
    else
        fuzz_index((struct numbers){data + 1, data + size});
    return 0;
}
