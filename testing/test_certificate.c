#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/certificate.h"

static struct certificate shown(const char *name)
{
    struct certificate c = {.shown = true};
    for (int i = 0; i < CERTIFICATE_HASH; i++)
        c.hash[i] = (uint8_t)(i * 7 + 3);
    snprintf(c.name, sizeof c.name, "%s", name);
    return c;
}

/* Its hash as text; large: "AB:CD". */
static void spell(const struct certificate *c, bool large, char *to)
{
    for (int i = 0; i < CERTIFICATE_HASH; i++)
        to += sprintf(to, large ? "%s%02X" : "%s%02x", large && i ? ":" : "", c->hash[i]);
}

static void a_certificate_is_known_by_its_name_whatever_the_case(void **state)
{
    (void)state;
    struct certificate c = shown("bridge-7.example");
    assert_true(certificate_is(&c, "bridge-7.example"));
    assert_true(certificate_is(&c, "Bridge-7.EXAMPLE"));
    assert_false(certificate_is(&c, "bridge-7.example."));
    assert_false(certificate_is(&c, "bridge-7"));
    assert_false(certificate_is(&c, ""));
}

static void a_certificate_is_known_by_its_hash(void **state)
{
    (void)state;
    char text[128];
    struct certificate c = shown("a"), other = shown("a");
    other.hash[31] ^= 1;
    spell(&c, false, text);
    assert_true(certificate_is(&c, text));
    assert_false(certificate_is(&other, text));
    spell(&c, true, text);
    assert_true(certificate_is(&c, text));
    text[2] = '0';
    assert_false(certificate_is(&c, text));
}

static void what_is_no_whole_hash_is_a_name(void **state)
{
    (void)state;
    char text[128];
    uint8_t hash[CERTIFICATE_HASH];
    struct certificate c = shown("");
    spell(&c, false, text);
    for (size_t len = 0; len < strlen(text); len++) {
        char some[128];
        snprintf(some, sizeof some, "%.*s", (int)len, text);
        assert_false(certificate_text_is_hash(some, hash));
    }
    strcat(text, "0");
    assert_false(certificate_text_is_hash(text, hash));
    assert_false(certificate_is(&c, ""));
}

static void nobody_is_known_by_a_certificate_that_was_not_shown(void **state)
{
    (void)state;
    char text[128];
    struct certificate none = {0};
    spell(&none, false, text);
    assert_false(certificate_is(&none, text));
    assert_false(certificate_is(&none, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_is_known_by_its_name_whatever_the_case),
        cmocka_unit_test(a_certificate_is_known_by_its_hash),
        cmocka_unit_test(what_is_no_whole_hash_is_a_name),
        cmocka_unit_test(nobody_is_known_by_a_certificate_that_was_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
