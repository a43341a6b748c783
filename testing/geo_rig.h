/* testing/geo_rig.h -- writes list files as V2Ray's tools do, and reads them from memory. */
#ifndef V2C_TESTING_GEO_RIG_H
#define V2C_TESTING_GEO_RIG_H

#include <stdlib.h>
#include <string.h>

#include "core/cursor.h"
#include "routing/geo.h"

enum { GEO_RIG_ROOM = 1 << 16 };

/* A message in the making. */
struct message {
    uint8_t bytes[GEO_RIG_ROOM];
    size_t len;
};

static inline void message_number(struct message *m, uint64_t v)
{
    do {
        m->bytes[m->len++] = (uint8_t)(v & 0x7f) | (v > 0x7f ? 0x80 : 0);
        v >>= 7;
    } while (v);
}

static inline void message_bytes(struct message *m, unsigned field, const void *bytes, size_t len)
{
    message_number(m, field << 3 | 2);
    message_number(m, len);
    memcpy(m->bytes + m->len, bytes, len);
    m->len += len;
}

static inline void message_text(struct message *m, unsigned field, const char *text)
{
    message_bytes(m, field, text, strlen(text));
}

static inline void message_value(struct message *m, unsigned field, uint64_t v)
{
    message_number(m, field << 3);
    message_number(m, v);
}

/* Attributes: "a@b", "" for none. */
static inline void message_domain(struct message *list, unsigned kind, const char *text,
                                  const char *attributes)
{
    struct message *domain = calloc(2, sizeof *domain), *attribute = domain + 1;
    if (kind)
        message_value(domain, 1, kind);
    message_text(domain, 2, text);
    for (size_t len; *attributes; attributes += len + (attributes[len] == '@')) {
        len = strcspn(attributes, "@");
        attribute->len = 0;
        message_bytes(attribute, 1, attributes, len);
        message_value(attribute, 2, 1);
        message_bytes(domain, 3, attribute->bytes, attribute->len);
    }
    message_bytes(list, 2, domain->bytes, domain->len);
    free(domain);
}

static inline void message_network(struct message *list, const char *ip, unsigned prefix)
{
    struct message *network = calloc(1, sizeof *network);
    struct addr a;
    struct err e;
    addr_parse_host(&a, ip, strlen(ip), &e);
    message_bytes(network, 1, a.ip, addr_ip_len(&a));
    if (prefix)
        message_value(network, 2, prefix);
    message_bytes(list, 2, network->bytes, network->len);
    free(network);
}

/* The bytes of a file that lies in memory. */
static inline bool geo_rig_read(void *from, uint64_t at, void *to, size_t len, struct err *e)
{
    const struct cursor *all = from;
    struct cursor c = *all, part;
    (void)e;
    if (!cur_skip(&c, (size_t)at) || !cur_sub(&c, len, &part))
        abort();
    memcpy(to, part.p, len);
    return true;
}

static inline struct geo_bytes geo_rig_file(struct cursor *all)
{
    return (struct geo_bytes){geo_rig_read, all, cur_left(all)};
}

#endif
