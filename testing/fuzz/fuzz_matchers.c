/* Lines of text: the first says what is tried ("domain", "cidr", "ports", "regex"), then come conditions,
 * an empty line, and what to match. Each answer must be that of a naive matcher. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/cidr.h"
#include "routing/domain.h"
#include "routing/ports.h"
#include "routing/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES_MAX = 64, TEXT_MAX = 1 << 16 };

struct lines {
    char *items[LINES_MAX];
    size_t count, conditions; /* conditions: those before the empty line */
};

static void require(bool fact)
{
    if (!fact)
        __builtin_trap();
}

static void split(struct lines *l, char *text)
{
    bool subjects = false;
    for (char *next; text && l->count < LINES_MAX; text = next) {
        next = strchr(text, '\n');
        if (next)
            *next++ = '\0';
        if (!*text && !subjects) {
            subjects = true;
            continue;
        }
        l->items[l->count++] = text;
        l->conditions += !subjects;
    }
}

/* A condition that was refused is dropped; the naive matchers only see the accepted ones. */
static void drop(struct lines *l, size_t i)
{
    l->items[i] = NULL;
}

static void lower(char *to, const char *from)
{
    do
        *to++ = *from >= 'A' && *from <= 'Z' ? (char)(*from + 32) : *from;
    while (*from++);
}

