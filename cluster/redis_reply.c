#include "cluster/redis_reply.h"

#include <string.h>

#include "core/hostname.h"

static const struct redis_refusal refusals[] = {
    {"MOVED ", REFUSAL_MOVED, "another node has the key (MOVED)"},
    {"ASK ", REFUSAL_MOVED, "another node has the key (ASK)"},
    {"OOM ", REFUSAL_STATE, "it is full: no write is taken (OOM, maxmemory)"},
    {"MISCONF ", REFUSAL_STATE, "it cannot save to its disk: no write is taken (MISCONF)"},
    {"NOREPLICAS ", REFUSAL_STATE, "it has too few replicas: no write is taken (NOREPLICAS)"},
    {"NOPERM ", REFUSAL_STATE, "its ACL does not let us do all we must (NOPERM)"},
    {"CLUSTERDOWN ", REFUSAL_STATE, "its cluster is down (CLUSTERDOWN)"},
    {"TRYAGAIN ", REFUSAL_STATE, "the key is on its way to another node (TRYAGAIN)"},
    {"NOAUTH ", REFUSAL_ENDS, "it wants a password (NOAUTH)"},
    {"WRONGPASS ", REFUSAL_ENDS, "it refuses user and password (WRONGPASS)"},
    {"ERR invalid password", REFUSAL_ENDS, "it refuses the password (invalid password)"},
    {"ERR AUTH ", REFUSAL_ENDS, "it has no password, and we sent one (AUTH)"},
    {"ERR Client sent AUTH", REFUSAL_ENDS, "it has no password, and we sent one (AUTH)"},
    {"ERR SELECT ", REFUSAL_ENDS, "it has no such database (SELECT)"},
    {"ERR DB index ", REFUSAL_ENDS, "it has no such database (SELECT)"},
    {"LOADING ", REFUSAL_ENDS, "it is still loading its data (LOADING)"},
    {"READONLY ", REFUSAL_ENDS, "it is a replica (READONLY)"},
    {"MASTERDOWN ", REFUSAL_ENDS, "it is a replica without its master (MASTERDOWN)"},
};

static const struct redis_refusal plain = {"", REFUSAL_PLAIN, "it refuses a command"};

const struct redis_refusal *redis_refusal_of(const redisReply *r)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        size_t len = strlen(refusals[i].begins);
        if (r->len >= len && memcmp(r->str, refusals[i].begins, len) == 0)
            return &refusals[i];
    }
    return &plain;
}

/* --- numbers and addresses --- */

static bool number_read(struct cursor in, unsigned max, unsigned *n)
{
    uint8_t c;
    *n = 0;
    if (!cur_left(&in) || cur_left(&in) > 5)
        return false;
    while (cur_u8(&in, &c)) {
        if (c < '0' || c > '9')
            return false;
        *n = *n * 10 + (unsigned)(c - '0');
    }
    return *n <= max;
}

static bool port_read(struct cursor in, uint16_t *port)
{
    unsigned n;
    if (!number_read(in, UINT16_MAX, &n) || !n)
        return false;
    *port = (uint16_t)n;
    return true;
}

/* Leaves the port alone. */
static bool host_read(struct cursor in, struct addr *at)
{
    const char *text = (const char *)in.p;
    struct hostname name;
    struct err e;
    if (addr_parse_host(at, text, cur_left(&in), &e) < 0)
        return false;
    return addr_is_ip(at) || hostname_read_bare(&name, text, cur_left(&in), &e) == 0;
}

/* What stands before the next (or last) such byte, which is skipped. */
static bool part_read(struct cursor *in, int end, bool last, struct cursor *part)
{
    const uint8_t *at = last ? memrchr(in->p, end, cur_left(in)) : memchr(in->p, end, cur_left(in));
    return at && cur_sub(in, (size_t)(at - in->p), part) && cur_skip(in, 1);
}

/* Without a host, or with "?", it is the one that answers. */
static bool endpoint_read(struct cursor in, struct addr *at)
{
    struct cursor host;
    *at = (struct addr){0};
    if (!part_read(&in, ':', true, &host) || !port_read(in, &at->port))
        return false;
    if (!cur_left(&host) || (cur_left(&host) == 1 && *host.p == '?'))
        return true;
    return host_read(host, at);
}

bool redis_moved_read(const redisReply *r, struct redis_moved *m)
{
    struct cursor in = cur_of(r->str, r->len), word, slot;
    unsigned n;
    if (!part_read(&in, ' ', false, &word) || !part_read(&in, ' ', false, &slot) ||
        !number_read(slot, REDIS_SLOTS - 1, &n) || !endpoint_read(in, &m->at))
        return false;
    m->once = cur_left(&word) == 3;
    m->slot = (uint16_t)n;
    return true;
}

/* --- answers to the first commands --- */

static bool is_text(const redisReply *r)
{
    return r && (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS);
}

bool redis_is_master(const redisReply *r)
{
    const redisReply *role = r->type == REDIS_REPLY_ARRAY && r->elements ? r->element[0] : NULL;
    return !is_text(role) || (role->len == 6 && memcmp(role->str, "master", 6) == 0);
}

void redis_run_id_read(const redisReply *r, char id[REDIS_RUN_ID + 1])
{
    static const char key[] = "run_id:";
    const char *at = is_text(r) ? memmem(r->str, r->len, key, sizeof key - 1) : NULL;
    struct cursor in = at ? cur_of(at, r->len - (size_t)(at - r->str)) : cur_of("", 0);
    size_t len = 0;
    uint8_t c;
    cur_skip(&in, sizeof key - 1);
    while (len < REDIS_RUN_ID && cur_u8(&in, &c) && strchr("0123456789abcdef", c) && c)
        id[len++] = (char)c;
    id[len] = '\0';
}

bool redis_master_read(const redisReply *r, struct addr *at)
{
    *at = (struct addr){0};
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 || !is_text(r->element[0]) ||
        !is_text(r->element[1]))
        return false;
    if (host_read(cur_of(r->element[0]->str, r->element[0]->len), at) &&
        port_read(cur_of(r->element[1]->str, r->element[1]->len), &at->port))
        return true;
    *at = (struct addr){0};
    return false;
}

/* --- slots --- */

/* CRC-16/XMODEM. */
static uint16_t crc16(struct cursor in)
{
    uint16_t crc = 0;
    uint8_t byte;
    while (cur_u8(&in, &byte)) {
        crc ^= (uint16_t)(byte << 8);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
    }
    return crc;
}

uint16_t redis_slot(const char *key, size_t len)
{
    struct cursor all = cur_of(key, len), in = all, before, tag;
    if (part_read(&in, '{', false, &before) && part_read(&in, '}', false, &tag) && cur_left(&tag))
        return crc16(tag) % REDIS_SLOTS;
    return crc16(all) % REDIS_SLOTS;
}
