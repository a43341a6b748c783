#include "proxy/http_name.h"

#include <stdbool.h>
#include <string.h>

/* Shorter ones first: a name is compared with those of its length only. */
static const struct row {
    const char *text;
    uint8_t len;
    uint8_t name; /* enum http_name */
} rows[] = {
#define ROW(text, name)                                                                            \
    {                                                                                              \
        text, sizeof text - 1, name                                                                \
    }
    ROW("te", HTTP_HOP),
    ROW("host", HTTP_HOST),
    ROW("close", HTTP_HOP), /* no field, but a word that Connection lists */
    ROW("expect", HTTP_EXPECT),
    ROW("trailer", HTTP_TRAILER),
    ROW("upgrade", HTTP_UPGRADE),
    ROW("forwarded", HTTP_FORWARDED),
    ROW("x-real-ip", HTTP_X_FORWARDED),
    ROW("connection", HTTP_CONNECTION),
    ROW("keep-alive", HTTP_HOP),
    ROW("x-request-id", HTTP_X_REQUEST_ID),
    ROW("content-length", HTTP_CONTENT_LENGTH),
    ROW("http2-settings", HTTP_HOP),
    ROW("x-forwarded-for", HTTP_X_FORWARDED_FOR),
    ROW("proxy-connection", HTTP_HOP),
    ROW("x-forwarded-host", HTTP_X_FORWARDED_HOST),
    ROW("transfer-encoding", HTTP_TRANSFER_ENCODING),
    ROW("x-forwarded-proto", HTTP_X_FORWARDED_PROTO),
    ROW("proxy-authenticate", HTTP_HOP),
    ROW("proxy-authorization", HTTP_HOP),
#undef ROW
    {"", 0, HTTP_OTHER},
};

/* The first row that is as long as this, or longer. */
static const uint8_t begins[HTTP_NAME_KNOWN_MAX] = {0, 0,  0,  1,  1,  2,  3,  4,  6,  6,
                                                    8, 10, 10, 11, 11, 13, 14, 16, 18, 19};

static char lower(uint8_t c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

/* The text is in lower case, and as long as the name. */
static bool reads_as(const uint8_t *p, const char *text, size_t len, bool *exact)
{
    *exact = true;
    for (size_t i = 0; i < len; i++) {
        char c = lower(p[i]);
        if (c == text[i])
            continue;
        if (c != '_' || text[i] != '-')
            return false;
        *exact = false;
    }
    return true;
}

enum http_name http_name_of(const uint8_t *p, size_t len)
{
    static const char family[] = "x-forwarded-";
    enum { FAMILY = sizeof family - 1 };
    bool exact;
    char first = len ? lower(*p) : '\0';
    size_t row = len < HTTP_NAME_KNOWN_MAX ? begins[len] : sizeof rows / sizeof *rows - 1;
    for (const struct row *r = rows + row; r->len == len; r++)
        if (*r->text == first && reads_as(p, r->text, len, &exact))
            return exact ? (enum http_name)r->name : HTTP_LOOKALIKE;
    if (len > FAMILY && first == 'x' && reads_as(p, family, FAMILY, &exact))
        return exact ? HTTP_X_FORWARDED : HTTP_LOOKALIKE;
    return HTTP_OTHER;
}
