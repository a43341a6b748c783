/* A list file: all of its lists are read as both kinds, and what is read can be asked. Where the file is cut
 * must not matter to memory. The first byte says which attribute is wanted. */
#include <stdlib.h>
#include <string.h>

#include "testing/geo_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_domains(const struct geo_bytes *file, struct geo_place place, const char *wanted)
{
    struct domain_set *s = domain_set_new();
    struct err e = {0};
    size_t count;
    if (geo_read_domains(file, place, wanted, s, &count, &e) < 0 && !e.code)
        __builtin_trap();
    domain_set_match(s, "www.example.com");
    domain_set_free(s);
}

static void read_ips(const struct geo_bytes *file, struct geo_place place)
{
    struct cidr_set *s = cidr_set_new(), *rest = cidr_set_new();
    struct addr a = {.type = ADDR_IPV4, .ip = {10, 1, 2, 3}};
    struct err e = {0};
    if (geo_read_ips(file, place, s, &e) < 0 && !e.code)
        __builtin_trap();
    cidr_set_seal(s);
    if (cidr_set_add_rest(rest, s, &e) < 0)
        __builtin_trap();
    cidr_set_seal(rest);
    if (cidr_set_match(s, &a) == cidr_set_match(rest, &a))
        __builtin_trap();
    cidr_set_free(s);
    cidr_set_free(rest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const wanted[] = {"", "@ads", "@ads@cn", "@@"}, *const names[] = {"CN",
                                                                                         "ads", ""};
    struct geo_place place;
    struct err e = {0};
    if (size == 0)
        return 0;
    struct cursor all = cur_of(data + 1, size - 1);
    struct geo_bytes file = geo_rig_file(&all);
    struct geo_dir *dir = geo_dir_new(&file, &e);
    if (!dir && !e.code)
        __builtin_trap();
    for (size_t i = 0; dir && i < sizeof names / sizeof *names; i++)
        if (geo_dir_find(dir, names[i], &place)) {
            read_domains(&file, place, wanted[data[0] % 4]);
            read_ips(&file, place);
        }
    geo_dir_free(dir);
    return 0;
}
