/* The first byte chooses: the rest is host text, or wire bytes that must read the same at any split. */
#include <stdlib.h>
#include <string.h>

#include "core/addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fact)
{
    if (!fact)
        __builtin_trap();
}

static void check_text(const struct addr *a)
{
    char out[ADDR_TEXT_MAX], host[ADDR_TEXT_MAX];
    struct addr back = {.port = a->port};
    struct err e = {0};
    for (const char *p = addr_text(a, out); *p; p++)
        require(*p > ' ' && *p < 0x7f);
    addr_host_text(a, host);
    require(strstr(out, host) || strstr(out, "..."));
    if (!addr_is_ip(a))
        return;
    require(addr_parse_host(&back, host, strlen(host), &e) == 0);
    require(addr_equal(a, &back));
}

static void check_sockaddr(const struct addr *a)
{
    struct sockaddr_storage ss;
    struct addr back;
    require((addr_to_sockaddr(a, &ss) > 0) == addr_is_ip(a));
    if (!addr_is_ip(a))
        return;
    addr_from_sockaddr(&back, (const struct sockaddr *)&ss);
    require(addr_equal(a, &back));
}

static void check_wire(const struct addr *a, bool must_read)
{
    uint8_t wire[2 + 1 + 1 + ADDR_NAME_MAX];
    struct writer w = wr_of(wire, sizeof wire);
    struct addr back;
    struct err e = {0};
    addr_write_wire(&w, a);
    require(!w.overflow);
    struct cursor c = cur_of(wire, wr_len(&w));
    enum step s = addr_read_wire(&c, &back, &e);
    require(s == STEP_DONE || (s == STEP_FAIL && !must_read));
    if (s == STEP_DONE)
        require(cur_left(&c) == 0 && addr_equal(a, &back));
}

static void check_name(const struct addr *a)
{
    struct addr copy = *a;
    if (a->type != ADDR_NAME)
        return;
    addr_normalise_name(copy.name);
    require(addr_equal(a, &copy) || strlen(a->name) - strlen(copy.name) == 1);
}

static void check(const struct addr *a, bool from_wire)
{
    check_text(a);
    check_sockaddr(a);
    check_wire(a, from_wire || addr_is_ip(a));
    check_name(a);
}

static void fuzz_text(const uint8_t *data, size_t size)
{
    struct addr a = {.port = 443};
    struct err e = {0};
    if (addr_parse_host(&a, (const char *)data, size, &e) == 0)
        check(&a, false);
    else
        require(e.code != 0 && a.type == ADDR_NONE);
    require(a.port == 443);
}

/* Reads from memory of exactly this size. */
static enum step read_prefix(const uint8_t *data, size_t size, struct addr *a, size_t *used)
{
    struct err e = {0};
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        exit(1);
    memcpy(copy, data, size);
    struct cursor c = cur_of(copy, size);
    enum step s = addr_read_wire(&c, a, &e);
    *used = size - cur_left(&c);
    require((s == STEP_FAIL) == (e.code != 0));
    require(s == STEP_DONE || *used == 0);
    free(copy);
    return s;
}

static void fuzz_wire(const uint8_t *data, size_t size)
{
    struct addr a, part;
    size_t used, part_used;
    enum step whole = read_prefix(data, size, &a, &used);
    for (size_t cut = 0; cut < size && cut < 300; cut++) {
        enum step s = read_prefix(data, cut, &part, &part_used);
        if (s == STEP_MORE)
            continue;
        require(s == whole && part_used == used);
        require(s == STEP_FAIL || (cut >= used && addr_equal(&a, &part)));
    }
    if (whole == STEP_DONE)
        check(&a, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] == 't')
        fuzz_text(data + 1, size - 1);
    else
        fuzz_wire(data + 1, size - 1);
    return 0;
}
