#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "testing/geo_rig.h"

/* A file of two lists of domains: CN, and then ADS, whose name stands at its end. */
static struct message *domains_file(void)
{
    struct message *m = calloc(3, sizeof *m), *cn = m + 1, *ads = m + 2;
    assert_non_null(m);
    message_text(cn, 1, "CN");
    message_domain(cn, 2, "baidu.example", "");
    message_domain(cn, 3, "www.qq.example", "");
    message_domain(cn, 2, "ads.example", "ads");
    message_domain(cn, 2, "both.example", "ads@cn");
    message_domain(cn, 1, "^r[0-9]+\\.example$", "cn");
    message_domain(cn, 0, "WORD", "");
    message_value(ads, 9, 77); /* from a later version */
    message_domain(ads, 2, "tracker.example", "");
    message_text(ads, 9, "unknown");
    message_text(ads, 1, "ADS");
    message_bytes(m, 1, cn->bytes, cn->len);
    message_text(m, 7, "unknown");
    message_bytes(m, 1, ads->bytes, ads->len);
    return m;
}

static struct message *networks_file(void)
{
    struct message *m = calloc(3, sizeof *m), *cn = m + 1, *all = m + 2;
    assert_non_null(m);
    message_text(cn, 1, "CN");
    message_network(cn, "1.0.1.0", 24);
    message_network(cn, "2001:250::", 35);
    message_value(cn, 3, 1);
    message_text(all, 1, "all");
    message_network(all, "0.0.0.0", 0);
    message_bytes(m, 1, cn->bytes, cn->len);
    message_bytes(m, 1, all->bytes, all->len);
    return m;
}

/* One list of a file in memory. -1 and e: at any step. */
static int read_list(const void *bytes, size_t len, const char *name, const char *attributes,
                     struct domain_set *domains, struct cidr_set *ips, size_t *count, struct err *e)
{
    struct cursor all = cur_of(bytes, len);
    struct geo_bytes file = geo_rig_file(&all);
    struct geo_place place;
    struct geo_dir *dir = geo_dir_new(&file, e);
    if (!dir)
        return -1;
    bool found = geo_dir_find(dir, name, &place);
    geo_dir_free(dir);
    if (!found)
        return err_set(e, ENOENT, "no such list");
    return domains ? geo_read_domains(&file, place, attributes, domains, count, e)
                   : geo_read_ips(&file, place, ips, e);
}

