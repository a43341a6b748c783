#include "conf/idn.h"

#include <idn2.h>
#include <string.h>

#include "core/log.h"

enum { TEXT_MAX = 1024 };

static bool is_ascii(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] >= 0x80)
            return false;
    return true;
}

/* A dot in front, with a star or without, is no label. */
static size_t wildcard_length(const char *text, size_t len)
{
    size_t star = len > 0 && *text == '*';
    return len > star && text[star] == '.' ? star + 1 : 0;
}

static int ascii_read(struct hostname_pattern *p, const char *wildcard, size_t wild,
                      const char *name, struct err *e)
{
    char text[TEXT_MAX];
    size_t len = strlen(name);
    if (len > sizeof text - 2)
        return err_set(e, EINVAL, "a host is too long");
    memcpy(text, wildcard, wild);
    memcpy(text + wild, name, len);
    return hostname_read_pattern(p, text, wild + len, e);
}

int host_pattern_read(struct hostname_pattern *p, const char *text, size_t len, struct err *e)
{
    char name[TEXT_MAX], *ascii = NULL;
    size_t wild = wildcard_length(text, len);
    if (is_ascii(text, len))
        return hostname_read_pattern(p, text, len, e);
    if (len - wild >= sizeof name || memchr(text, '\0', len))
        return err_set(e, EINVAL, "a host is too long");
    memcpy(name, text + wild, len - wild);
    name[len - wild] = '\0';
    int code = idn2_to_ascii_8z(name, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (code != IDN2_OK)
        return err_set(e, EINVAL, "a host is no internationalised name: %s", idn2_strerror(code));
    int result = ascii_read(p, text, wild, ascii, e);
    idn2_free(ascii);
    if (result == 0)
        log_info("a host of the configuration is %s%s", p->below ? "*." : "", p->host.text);
    return result;
}
