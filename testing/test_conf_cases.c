#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "testing/certs.h"
#include "testing/conf_rig.h"

/* testing/configs/expected.tsv: a line for each message of each file. */

enum { LINE_MAX_LEN = 1024 };

struct expected {
    char file[128], outcome[16], pointer[256], message[512];
};

/* Where certificates with relative paths are found: the current folder. */
struct place {
    char source[1024], here[32];
};

static const char *source_dir(void **state)
{
    return ((struct place *)*state)->source;
}

static int place_make(void **state)
{
    static struct place p = {.here = "/tmp/v2c-cases-XXXXXX"};
    struct cert c;
    const char *dir = getenv("srcdir");
    char *whole = realpath(dir ? dir : ".", NULL);
    assert_non_null(whole);
    snprintf(p.source, sizeof p.source, "%s", whole);
    free(whole);
    assert_non_null(mkdtemp(p.here));
    assert_int_equal(chdir(p.here), 0);
    assert_int_equal(mkdir("certs", 0700), 0);
    cert_make(&c, &(struct cert_for){.names = "DNS:portal.example"});
    cert_write("certs/portal_cert.pem", c.pem);
    cert_write("certs/portal_key.pem", c.key);
    cert_free(&c);
    *state = &p;
    return 0;
}

static int place_leave(void **state)
{
    struct place *p = *state;
    unlink("certs/portal_cert.pem");
    unlink("certs/portal_key.pem");
    rmdir("certs");
    return chdir("/") < 0 || rmdir(p->here) < 0 ? -1 : 0;
}

static bool read_expected(FILE *table, struct expected *e)
{
    char line[LINE_MAX_LEN];
    while (fgets(line, sizeof line, table)) {
        if (line[0] == '#')
            continue;
        int n = sscanf(line, "%127[^\t]\t%15[^\t]\t%255[^\t]\t%511[^\n]", e->file, e->outcome,
                       e->pointer, e->message);
        assert_int_equal(n, 4);
        return true;
    }
    return false;
}

/* One line says both. */
static bool said(const struct run *r, const struct expected *e)
{
    char want[800];
    if (strcmp(e->message, "-") == 0)
        return true;
    const char *pointer = strcmp(e->pointer, "-") == 0 ? "" : e->pointer;
    snprintf(want, sizeof want, "%s%s%s", pointer, *pointer ? ": " : "", e->message);
    return strstr(r->said, want);
}

static unsigned check_file(const struct run *r, const struct expected *e)
{
    bool ok = strcmp(e->outcome, "ok") == 0;
    if (ok == (r->config != NULL) && said(r, e))
        return 0;
    print_error("%s: want %s %s %s, got:\n%s", e->file, e->outcome, e->pointer, e->message,
                r->said);
    return 1;
}

static unsigned check_count(const struct run *r, const char *file, unsigned errors)
{
    unsigned found = run_count(r, ": error: ");
    if (found == errors)
        return 0;
    print_error("%s: want %u errors, got %u:\n%s", file, errors, found, r->said);
    return 1;
}

static void every_config_loads_or_fails_as_the_table_says(void **state)
{
    struct expected e;
    struct run r = {0};
    char path[1200], last[128] = "";
    unsigned bad = 0, errors = 0, lines = 0;
    snprintf(path, sizeof path, "%s/testing/configs/expected.tsv", source_dir(state));
    FILE *table = fopen(path, "r");
    assert_non_null(table);
    setenv("V2C_PORT", "33000", 1);
    snprintf(path, sizeof path, "%s/testing/configs/geo", source_dir(state));
    setenv("V2RAY_LOCATION_ASSET", path, 1);
    for (; read_expected(table, &e); lines++) {
        if (strcmp(e.file, last) != 0) {
            if (*last)
                bad += check_count(&r, last, errors);
            run_free(&r);
            snprintf(path, sizeof path, "%s/testing/configs/%s", source_dir(state), e.file);
            r = run_file(path);
            memcpy(last, e.file, sizeof last);
            errors = 0;
        }
        errors += strncmp(e.message, "error:", 6) == 0;
        bad += check_file(&r, &e);
    }
    bad += check_count(&r, last, errors);
    run_free(&r);
    fclose(table);
    assert_int_equal(bad, 0);
    assert_true(lines > 150);
}

static void a_directory_is_merged_in_the_order_of_names(void **state)
{
    char dir[1100];
    snprintf(dir, sizeof dir, "%s/testing/configs/confdir", source_dir(state));
    struct run r = run_source(&(struct config_source){.dir = dir});
    assert_non_null(r.config);
    assert_int_equal(r.config->inbound_count, 2);
    assert_string_equal(r.config->inbounds[0].tag, "socks");
    assert_int_equal(r.config->inbounds[0].ports.from, 33201); /* replaced in its place */
    assert_string_equal(r.config->inbounds[1].tag, "http");
    static const char *const tags[] = {"proxy", "direct", "block", "portal"};
    assert_int_equal(r.config->outbound_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(r.config->outbounds[i].tag, tags[i]);
    assert_true(r.config->has_default);
    run_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_config_loads_or_fails_as_the_table_says),
        cmocka_unit_test(a_directory_is_merged_in_the_order_of_names),
    };
    return cmocka_run_group_tests(tests, place_make, place_leave);
}
