#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "cluster/cluster.h"
#include "cluster/ledger.h"

static struct ledger place(void)
{
    static const uint8_t key[SEAL_KEY] = {7};
    struct ledger p = {.cluster = "prod"};
    seal_init(&p.seal, key, p.cluster);
    return p;
}

static struct tunnel_name tunnel(const char *tenant, uint8_t by, const char *text)
{
    struct tunnel_name t = {.tenant = tenant, .by = by};
    snprintf(t.text, sizeof t.text, "%s", text);
    return t;
}

static void keys_of_one_thing_have_one_slot_and_hide_ids(void **state)
{
    (void)state;
    struct ledger p = place();
    struct ledger_key key, again;
    struct tunnel_name t = tunnel("acme", TUNNEL_BY_ID, "secret-id");
    ledger_key_of(&p, "boot", &key);
    assert_string_equal(key.text, "v2c:prod:boot");
    ledger_key_node(&p, "a", &key);
    assert_string_equal(key.text, "v2c:prod:n:a");
    ledger_key_host(&p, 0xab, "a.example", false, &key);
    assert_string_equal(key.text, "v2c:prod:h:{00000000000000ab/a.example}");
    ledger_key_host(&p, 0xab, "a.example", true, &key);
    assert_string_equal(key.text, "v2c:prod:h:{00000000000000ab/.a.example}");
    assert_int_equal(key.len, strlen(key.text));
    ledger_key_tunnel(&p, 0xab, &t, &key);
    assert_int_equal(strncmp(key.text, "v2c:prod:t:{00000000000000ab/", 29), 0);
    assert_null(strstr(key.text, "secret"));
    ledger_key_tunnel(&p, 0xab, &t, &again);
    assert_string_equal(key.text, again.text);
}

static void tunnels_of_two_names_have_two_keys(void **state)
{
    (void)state;
    struct ledger p = place();
    const struct tunnel_name all[] = {
        tunnel(NULL, TUNNEL_BY_ID, "t"),   tunnel("a", TUNNEL_BY_ID, "t"),
        tunnel(NULL, TUNNEL_BY_NODE, "t"), tunnel(NULL, TUNNEL_PRIVATE, "t"),
        tunnel(NULL, TUNNEL_BY_ID, "at"),
    };
    struct ledger_key keys[5];
    for (int i = 0; i < 5; i++) {
        ledger_key_tunnel(&p, 1, &all[i], &keys[i]);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(keys[i].text, keys[k].text);
    }
}

