#include "core/certificate.h"

#include <string.h>
#include <strings.h>

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool certificate_text_is_hash(const char *text, uint8_t hash[CERTIFICATE_HASH])
{
    bool colons = strlen(text) > 2 && text[2] == ':';
    for (int i = 0; i < CERTIFICATE_HASH; i++) {
        if (colons && i > 0 && *text++ != ':')
            return false;
        int high = digit_of(*text), low = high < 0 ? -1 : digit_of(text[1]);
        if (low < 0)
            return false;
        hash[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    return !*text;
}

bool certificate_is(const struct certificate *c, const char *text)
{
    uint8_t hash[CERTIFICATE_HASH];
    if (!c->shown)
        return false;
    if (certificate_text_is_hash(text, hash))
        return memcmp(hash, c->hash, sizeof hash) == 0;
    return *text && strcasecmp(text, c->name) == 0;
}