static bool starts(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

static bool naive_domain(const char *condition, const char *name)
{
    char text[TEXT_MAX];
    size_t len, name_len = strlen(name);
    const char *colon = strchr(condition, ':');
    lower(text, colon ? colon + 1 : condition);
    if (starts(condition, "keyword:"))
        return strstr(name, text);
    if (starts(condition, "dotless:"))
        return !strchr(name, '.') && strstr(name, text);
    if (!starts(condition, "full:") && !starts(condition, "domain:")) {
        lower(text, condition);
        return strstr(name, text);
    }
    addr_normalise_name(text);
    len = strlen(text);
    if (!strcmp(text, name))
        return true;
    return starts(condition, "domain:") && name_len > len && name[name_len - len - 1] == '.' &&
           !strcmp(name + name_len - len, text);
}

static void fuzz_domain(struct lines *l)
{
    struct domain_set *s = domain_set_new();
    require(s);
    for (size_t i = 0; i < l->conditions; i++) {
        struct err e = {0};
        if (starts(l->items[i], "regexp:") || domain_set_add(s, l->items[i], &e) < 0)
            drop(l, i);
    }
    for (size_t i = l->conditions; i < l->count; i++) {
        bool expected = false;
        if (strlen(l->items[i]) > ADDR_NAME_MAX)
            continue;
        addr_normalise_name(l->items[i]);
        for (size_t c = 0; c < l->conditions; c++)
            expected |= l->items[c] && naive_domain(l->items[c], l->items[i]);
        require(domain_set_match(s, l->items[i]) == expected);
    }
    domain_set_free(s);
}

static bool naive_cidr(const char *condition, const struct addr *ip)
{
    struct addr net;
    struct err e;
    size_t len = strcspn(condition, "/");
    if (*condition == '!')
        return !naive_cidr(condition + 1, ip);
    require(addr_parse_host(&net, condition, len, &e) == 0);
    if (net.type != ip->type)
        return false;
    unsigned long prefix =
        condition[len] ? strtoul(condition + len + 1, NULL, 10) : 8 * addr_ip_len(&net);
    require(prefix <= 8 * addr_ip_len(&net));
    for (unsigned bit = 0; bit < prefix; bit++)
        if ((net.ip[bit / 8] ^ ip->ip[bit / 8]) & (0x80 >> bit % 8))
            return false;
    return true;
}

static void fuzz_cidr(struct lines *l)
{
    struct cidr_set *s = cidr_set_new();
    require(s);
    for (size_t i = 0; i < l->conditions; i++) {
        struct err e = {0};
        if (cidr_set_add(s, l->items[i], &e) < 0)
            drop(l, i);
    }
    require(cidr_set_seal(s) == 0);
    for (size_t i = l->conditions; i < l->count; i++) {
        struct addr a;
        struct err e = {0};
        bool expected = false;
        if (addr_parse_host(&a, l->items[i], strlen(l->items[i]), &e) < 0)
            continue;
        for (size_t c = 0; c < l->conditions; c++)
            expected |= l->items[c] && addr_is_ip(&a) && naive_cidr(l->items[c], &a);
        require(cidr_set_match(s, &a) == expected);
    }
    cidr_set_free(s);
}

static bool naive_ports(const char *list, unsigned port)
{
    for (const char *item = list; item; item = strchr(item, ',') ? strchr(item, ',') + 1 : NULL) {
        unsigned from, to;
        int got = sscanf(item, "%u-%u", &from, &to);
        if (got >= 1 && port >= from && port <= (got == 2 ? to : from))
            return true;
    }
    return false;
}

static void fuzz_ports(struct lines *l)
{
    struct port_set s = {0};
    for (size_t i = 0; i < l->conditions; i++) {
        struct err e = {0};
        struct port_set alone = {0};
        bool fine = port_set_add(&alone, l->items[i], &e) == 0 || e.code == ERANGE;
        require(!fine || alone.count > 0);
        port_set_fini(&alone);
        if (fine)
            require(port_set_add(&s, l->items[i], &e) == 0 || e.code == ERANGE);
        else
            drop(l, i);
    }
    for (size_t r = 0; r < 2 * s.count + 1; r++) {
        unsigned border = r == 2 * s.count ? 0 : r % 2 ? s.ranges[r / 2].to : s.ranges[r / 2].from;
        for (unsigned port = border ? border - 1 : 0; port <= border + 1 && port < 65536; port++) {
            bool expected = false;
            for (size_t c = 0; c < l->conditions; c++)
                expected |= l->items[c] && naive_ports(l->items[c], port);
            require(port_set_match(&s, (uint16_t)port) == expected);
        }
    }
    port_set_fini(&s);
}

/* The backtracking matcher of PCRE2; -1 when its limits end it. */
static int naive_regex(const pcre2_code *code, const char *text)
{
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    require(limits && data);
    pcre2_set_match_limit(limits, 10000);
    int rc = pcre2_match(code, (PCRE2_SPTR)text, strlen(text), 0, 0, data, limits);
    pcre2_match_data_free(data);
    pcre2_match_context_free(limits);
    return rc >= 0 ? 1 : rc == PCRE2_ERROR_NOMATCH ? 0 : -1;
}

static void compare_regex(const struct regex *r, const char *pattern, struct lines *l)
{
    int error;
    PCRE2_SIZE at;
    uint32_t references, behind;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, strlen(pattern),
                                     PCRE2_CASELESS | PCRE2_DOLLAR_ENDONLY, &error, &at, NULL);
    require(code);
    require(!pcre2_pattern_info(code, PCRE2_INFO_BACKREFMAX, &references) && !references);
    require(!pcre2_pattern_info(code, PCRE2_INFO_MAXLOOKBEHIND, &behind) && behind <= 1);
    bool small = strlen(pattern) <= 40 && !strchr(pattern, '{');
    for (size_t i = l->conditions; i < l->count; i++) {
        size_t len = strlen(l->items[i]);
        if (len > ADDR_NAME_MAX)
            continue;
        bool found = regex_match(r, l->items[i], len);
        int expected = naive_regex(code, l->items[i]);
        if (expected == 0)
            require(!found);
        if (expected == 1 && small && len <= 12) /* cannot run out of memory */
            require(found);
    }
    pcre2_code_free(code);
}

static void fuzz_regex(struct lines *l)
{
    for (size_t i = 0; i < l->conditions; i++) {
        struct err e = {0};
        struct regex *r = regex_new(l->items[i], &e);
        require(r ? e.code == 0 : e.code != 0);
        if (r)
            compare_regex(r, l->items[i], l);
        regex_free(r);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        const char *name;
        void (*run)(struct lines *l);
    } kinds[] = {
        {"domain\n", fuzz_domain},
        {"cidr\n", fuzz_cidr},
        {"ports\n", fuzz_ports},
        {"regex\n", fuzz_regex},
    };
    char *text = size < TEXT_MAX ? malloc(size + 1) : NULL;
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct lines l = {0};
        if (!starts(text, kinds[i].name))
            continue;
        split(&l, text + strlen(kinds[i].name));
        kinds[i].run(&l);
        break;
    }
    free(text);
    return 0;
}
