#include <stdlib.h>
#include <string.h>

#include "conf/compile.h"

enum { BUFFER_MIN = 16 * 1024, BUFFER_MAX = 16 * 1024 * 1024, TIMEOUT_MAX = 1000 * 1000 * 1000 };

struct policy_keys {
    const struct node *levels;
    bool inbound_up, inbound_down, outbound_up, outbound_down;
};

struct level_keys {
    int64_t handshake, conn_idle, uplink_only, downlink_only, buffer_size;
    bool stats_up, stats_down;
};

const struct field policy_system_fields[] = {
    FIELD_BOOL("statsInboundUplink", struct policy_keys, inbound_up, false),
    FIELD_BOOL("statsInboundDownlink", struct policy_keys, inbound_down, false),
    FIELD_BOOL("statsOutboundUplink", struct policy_keys, outbound_up, false),
    FIELD_BOOL("statsOutboundDownlink", struct policy_keys, outbound_down, false),
    FIELD_LATER("overrideAccessLogDest"),
    FIELD_END,
};

const struct field policy_fields[] = {
    FIELD_NODE("levels", struct policy_keys, levels, "object"),
    FIELD_OBJECT("system", policy_system_fields),
    FIELD_END,
};

/* The defaults are those of POLICY_DEFAULT; a test compares them. Times in seconds, sizes in KiB. */
const struct field policy_level_fields[] = {
    FIELD_NUMBER("handshake", struct level_keys, handshake, 0, TIMEOUT_MAX, 60),
    FIELD_NUMBER("connIdle", struct level_keys, conn_idle, 0, TIMEOUT_MAX, 300),
    FIELD_NUMBER("uplinkOnly", struct level_keys, uplink_only, 0, TIMEOUT_MAX, 300),
    FIELD_NUMBER("downlinkOnly", struct level_keys, downlink_only, 0, TIMEOUT_MAX, 300),
    FIELD_NUMBER("bufferSize", struct level_keys, buffer_size, INT32_MIN, INT32_MAX, 512),
    FIELD_BOOL("statsUserUplink", struct level_keys, stats_up, false),
    FIELD_BOOL("statsUserDownlink", struct level_keys, stats_down, false),
    FIELD_LATER("statsUserOnline"),
    FIELD_END,
};

/* V2Ray reads -1 as "without bound" and 0 as "no buffer"; both are brought to what can work. */
static size_t buffer_bytes(int64_t kib)
{
    if (kib < 0 || kib > BUFFER_MAX / 1024)
        return BUFFER_MAX;
    return kib * 1024 < BUFFER_MIN ? BUFFER_MIN : (size_t)kib * 1024;
}

/* In V2Ray 0 ends a connection at once. */
static double seconds(struct build *b, const struct node *at, const char *key, int64_t value)
{
    const struct node *n = node_get(at, key);
    if (value > 0)
        return (double)value;
    if (n)
        report_warn(b->report, n, "0 would end connections at once: 1 second is used");
    return 1;
}

static bool level_number(struct report *r, const struct node *at, uint32_t *level)
{
    char *end = NULL;
    errno = 0;
    unsigned long long v = strtoull(at->key, &end, 10);
    if (at->key[0] < '0' || at->key[0] > '9' || *end || errno || v > UINT32_MAX) {
        report_error(r, at, "want a level 0..4294967295 as the key, got \"%.64s\"", at->key);
        return false;
    }
    *level = (uint32_t)v;
    return true;
}

static void level_build(struct build *b, const struct node *at, struct policy_level *level)
{
    struct level_keys keys;
    fields_read(b->report, at, policy_level_fields, &keys);
    struct policy policy = {
        .handshake = seconds(b, at, "handshake", keys.handshake),
        .conn_idle = seconds(b, at, "connIdle", keys.conn_idle),
        .uplink_only = seconds(b, at, "uplinkOnly", keys.uplink_only),
        .downlink_only = seconds(b, at, "downlinkOnly", keys.downlink_only),
        .buffer_size = buffer_bytes(keys.buffer_size),
    };
    level->policy = build_keep(b, &policy, sizeof policy);
    level->stats_up = keys.stats_up;
    level->stats_down = keys.stats_down;
}

static int by_level(const void *a, const void *b)
{
    const struct policy_level *x = a, *y = b;
    return x->level < y->level ? -1 : x->level > y->level;
}

/* The last of several objects for one level counts; config_policy() takes any. */
static struct policy_level *level_slot(struct config *c, uint32_t level)
{
    for (size_t i = 0; i < c->level_count; i++)
        if (c->levels[i].level == level)
            return &c->levels[i];
    return &c->levels[c->level_count++];
}

enum { LEVELS_MAX = 1024 };

static void levels_build(struct build *b, const struct node *at)
{
    struct config *c = b->config;
    if (at->type != NODE_OBJECT) {
        report_wrong(b->report, at, "an object");
        return;
    }
    size_t count = node_count(at);
    if (count > LEVELS_MAX) {
        report_error(b->report, at, "more than %d levels", LEVELS_MAX);
        return;
    }
    c->levels = arena_array(c->strings, count, sizeof *c->levels);
    for (const struct node *n = at->first; n && c->levels; n = n->next) {
        uint32_t number;
        if (field_is_comment(n->key) || !level_number(b->report, n, &number))
            continue;
        size_t before = c->level_count;
        struct policy_level *level = level_slot(c, number);
        if (c->level_count == before)
            report_warn_key(b->report, n, "duplicate key: the last one counts");
        level->level = number;
        level_build(b, n, level);
    }
    if (c->levels && c->level_count > 0)
        qsort(c->levels, c->level_count, sizeof *c->levels, by_level);
}

void policy_conf_build(struct build *b, const struct node *at)
{
    struct policy_keys keys;
    fields_read(b->report, at, policy_fields, &keys);
    b->inbound_up = keys.inbound_up;
    b->inbound_down = keys.inbound_down;
    b->outbound_up = keys.outbound_up;
    b->outbound_down = keys.outbound_down;
    if (keys.levels)
        levels_build(b, keys.levels);
}
