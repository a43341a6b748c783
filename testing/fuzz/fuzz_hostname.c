/* A host as it came: the reader must say what a naive one says, which looks at the whole text again for each question. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hostname.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 600 };

static void require(bool fact)
{
    if (!fact)
        __builtin_trap();
}

static void lower(char *to, const char *from)
{
    do
        *to++ = *from >= 'A' && *from <= 'Z' ? (char)(*from + 32) : *from;
    while (*from++);
}

/* Four numbers that print as they are written. */
static bool naive_ipv4(const char *host)
{
    unsigned a, b, c, d;
    char text[64];
    if (sscanf(host, "%3u.%3u.%3u.%3u", &a, &b, &c, &d) != 4 || a > 255 || b > 255 || c > 255 ||
        d > 255)
        return false;
    snprintf(text, sizeof text, "%u.%u.%u.%u", a, b, c, d);
    return strcmp(text, host) == 0;
}

static bool naive_number(const char *label)
{
    if (strncmp(label, "0x", 2) == 0)
        return strspn(label + 2, "0123456789abcdef") == strlen(label + 2);
    return strspn(label, "0123456789") == strlen(label);
}

static bool naive_name(const char *host)
{
    size_t len = strlen(host);
    const char *last = host;
    if (len == 0 || len > 253 || strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != len)
        return false;
    for (const char *label = host;; label += strcspn(label, ".") + 1) {
        size_t n = strcspn(label, ".");
        if (n < 1 || n > 63)
            return false;
        last = label;
        if (!label[n])
            break;
    }
    return !naive_number(last) || naive_ipv4(host);
}

static bool naive_ipv6(const char *host, char *normal)
{
    uint8_t ip[16];
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char inner[TEXT_MAX + 1], text[INET6_ADDRSTRLEN];
    size_t len = strlen(host);
    if (len < 2 || host[0] != '[' || host[len - 1] != ']')
        return false;
    snprintf(inner, sizeof inner, "%.*s", (int)(len - 2), host + 1);
    if (inet_pton(AF_INET6, inner, ip) != 1)
        return false;
    bool v4 = memcmp(ip, mapped, 12) == 0;
    inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip + 12 : ip, text, sizeof text);
    sprintf(normal, v4 ? "%s" : "[%s]", text);
    return true;
}

static bool naive_port(const char *text, unsigned *port)
{
    char again[16];
    *port = (unsigned)strtoul(text, NULL, 10);
    snprintf(again, sizeof again, "%u", *port);
    return *port >= 1 && *port <= 65535 && strcmp(again, text) == 0;
}

/* Everything behind the last colon that is not within brackets is the port. */
static bool naive_read(const char *text, char *normal, unsigned *port)
{
    char host[TEXT_MAX + 1];
    const char *bracket = strrchr(text, ']'), *colon = strchr(bracket ? bracket : text, ':');
    *port = 0;
    if (colon && !naive_port(colon + 1, port))
        return false;
    lower(host, text);
    if (colon)
        host[colon - text] = '\0';
    if (*host == '[')
        return naive_ipv6(host, normal);
    size_t len = strlen(host);
    if (len > 0 && host[len - 1] == '.')
        host[len - 1] = '\0';
    strcpy(normal, host);
    return naive_name(host);
}

static void check_again(const struct hostname *h)
{
    struct hostname again;
    struct err e;
    struct addr a = {0};
    require(hostname_read_bare(&again, h->text, h->len, &e) == 0);
    require(strcmp(again.text, h->text) == 0 && again.kind == h->kind && again.port == 0);
    require(hostname_is_within(h->text, h->text));
    hostname_addr(h, 1, &a);
    require((a.type == ADDR_NAME) == (h->kind == HOSTNAME_NAME) && a.port > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[TEXT_MAX + 1], normal[TEXT_MAX + 1];
    struct hostname h;
    struct hostname_pattern p;
    struct err e;
    unsigned port = 0;
    if (size > TEXT_MAX)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    bool taken = hostname_read(&h, text, size, &e) == 0;
    bool wanted = !memchr(data, '\0', size) && naive_read(text, normal, &port);
    require(taken == wanted);
    require(!taken || (strcmp(h.text, normal) == 0 && h.port == port && h.len == strlen(normal)));
    bool bare = hostname_read_bare(&p.host, text, size, &e) == 0;
    require(bare == (taken && port == 0));
    if (taken)
        check_again(&h);
    if (hostname_read_pattern(&p, text, size, &e) == 0)
        require(hostname_pattern_has(&p, p.host.text));
    return 0;
}
