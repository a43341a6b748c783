#include "core/hostname.h"

#include <arpa/inet.h>
#include <string.h>

/* The byte in lower case; 0: no name has it. */
static char plain(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c + ('a' - 'A'));
    bool fits = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    return fits ? c : '\0';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

/* --- addresses --- */

/* Some readers take a name for an IPv4 address if its last label is a number, also in hexadecimal. */
static bool ends_in_number(const char *text)
{
    const char *dot = strrchr(text, '.'), *last = dot ? dot + 1 : text;
    bool hex = last[0] == '0' && last[1] == 'x';
    for (last += hex ? 2 : 0; *last; last++)
        if (hex ? !is_hex(*last) : !is_digit(*last))
            return false;
    return true;
}

static int read_ipv4(struct hostname *h, struct err *e)
{
    struct in_addr ip;
    if (inet_pton(AF_INET, h->text, &ip) != 1)
        return err_set(e, EINVAL, "a host that ends in a number is no IPv4 address");
    h->kind = HOSTNAME_IPV4;
    return 0;
}

/* text: what stands between the brackets. */
static int read_ipv6(struct hostname *h, const char *text, size_t len, struct err *e)
{
    char literal[INET6_ADDRSTRLEN];
    struct addr a = {0};
    uint8_t ip[16];
    if (len >= sizeof literal || memchr(text, '\0', len))
        return err_set(e, EINVAL, "what stands in brackets is no IPv6 address");
    memcpy(literal, text, len);
    literal[len] = '\0';
    if (inet_pton(AF_INET6, literal, ip) != 1)
        return err_set(e, EINVAL, "what stands in brackets is no IPv6 address");
    addr_from_ip(&a, ip, sizeof ip);
    bool mapped = a.type == ADDR_IPV4;
    h->kind = mapped ? HOSTNAME_IPV4 : HOSTNAME_IPV6;
    inet_ntop(mapped ? AF_INET : AF_INET6, a.ip, h->text + !mapped, HOSTNAME_MAX);
    h->len = (uint8_t)strlen(h->text + !mapped);
    if (mapped)
        return 0;
    h->text[0] = '[';
    h->text[h->len + 1] = ']';
    h->text[h->len + 2] = '\0';
    h->len = (uint8_t)(h->len + 2);
    return 0;
}

/* --- names --- */

static int read_labels(struct hostname *h, const char *text, size_t len, struct err *e)
{
    size_t label = 0; /* where it starts */
    for (size_t i = 0; i <= len; i++) {
        if (i < len && text[i] != '.') {
            h->text[i] = plain(text[i]);
            if (!h->text[i])
                return err_set(e, EINVAL, "a host has a byte that no name has");
            continue;
        }
        if (i == label || i - label > HOSTNAME_LABEL_MAX)
            return err_set(e, EINVAL, "a label of a host has %zu bytes, want 1..%d", i - label,
                           HOSTNAME_LABEL_MAX);
        label = i + 1;
        h->text[i] = '.';
    }
    h->text[len] = '\0';
    h->len = (uint8_t)len;
    h->kind = HOSTNAME_NAME;
    return 0;
}

static int read_name(struct hostname *h, const char *text, size_t len, struct err *e)
{
    if (len > 0 && text[len - 1] == '.')
        len--;
    if (len == 0 || len > HOSTNAME_MAX)
        return err_set(e, EINVAL, "a host has %zu bytes, want 1..%d", len, HOSTNAME_MAX);
    if (read_labels(h, text, len, e) < 0)
        return -1;
    return ends_in_number(h->text) ? read_ipv4(h, e) : 0;
}

/* --- all of it --- */

static int read_port(struct hostname *h, const char *text, size_t len, struct err *e)
{
    unsigned port = 0;
    for (size_t i = 0; i < len && i <= 5; i++) {
        if (!is_digit(text[i]))
            return err_set(e, EINVAL, "the port of a host is no number");
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    if (len == 0 || len > 5 || *text == '0' || port > UINT16_MAX)
        return err_set(e, EINVAL, "the port of a host is not in 1..65535");
    h->port = (uint16_t)port;
    return 0;
}

/* The host up to its port; *rest is what follows. */
static int read_host(struct hostname *h, const char *text, size_t len, size_t *rest, struct err *e)
{
    h->port = 0;
    bool literal = len > 0 && *text == '[';
    const char *end = memchr(text, literal ? ']' : ':', len);
    if (literal && !end)
        return err_set(e, EINVAL, "a host has an open bracket");
    size_t host = end ? (size_t)(end - text) : len;
    *rest = host + literal;
    return literal ? read_ipv6(h, text + 1, host - 1, e) : read_name(h, text, host, e);
}

int hostname_read(struct hostname *h, const char *text, size_t len, struct err *e)
{
    size_t rest;
    if (read_host(h, text, len, &rest, e) < 0)
        return -1;
    if (rest == len)
        return 0;
    if (text[rest] != ':')
        return err_set(e, EINVAL, "something stands behind a host");
    return read_port(h, text + rest + 1, len - rest - 1, e);
}

int hostname_read_bare(struct hostname *h, const char *text, size_t len, struct err *e)
{
    size_t rest;
    if (read_host(h, text, len, &rest, e) < 0)
        return -1;
    return rest == len ? 0 : err_set(e, EINVAL, "something stands behind a host");
}

int hostname_read_pattern(struct hostname_pattern *p, const char *text, size_t len, struct err *e)
{
    size_t star = len > 0 && *text == '*', dot = len > star && text[star] == '.';
    p->below = dot;
    if (star && !dot)
        return err_set(e, EINVAL, "'*' stands for whole labels in front only, as in *.example.com");
    if (hostname_read_bare(&p->host, text + star + dot, len - star - dot, e) < 0)
        return -1;
    if (p->below && p->host.kind != HOSTNAME_NAME)
        return err_set(e, EINVAL, "nothing is below an IP address");
    return 0;
}

bool hostname_is_within(const char *name, const char *other)
{
    size_t len = strlen(name), tail = strlen(other);
    if (len < tail || memcmp(name + (len - tail), other, tail) != 0)
        return false;
    return len == tail || name[len - tail - 1] == '.';
}

bool hostname_pattern_has(const struct hostname_pattern *p, const char *name)
{
    return p->below ? hostname_is_within(name, p->host.text) : strcmp(name, p->host.text) == 0;
}

void hostname_addr(const struct hostname *h, uint16_t port, struct addr *a)
{
    uint8_t ip[16];
    a->port = h->port ? h->port : port;
    if (h->kind == HOSTNAME_NAME) {
        a->type = ADDR_NAME;
        memcpy(a->name, h->text, (size_t)h->len + 1);
        return;
    }
    char text[INET6_ADDRSTRLEN] = "";
    bool v6 = h->kind == HOSTNAME_IPV6;
    memcpy(text, h->text + v6, (size_t)h->len - 2 * v6);
    inet_pton(v6 ? AF_INET6 : AF_INET, text, ip);
    addr_from_ip(a, ip, v6 ? 16 : 4);
}

bool tunnel_text_read(char to[HOSTNAME_LABEL_MAX + 1], const char *text, size_t len)
{
    if (len == 0 || len > HOSTNAME_LABEL_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        to[i] = text[i] == '.' ? '.' : plain(text[i]);
        if (!to[i])
            return false;
    }
    to[len] = '\0';
    return true;
}
