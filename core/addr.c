#include "core/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void set_ipv4(struct addr *a, const void *ip)
{
    a->type = ADDR_IPV4;
    memcpy(a->ip, ip, 4);
}

static void set_ipv6(struct addr *a, const void *ip)
{
    if (!memcmp(ip, mapped_prefix, sizeof mapped_prefix)) {
        set_ipv4(a, (const uint8_t *)ip + sizeof mapped_prefix);
        return;
    }
    a->type = ADDR_IPV6;
    memcpy(a->ip, ip, 16);
}

static void set_name(struct addr *a, const char *name, size_t len)
{
    a->type = ADDR_NAME;
    memcpy(a->name, name, len);
    a->name[len] = '\0';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_control(char c)
{
    return (uint8_t)c < 0x20 || c == 0x7f;
}

static bool is_name_byte(char c)
{
    c = lower(c);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

static void trim(const char **text, size_t *len)
{
    while (*len && is_space(**text))
        ++*text, --*len;
    while (*len && is_space((*text)[*len - 1]))
        --*len;
}

static void strip_brackets(const char **text, size_t *len)
{
    if (*len >= 2 && (*text)[0] == '[' && (*text)[*len - 1] == ']')
        ++*text, *len -= 2;
}

static bool parse_ip(struct addr *a, const char *text, size_t len)
{
    char copy[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    if (len >= sizeof copy || memchr(text, '\0', len))
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (inet_pton(AF_INET, copy, ip) == 1)
        set_ipv4(a, ip);
    else if (inet_pton(AF_INET6, copy, ip) == 1)
        set_ipv6(a, ip);
    else
        return false;
    return true;
}

/* "fe80::1%eth0": as a name it would go to the resolver, and a zone of another host means nothing. */
static bool has_zone(const char *text, size_t len)
{
    const char *percent = memchr(text, '%', len);
    struct addr ignored;
    return percent && parse_ip(&ignored, text, (size_t)(percent - text));
}

int addr_parse_host(struct addr *a, const char *text, size_t len, struct err *e)
{
    trim(&text, &len);
    strip_brackets(&text, &len);
    trim(&text, &len);
    if (len == 0)
        return err_set(e, EINVAL, "empty address");
    if (len > ADDR_NAME_MAX)
        return err_set(e, EINVAL, "address of %zu bytes, at most %d are allowed", len,
                       ADDR_NAME_MAX);
    for (size_t i = 0; i < len; i++)
        if (is_control(text[i]))
            return err_set(e, EINVAL, "control byte 0x%02x in an address", (uint8_t)text[i]);
    if (parse_ip(a, text, len))
        return 0;
    if (has_zone(text, len))
        return err_set(e, EINVAL, "address with a zone: want an IP without \"%%...\"");
    set_name(a, text, len);
    return 0;
}

void addr_from_ip(struct addr *a, const void *ip, size_t len)
{
    if (len == 4)
        set_ipv4(a, ip);
    else
        set_ipv6(a, ip);
}

int addr_parse_unix(struct addr *a, const char *text, struct err *e)
{
    size_t len = strlen(text), most = sizeof((struct sockaddr_un *)0)->sun_path - 1;
    bool padded = text[0] == '@' && text[1] == '@';
    if (text[0] != '/' && text[0] != '@')
        return err_set(e, EINVAL, "want an absolute path, or a name behind \"@\"");
    if (len == 1 || (padded && len == 2))
        return err_set(e, EINVAL, "empty name of a unix socket");
    if (len > most + padded)
        return err_set(e, ENAMETOOLONG,
                       "a unix socket's name of %zu bytes, at most %zu are possible", len,
                       most + padded);
    a->type = ADDR_UNIX;
    a->port = 0;
    memcpy(a->name, text, len + 1);
    return 0;
}

bool addr_is_ip(const struct addr *a)
{
    return a->type == ADDR_IPV4 || a->type == ADDR_IPV6;
}

size_t addr_ip_len(const struct addr *a)
{
    return a->type == ADDR_IPV4 ? 4 : a->type == ADDR_IPV6 ? 16 : 0;
}

static size_t len_without_dot(const char *name)
{
    size_t len = strlen(name);
    return len && name[len - 1] == '.' ? len - 1 : len;
}

static bool name_equal(const char *a, const char *b)
{
    size_t len = len_without_dot(a);
    if (len != len_without_dot(b))
        return false;
    for (size_t i = 0; i < len; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    if (a->type != b->type || a->port != b->port)
        return false;
    if (a->type == ADDR_NAME)
        return name_equal(a->name, b->name);
    if (a->type == ADDR_UNIX)
        return !strcmp(a->name, b->name);
    return !memcmp(a->ip, b->ip, addr_ip_len(a));
}

void addr_from_sockaddr(struct addr *a, const struct sockaddr *sa)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    switch (sa->sa_family) {
    case AF_INET:
        memcpy(&in, sa, sizeof in);
        set_ipv4(a, &in.sin_addr);
        a->port = ntohs(in.sin_port);
        break;
    case AF_INET6:
        memcpy(&in6, sa, sizeof in6);
        set_ipv6(a, &in6.sin6_addr);
        a->port = ntohs(in6.sin6_port);
        break;
    default:
        a->type = ADDR_NONE;
        a->port = 0;
    }
}

static socklen_t unix_to_sockaddr(const struct addr *a, struct sockaddr_storage *ss)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    bool abstract = a->name[0] == '@', padded = abstract && a->name[1] == '@';
    const char *name = a->name + abstract + padded;
    size_t len = strlen(name);
    memcpy(un.sun_path + abstract, name, len);
    memcpy(ss, &un, sizeof un);
    if (padded)
        return sizeof un;
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ss)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(a->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
    memset(ss, 0, sizeof *ss);
    switch (a->type) {
    case ADDR_IPV4:
        memcpy(&in.sin_addr, a->ip, 4);
        memcpy(ss, &in, sizeof in);
        return sizeof in;
    case ADDR_IPV6:
        memcpy(&in6.sin6_addr, a->ip, 16);
        memcpy(ss, &in6, sizeof in6);
        return sizeof in6;
    case ADDR_UNIX:
        return unix_to_sockaddr(a, ss);
    default:
        return 0;
    }
}

/* Spaces and backslashes are escaped too: the text is one word of a log line, and unambiguous. A name
 * that gets too long is cut, and the cut is shown. */
static void escape_name(const char *name, char *out, size_t room)
{
    static const char mark[] = "...";
    size_t used = 0;
    for (; *name; name++) {
        bool plain = *name > ' ' && *name < 0x7f && *name != '\\';
        if (used + (plain ? 1 : 4) + sizeof mark > room) {
            snprintf(out + used, room - used, "%s", mark);
            return;
        }
        if (plain)
            out[used++] = *name;
        else
            used += (size_t)snprintf(out + used, room - used, "\\x%02x", (uint8_t)*name);
    }
    out[used] = '\0';
}

static void write_host(const struct addr *a, char *out, size_t room)
{
    switch (a->type) {
    case ADDR_IPV4:
        inet_ntop(AF_INET, a->ip, out, (socklen_t)room);
        break;
    case ADDR_IPV6:
        inet_ntop(AF_INET6, a->ip, out, (socklen_t)room);
        break;
    case ADDR_NAME:
    case ADDR_UNIX:
        escape_name(a->name, out, room);
        break;
    default:
        snprintf(out, room, "unknown");
    }
}

const char *addr_host_text(const struct addr *a, char out[ADDR_TEXT_MAX])
{
    write_host(a, out, ADDR_TEXT_MAX);
    return out;
}

const char *addr_text(const struct addr *a, char out[ADDR_TEXT_MAX])
{
    enum { AFTER_HOST = sizeof "]:65535" };
    char host[ADDR_TEXT_MAX - AFTER_HOST];
    write_host(a, host, sizeof host);
    if (a->type == ADDR_NONE || a->type == ADDR_UNIX)
        snprintf(out, ADDR_TEXT_MAX, "%s", host);
    else
        snprintf(out, ADDR_TEXT_MAX, a->type == ADDR_IPV6 ? "[%s]:%u" : "%s:%u", host, a->port);
    return out;
}

/* A name may spell an IP when its first byte is a digit or "[", so that rules for IPs see it. */
static int read_name(struct cursor *body, struct addr *a, struct err *e)
{
    size_t len = cur_left(body);
    const char *text = (const char *)body->p;
    bool maybe_ip = *text == '[' || (*text >= '0' && *text <= '9');
    const char *ip = text;
    size_t ip_len = len;
    strip_brackets(&ip, &ip_len);
    if (maybe_ip && parse_ip(a, ip, ip_len))
        return 0;
    for (size_t i = 0; i < len; i++)
        if (!is_name_byte(text[i]))
            return err_set(e, EPROTO, "byte 0x%02x in a name", (uint8_t)text[i]);
    set_name(a, text, len);
    return 0;
}

enum step addr_read_host(struct cursor *c, uint8_t type, struct addr *a, struct err *e)
{
    struct cursor body;
    uint8_t len = type == ADDR_IPV4 ? 4 : 16;
    if (type != ADDR_IPV4 && type != ADDR_IPV6 && type != ADDR_NAME)
        return step_fail(e, EPROTO, "address type %u, want 1, 2 or 3", type);
    if (type == ADDR_NAME && !cur_u8(c, &len))
        return STEP_MORE;
    if (len == 0)
        return step_fail(e, EPROTO, "empty name");
    if (!cur_sub(c, len, &body))
        return STEP_MORE;
    if (type == ADDR_NAME)
        return read_name(&body, a, e) < 0 ? STEP_FAIL : STEP_DONE;
    if (type == ADDR_IPV4)
        set_ipv4(a, body.p);
    else
        set_ipv6(a, body.p);
    return STEP_DONE;
}

enum step addr_read_wire(struct cursor *in, struct addr *a, struct err *e)
{
    struct cursor c = *in;
    uint16_t port;
    uint8_t type;
    if (!cur_be16(&c, &port) || !cur_u8(&c, &type))
        return STEP_MORE;
    enum step s = addr_read_host(&c, type, a, e);
    if (s == STEP_DONE) {
        a->port = port;
        *in = c;
    }
    return s;
}

void addr_write_wire(struct writer *w, const struct addr *a)
{
    size_t len = a->type == ADDR_NAME ? strlen(a->name) : addr_ip_len(a);
    if (len == 0) { /* no address, a unix socket, or an empty name: the wire has no form for it */
        w->overflow = true;
        return;
    }
    wr_be16(w, a->port);
    wr_u8(w, a->type);
    if (a->type == ADDR_NAME)
        wr_u8(w, (uint8_t)len);
    wr_bytes(w, a->type == ADDR_NAME ? (const void *)a->name : a->ip, len);
}

void addr_normalise_name(char *name)
{
    name[len_without_dot(name)] = '\0';
    for (; *name; name++)
        *name = lower(*name);
}
