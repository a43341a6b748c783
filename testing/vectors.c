#include "testing/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct line {
    const char *key, *value;
};

struct vectors {
    char *text;
    struct line *lines;
    size_t count, at; /* at: where the last key was found; the next is mostly near */
};

static char *read_all(const char *name)
{
    const char *dir = getenv("srcdir");
    char path[512];
    snprintf(path, sizeof path, "%s/testing/vectors/%s", dir ? dir : ".", name);
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("no file %s", path);
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    char *text = size < 0 ? NULL : calloc(1, (size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)size, f), size);
    fclose(f);
    return text;
}

struct vectors *vectors_open(const char *name)
{
    struct vectors *v = calloc(1, sizeof *v);
    assert_non_null(v);
    v->text = read_all(name);
    size_t room = 1;
    for (const char *p = v->text; *p; p++)
        room += *p == '\n';
    v->lines = calloc(room, sizeof *v->lines);
    assert_non_null(v->lines);
    for (char *p = v->text, *end; *p; p = end) {
        end = p + strcspn(p, "\n");
        if (*end)
            *end++ = '\0';
        char *equals = strchr(p, '=');
        if (!equals)
            continue;
        *equals = '\0';
        v->lines[v->count++] = (struct line){p, equals + 1};
    }
    return v;
}

void vectors_close(struct vectors *v)
{
    free(v->lines);
    free(v->text);
    free(v);
}

__attribute__((format(printf, 2, 0))) static const char *find(struct vectors *v, const char *format,
                                                              va_list ap, bool needed)
{
    char key[256];
    vsnprintf(key, sizeof key, format, ap);
    for (size_t i = 0; i < v->count; i++) {
        size_t at = (v->at + i) % v->count;
        if (strcmp(v->lines[at].key, key) == 0) {
            v->at = at;
            return v->lines[at].value;
        }
    }
    if (needed)
        fail_msg("no vector %s", key);
    return NULL;
}

bool vectors_has(struct vectors *v, const char *key, ...)
{
    va_list ap;
    va_start(ap, key);
    const char *value = find(v, key, ap, false);
    va_end(ap);
    return value != NULL;
}

const char *vectors_text(struct vectors *v, const char *key, ...)
{
    va_list ap;
    va_start(ap, key);
    const char *value = find(v, key, ap, true);
    va_end(ap);
    return value;
}

long long vectors_number(struct vectors *v, const char *key, ...)
{
    char *end;
    va_list ap;
    va_start(ap, key);
    const char *value = find(v, key, ap, true);
    va_end(ap);
    long long number = strtoll(value, &end, 10);
    if (end == value || *end)
        fail_msg("not a number: %s", value);
    return number;
}

size_t vectors_bytes(struct vectors *v, uint8_t *out, size_t room, const char *key, ...)
{
    va_list ap;
    va_start(ap, key);
    const char *value = find(v, key, ap, true);
    va_end(ap);
    size_t len = strlen(value) / 2;
    assert_true(len <= room && strlen(value) % 2 == 0);
    for (size_t i = 0; i < len; i++) {
        unsigned byte;
        assert_int_equal(sscanf(value + 2 * i, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
    return len;
}
