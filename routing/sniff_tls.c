/* routing/sniff_tls.c -- a TLS ClientHello, in one record or in several, and the server's name in it. */
#include "routing/sniff.h"

enum {
    RECORD_HANDSHAKE = 22,
    RECORD_MAX = 16 * 1024,
    CLIENT_HELLO = 1,
    EXTENSION_SERVER_NAME = 0,
    SERVER_NAME_HOST = 0,
    RANDOM = 32,
    SESSION_ID_MAX = 32,
};

/* --- the hello --- */

/* A length of one or two bytes, and that many as a cursor of their own. */
static bool take_vector(struct cursor *c, unsigned length_bytes, struct cursor *sub)
{
    uint16_t len = 0;
    uint8_t byte = 0;
    if (length_bytes == 1 ? !cur_u8(c, &byte) : !cur_be16(c, &len))
        return false;
    return cur_sub(c, length_bytes == 1 ? byte : len, sub);
}

struct names_found {
    struct cursor name;
    unsigned count;
};

static bool read_server_names(struct cursor body, struct names_found *found)
{
    struct cursor list, name;
    uint8_t type;
    if (!take_vector(&body, 2, &list) || cur_left(&body))
        return false;
    while (cur_left(&list)) {
        if (!cur_u8(&list, &type) || !take_vector(&list, 2, &name))
            return false;
        if (type != SERVER_NAME_HOST)
            continue;
        found->name = name;
        found->count++;
    }
    return true;
}

static bool read_extensions(struct cursor list, struct names_found *found)
{
    struct cursor body;
    uint16_t type;
    while (cur_left(&list)) {
        if (!cur_be16(&list, &type) || !take_vector(&list, 2, &body))
            return false;
        if (type == EXTENSION_SERVER_NAME && !read_server_names(body, found))
            return false;
    }
    return true;
}

/* body: whole. */
static bool read_body(struct cursor body, struct names_found *found)
{
    struct cursor id, ciphers, compressions, extensions;
    uint8_t major, minor;
    if (!cur_u8(&body, &major) || !cur_u8(&body, &minor) || major != 3 ||
        !cur_skip(&body, RANDOM) || !take_vector(&body, 1, &id) || cur_left(&id) > SESSION_ID_MAX ||
        !take_vector(&body, 2, &ciphers) || cur_left(&ciphers) < 2 ||
        !take_vector(&body, 1, &compressions) || !cur_left(&compressions))
        return false;
    if (!cur_left(&body)) /* before TLS 1.2 there may be no extensions */
        return true;
    return take_vector(&body, 2, &extensions) && !cur_left(&body) &&
           read_extensions(extensions, found);
}

enum step sniff_hello(struct cursor in, struct sniffed *s)
{
    struct names_found found = {0};
    struct cursor body;
    uint8_t type, high;
    uint16_t low;
    if (!cur_u8(&in, &type))
        return STEP_MORE;
    if (type != CLIENT_HELLO)
        return STEP_FAIL;
    if (!cur_u8(&in, &high))
        return STEP_MORE;
    if (high)
        return STEP_FAIL;
    if (!cur_be16(&in, &low))
        return STEP_MORE;
    if (low > SNIFF_MAX)
        return STEP_FAIL;
    if (!cur_sub(&in, low, &body))
        return STEP_MORE;
    if (!read_body(body, &found))
        return STEP_FAIL;
    if (found.count != 1 || !sniff_name(found.name.p, cur_left(&found.name), s->name))
        s->name[0] = '\0';
    return STEP_DONE;
}

/* --- the records around it --- */

/* The record's head, as far as it is there. */
static enum step read_record(struct cursor *c, uint16_t *len)
{
    uint8_t type, major, minor;
    if (!cur_u8(c, &type))
        return STEP_MORE;
    if (type != RECORD_HANDSHAKE)
        return STEP_FAIL;
    if (!cur_u8(c, &major))
        return STEP_MORE;
    if (major != 3)
        return STEP_FAIL;
    if (!cur_u8(c, &minor) || !cur_be16(c, len))
        return STEP_MORE;
    return *len == 0 || *len > RECORD_MAX ? STEP_FAIL : STEP_DONE;
}

enum step sniff_tls(struct cursor in, struct sniffed *s)
{
    uint8_t hello[SNIFF_MAX];
    size_t have = 0;
    if (cur_left(&in) > sizeof hello)
        in.end = in.p + sizeof hello;
    for (;;) {
        uint16_t len;
        enum step step = read_record(&in, &len);
        if (step != STEP_DONE)
            return step;
        size_t some = cur_left(&in) < len ? cur_left(&in) : len;
        cur_bytes(&in, hello + have, some);
        have += some;
        step = sniff_hello(cur_of(hello, have), s);
        if (step != STEP_MORE || some < len)
            return step;
    }
}