static void assert_domains(const char *name, const char *attributes, size_t count,
                           const char *const *yes, const char *const *no)
{
    struct message *m = domains_file();
    struct domain_set *s = domain_set_new();
    struct err e = {0};
    size_t got;
    if (read_list(m->bytes, m->len, name, attributes, s, NULL, &got, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(got, count);
    for (; *yes; yes++)
        if (!domain_set_match(s, *yes))
            fail_msg("%s%s has no %s", name, attributes, *yes);
    for (; *no; no++)
        if (domain_set_match(s, *no))
            fail_msg("%s%s has %s", name, attributes, *no);
    domain_set_free(s);
    free(m);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void geo_reads_the_wanted_list_only(void **state)
{
    (void)state;
    assert_domains(
        "cn", "", 6,
        LIST("x.baidu.example", "www.qq.example", "ads.example", "r12.example", "a.sword.b"),
        LIST("qq.example", "rx.example", "tracker.example"));
    assert_domains("Ads", "", 1, LIST("tracker.example"), LIST("baidu.example"));
}

static void geo_attributes_must_all_be_there(void **state)
{
    (void)state;
    assert_domains("CN", "@ads", 2, LIST("ads.example", "both.example"),
                   LIST("baidu.example", "r1.example"));
    assert_domains("CN", "@CN", 2, LIST("both.example", "r1.example"), LIST("ads.example"));
    assert_domains("CN", "@ads@cn", 1, LIST("both.example"), LIST("ads.example", "r1.example"));
    assert_domains("CN", "@ad", 0, LIST(NULL), LIST("ads.example"));
    assert_domains("CN", "@", 6, LIST("baidu.example"), LIST("x.example"));
}

static void geo_reads_networks(void **state)
{
    (void)state;
    struct message *m = networks_file();
    struct cidr_set *s = cidr_set_new();
    struct err e = {0};
    struct addr in = {.type = ADDR_IPV4, .ip = {1, 0, 1, 200}},
                out = {.type = ADDR_IPV4, .ip = {1, 0, 2, 0}},
                in6 = {.type = ADDR_IPV6, .ip = {0x20, 1, 2, 0x50, 0x1f}};
    assert_int_equal(read_list(m->bytes, m->len, "cn", "", NULL, s, NULL, &e), 0);
    assert_int_equal(cidr_set_seal(s), 0);
    assert_true(cidr_set_match(s, &in));
    assert_true(cidr_set_match(s, &in6));
    assert_false(cidr_set_match(s, &out));
    assert_int_equal(read_list(m->bytes, m->len, "ALL", "", NULL, s, NULL, &e), 0);
    assert_int_equal(cidr_set_seal(s), 0);
    assert_true(cidr_set_match(s, &out));
    cidr_set_free(s);
    free(m);
}

/* The last list is cut; where it cannot be seen, the entries end early. */
static void geo_a_cut_file_is_an_error(void **state)
{
    (void)state;
    struct message *m = domains_file();
    for (size_t cut = 0; cut < m->len; cut++) {
        uint8_t *copy = malloc(cut + 1);
        struct domain_set *s = domain_set_new();
        struct err e = {0};
        size_t count;
        assert_non_null(copy);
        memcpy(copy, m->bytes, cut);
        assert_int_equal(read_list(copy, cut, "ads", "", s, NULL, &count, &e), -1);
        assert_true(e.code == EBADMSG || e.code == ENOENT);
        domain_set_free(s);
        free(copy);
    }
    free(m);
}

static void assert_broken(const void *bytes, size_t len, bool ips, const char *why)
{
    struct domain_set *d = ips ? NULL : domain_set_new();
    struct cidr_set *c = cidr_set_new();
    struct err e = {0};
    size_t count;
    assert_int_equal(read_list(bytes, len, "A", "", d, c, &count, &e), -1);
    if (!strstr(e.text, why))
        fail_msg("%s, want %s", e.text, why);
    domain_set_free(d);
    cidr_set_free(c);
}

static void geo_other_files_are_no_list_files(void **state)
{
    (void)state;
    static const char html[] = "<!DOCTYPE html><html><body>404 Not Found</body></html>";
    static const uint8_t endless[] = {0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
                         overlong[] = {0x0a, 0x80, 0x80, 0x80, 0x80, 0x80,
                                       0x80, 0x80, 0x80, 0x80, 0x80, 0x80},
                         group[] = {0x0b, 0x0c};
    assert_broken("", 0, false, "it has no lists");
    assert_broken(html, sizeof html - 1, false, "byte");
    assert_broken(endless, sizeof endless, false, "middle of a field");
    assert_broken(overlong, sizeof overlong, false, "this is no field");
    assert_broken(group, sizeof group, false, "this is no field");
}

/* What one entry says, in list A of a file of its own. */
static void assert_entry_broken(const void *entry, size_t len, bool ips, const char *why)
{
    struct message *m = calloc(2, sizeof *m), *list = m + 1;
    assert_non_null(m);
    message_text(list, 1, "A");
    message_bytes(list, 2, entry, len);
    message_bytes(m, 1, list->bytes, list->len);
    assert_broken(m->bytes, m->len, ips, why);
    free(m);
}

static void geo_broken_entries_are_errors(void **state)
{
    (void)state;
    static const uint8_t ip5[] = {0x0a, 5, 1, 2, 3, 4, 5}, no_ip[] = {0x10, 8},
                         prefix33[] = {0x0a, 4, 1, 2, 3, 4, 0x10, 33},
                         huge[] = {0x0a, 4, 1, 2, 3, 4, 0x10, 0xff, 0xff, 0xff, 0xff, 0x7f},
                         cut[] = {0x0a, 9, 1, 2};
    static const uint8_t kind9[] = {0x08, 9, 0x12, 1, 'a'}, nul[] = {0x08, 2, 0x12, 3, 'a', 0, 'b'},
                         nothing[] = {0x08, 3}, pattern[] = {0x08, 1, 0x12, 1, '('};
    assert_entry_broken(ip5, sizeof ip5, true, "no network");
    assert_entry_broken(no_ip, sizeof no_ip, true, "no network");
    assert_entry_broken(prefix33, sizeof prefix33, true, "no network");
    assert_entry_broken(huge, sizeof huge, true, "no network");
    assert_entry_broken(cut, sizeof cut, true, "no network");
    assert_entry_broken(kind9, sizeof kind9, false, "no domain");
    assert_entry_broken(nul, sizeof nul, false, "no domain");
    assert_entry_broken(cut, sizeof cut, false, "no domain");
    assert_entry_broken(nothing, sizeof nothing, false, "empty full domain");
    assert_entry_broken(pattern, sizeof pattern, false, "missing closing )");
}

/* Larger than what is read at once: entries lie across its borders. */
static void geo_reads_long_lists(void **state)
{
    (void)state;
    enum { MANY = 20000, ROOM = 1 << 20 };
    char text[32];
    struct message *entry = calloc(1, sizeof *entry);
    uint8_t *file = malloc(ROOM);
    assert_true(entry && file);
    size_t len = 5 + 3; /* the list's head, of 3 bytes of length, comes last */
    memcpy(file + 5, "\x0a\x01L", 3);
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "host-%d.example", i);
        entry->len = 0;
        message_domain(entry, 3, text, "");
        memcpy(file + len, entry->bytes, entry->len);
        len += entry->len;
    }
    entry->len = 0;
    message_number(entry, len - 5);
    while (entry->len < 4) { /* zeros that count for nothing */
        entry->bytes[entry->len - 1] |= 0x80;
        entry->bytes[entry->len++] = 0;
    }
    file[0] = 0x0a;
    memcpy(file + 1, entry->bytes, 4);
    struct domain_set *s = domain_set_new();
    struct err e = {0};
    size_t count;
    if (read_list(file, len, "l", "", s, NULL, &count, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(count, MANY);
    for (int i = 0; i < MANY + 10; i++) {
        snprintf(text, sizeof text, "host-%d.example", i);
        assert_int_equal(domain_set_match(s, text), i < MANY);
    }
    domain_set_free(s);
    free(entry);
    free(file);
}

static bool fail_to_read(void *from, uint64_t at, void *to, size_t len, struct err *e)
{
    (void)from, (void)at, (void)to, (void)len;
    err_set(e, EIO, "a bad block");
    return false;
}

static void geo_says_when_a_file_cannot_be_read(void **state)
{
    (void)state;
    struct geo_bytes file = {fail_to_read, NULL, 100};
    struct cidr_set *s = cidr_set_new();
    struct err e = {0};
    assert_null(geo_dir_new(&file, &e));
    assert_string_equal(e.text, "a bad block");
    assert_int_equal(geo_read_ips(&file, (struct geo_place){0, 100}, s, &e), -1);
    assert_int_equal(e.code, EIO);
    cidr_set_free(s);
    geo_dir_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(geo_reads_the_wanted_list_only),
        cmocka_unit_test(geo_attributes_must_all_be_there),
        cmocka_unit_test(geo_reads_networks),
        cmocka_unit_test(geo_a_cut_file_is_an_error),
        cmocka_unit_test(geo_other_files_are_no_list_files),
        cmocka_unit_test(geo_broken_entries_are_errors),
        cmocka_unit_test(geo_reads_long_lists),
        cmocka_unit_test(geo_says_when_a_file_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
