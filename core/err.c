#include "core/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Puts ": more" behind the text, as much of it as fits. */
static void err_append(struct err *e, const char *more)
{
    size_t used = strlen(e->text), room = sizeof e->text - used - 1;
    if (room < 3)
        return;
    memcpy(e->text + used, ": ", 2);
    size_t len = strnlen(more, room - 2);
    memcpy(e->text + used + 2, more, len);
    e->text[used + 2 + len] = '\0';
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;
    e->code = code;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    return -1;
}

int err_sys(struct err *e, const char *fmt, ...)
{
    va_list ap;
    e->code = errno;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    err_append(e, strerror(e->code));
    return -1;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    char inner[sizeof e->text];
    va_list ap;
    memcpy(inner, e->text, sizeof inner);
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    err_append(e, inner);
    return -1;
}

enum step step_fail(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;
    e->code = code;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    return STEP_FAIL;
}
