/* Values of the registry as they come: what is read of sealed bytes, whatever they say, is within bounds and is written as it
 * was read; and bytes that nobody sealed are nothing. */
#include <stdlib.h>
#include <string.h>

#include "cluster/ledger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fact)
{
    if (!fact)
        __builtin_trap();
}

static size_t seal(const struct ledger *p, const char *purpose, const struct ledger_key *key,
                   const char *field, uint8_t *value, size_t len)
{
    const struct seal_part parts[] = {{key->text, key->len}, {field, strlen(field)}, {value, len}};
    seal_make(&p->seal, purpose, parts, 3, value + len);
    return len + SEAL_LEN;
}

static void lease(const struct ledger *p, const struct ledger_key *key, uint8_t *value, size_t len)
{
    struct ledger_lease l, again;
    struct ledger_value v;
    if (!ledger_read_lease(p, key, value, seal(p, "lease", key, "", value, len), &l))
        return;
    require(strlen(l.zone) <= NODE_NAME_MAX);
    ledger_write_lease(p, key, &l, &v);
    require(ledger_read_lease(p, key, v.bytes, v.len, &again));
    require(again.epoch == l.epoch && again.serial == l.serial && again.links == l.links);
    require(again.state == l.state && again.version == l.version && again.at.type == l.at.type);
    require(strcmp(again.zone, l.zone) == 0);
}

static void links(const struct ledger *p, const struct ledger_key *key, uint8_t *value, size_t len)
{
    struct ledger_links l, again;
    struct ledger_value v;
    if (!ledger_read_links(p, key, "n", value, seal(p, "links", key, "n", value, len), &l))
        return;
    ledger_write_links(p, key, "n", &l, &v);
    require(ledger_read_links(p, key, "n", v.bytes, v.len, &again));
    require(again.epoch == l.epoch && again.links == l.links);
}

static void holder(const struct ledger *p, const struct ledger_key *key, uint8_t *value, size_t len)
{
    struct ledger_holder h, again;
    struct ledger_value v;
    if (!ledger_read_holder(p, key, value, seal(p, "holder", key, "", value, len), &h))
        return;
    require(strlen(h.text) <= TUNNEL_NAME_MAX && strlen(h.tenant) <= TUNNEL_NAME_MAX);
    ledger_write_holder(p, key, &h, &v);
    require(ledger_read_holder(p, key, v.bytes, v.len, &again));
    require(again.since == h.since && again.by == h.by && strcmp(again.text, h.text) == 0 &&
            strcmp(again.tenant, h.tenant) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t secret[SEAL_KEY] = {1};
    struct ledger p = {.cluster = "prod"};
    struct ledger_key key;
    struct ledger_links l;
    if (size > LEDGER_MAX)
        return 0;
    uint8_t *value = malloc(size + SEAL_LEN);
    if (!value)
        return 0;
    if (size)
        memcpy(value, data, size);
    seal_init(&p.seal, secret, p.cluster);
    ledger_key_node(&p, "n", &key);
    require(!ledger_read_links(&p, &key, "n", value, size, &l));
    lease(&p, &key, value, size);
    links(&p, &key, value, size);
    holder(&p, &key, value, size);
    free(value);
    return 0;
}
