/* Any bytes as a question: what is accepted is a host's name, and its answer repeats it and keeps to its room. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/dns_asked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(int fact)
{
    if (!fact)
        __builtin_trap();
}

static void check_name(const char *name)
{
    size_t len = strlen(name);
    demand(len > 0 && len <= ADDR_NAME_MAX && name[len - 1] != '.' && name[0] != '.');
    demand(strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") ==
           len);
    demand(!strstr(name, ".."));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_asked q;
    uint8_t answer[DNS_ASKED_ANSWER];
    struct addr ips[16] = {{.type = ADDR_IPV4}, {.type = ADDR_IPV6}};
    uint8_t *exact = malloc(size ? size : 1);
    demand(exact != NULL);
    if (size)
        memcpy(exact, data, size);
    if (dns_asked_read(cur_of(exact, size), &q)) {
        check_name(q.name);
        size_t len = dns_asked_answer(&q, ips, 16, size % 2, answer);
        demand(len <= sizeof answer && len >= DNS_HEADER + q.question_len);
        demand(memcmp(answer, exact, 2) == 0);
        demand(memcmp(answer + DNS_HEADER, exact + DNS_HEADER, q.question_len) == 0);
    }
    free(exact);
    return 0;
}