static void the_longest_names_fit(void **state)
{
    (void)state;
    struct ledger p = place();
    struct ledger_key key;
    struct ledger_lease lease = {.at.type = ADDR_NAME}, read;
    struct ledger_value v;
    char cluster[CLUSTER_NAME_MAX + 1], host[HOSTNAME_MAX + 1];
    memset(cluster, 'c', sizeof cluster - 1), cluster[sizeof cluster - 1] = '\0';
    memset(host, 'h', sizeof host - 1), host[sizeof host - 1] = '\0';
    p.cluster = cluster;
    ledger_key_host(&p, UINT64_MAX, host, true, &key);
    assert_int_equal(key.len, 4 + 63 + 4 + 16 + 1 + 1 + 253 + 1);
    ledger_key_node(&p, cluster, &key);
    memset(lease.zone, 'z', NODE_NAME_MAX);
    memset(lease.at.name, 'n', ADDR_NAME_MAX);
    ledger_write_lease(&p, &key, &lease, &v);
    assert_true(ledger_read_lease(&p, &key, v.bytes, v.len, &read));
    assert_string_equal(read.zone, lease.zone);
    assert_true(addr_equal(&read.at, &lease.at));
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    struct ledger p = place();
    struct ledger_key key;
    struct ledger_value v;
    struct ledger_lease lease = {.epoch = 1ULL << 60,
                                 .serial = 5,
                                 .state = NODE_NAME_MAX,
                                 .version = 3,
                                 .links = 70000,
                                 .zone = "z",
                                 .at = {.type = ADDR_IPV6, .port = 7400, .ip = {0xfe, 0x80}}},
                        lease_read;
    struct ledger_links links = {.epoch = 9, .links = 65535}, links_read;
    struct tunnel_name t = tunnel("acme", TUNNEL_BY_ID, "id");
    struct ledger_holder holder, holder_read;
    ledger_key_node(&p, "a", &key);
    ledger_write_lease(&p, &key, &lease, &v);
    assert_true(ledger_read_lease(&p, &key, v.bytes, v.len, &lease_read));
    assert_int_equal(lease_read.epoch, lease.epoch);
    assert_int_equal(lease_read.serial, 5);
    assert_int_equal(lease_read.links, 70000);
    assert_true(addr_equal(&lease_read.at, &lease.at));
    lease.at = (struct addr){.type = ADDR_UNIX, .name = "/x"}; /* of no use to others */
    ledger_write_lease(&p, &key, &lease, &v);
    assert_true(ledger_read_lease(&p, &key, v.bytes, v.len, &lease_read));
    assert_int_equal(lease_read.at.type, ADDR_NONE);
    ledger_write_links(&p, &key, "a", &links, &v);
    assert_true(ledger_read_links(&p, &key, "a", v.bytes, v.len, &links_read));
    assert_int_equal(links_read.epoch, 9);
    assert_int_equal(links_read.links, 65535);
    ledger_holder_of(&t, 77, &holder);
    ledger_write_holder(&p, &key, &holder, &v);
    assert_true(ledger_read_holder(&p, &key, v.bytes, v.len, &holder_read));
    assert_true(ledger_holder_is(&holder_read, &t));
    assert_int_equal(holder_read.since, 77);
    t.tenant = NULL;
    assert_false(ledger_holder_is(&holder_read, &t));
    assert_false(ledger_same_tenant(&holder_read, &t));
}

static void nothing_counts_but_in_its_place_and_whole(void **state)
{
    (void)state;
    struct ledger p = place(), other = place();
    struct ledger_key key, elsewhere;
    struct ledger_value v;
    struct ledger_links l = {.epoch = 9, .links = 1};
    struct ledger_holder holder;
    ledger_key_node(&p, "a", &key);
    ledger_key_node(&p, "b", &elsewhere);
    ledger_write_links(&p, &key, "a", &l, &v);
    other.seal.key[0] ^= 1;
    assert_false(ledger_read_links(&other, &key, "a", v.bytes, v.len, &l));
    assert_false(ledger_read_links(&p, &elsewhere, "a", v.bytes, v.len, &l));
    assert_false(ledger_read_links(&p, &key, "b", v.bytes, v.len, &l));
    assert_false(ledger_read_holder(&p, &key, v.bytes, v.len, &holder));
    for (size_t i = 0; i < v.len; i++) {
        assert_false(ledger_read_links(&p, &key, "a", v.bytes, i, &l));
        v.bytes[i] ^= 1;
        assert_false(ledger_read_links(&p, &key, "a", v.bytes, v.len, &l));
        v.bytes[i] ^= 1;
    }
    assert_true(ledger_read_links(&p, &key, "a", v.bytes, v.len, &l));
}

static void what_a_later_version_adds_is_skipped(void **state)
{
    (void)state;
    struct ledger p = place();
    struct ledger_key key;
    struct ledger_links l;
    uint8_t v[64] = {1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 'm', 'o', 'r', 'e'};
    ledger_key_node(&p, "a", &key);
    for (uint8_t version = 1; version < 3; version++) {
        v[0] = version;
        const struct seal_part parts[] = {{key.text, key.len}, {"a", 1}, {v, 15}};
        seal_make(&p.seal, "links", parts, 3, v + 15);
        assert_int_equal(ledger_read_links(&p, &key, "a", v, 15 + SEAL_LEN, &l), version == 1);
    }
    assert_int_equal(l.epoch, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_one_thing_have_one_slot_and_hide_ids),
        cmocka_unit_test(tunnels_of_two_names_have_two_keys),
        cmocka_unit_test(the_longest_names_fit),
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(nothing_counts_but_in_its_place_and_whole),
        cmocka_unit_test(what_a_later_version_adds_is_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
