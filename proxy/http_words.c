#include "proxy/http_words.h"

#include <string.h>

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {431, "Request Header Fields Too Large"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Error";
}

/* The program never sets a locale: names of days and months are HTTP's. */
static const char date_form[] = "%a, %d %b %Y %H:%M:%S GMT";

const char *http_date(time_t at, char out[HTTP_DATE_ROOM])
{
    struct tm tm = {0};
    gmtime_r(&at, &tm);
    if (strftime(out, HTTP_DATE_ROOM, date_form, &tm) == 0)
        *out = '\0';
    return out;
}

/* What would be written otherwise is not this form: so the day of the week is looked at, too. */
bool http_date_read(const uint8_t *data, struct http1_span s, time_t *at)
{
    char text[HTTP_DATE_ROOM], again[HTTP_DATE_ROOM];
    struct tm tm = {0};
    if (s.len >= sizeof text)
        return false;
    memcpy(text, data + s.at, s.len);
    text[s.len] = '\0';
    const char *end = strptime(text, date_form, &tm);
    if (!end || *end)
        return false;
    *at = timegm(&tm);
    return strcmp(http_date(*at, again), text) == 0;
}
