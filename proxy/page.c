#include "proxy/page.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_FIRST = 4096, FORMAT_MAX = 512 };

static bool page_reserve(struct page *p, size_t len)
{
    if (p->full || p->failed)
        return false;
    if (len > PAGE_MAX - p->len) {
        p->full = true;
        return false;
    }
    size_t room = p->room ? p->room : PAGE_FIRST;
    while (room < p->len + len)
        room *= 2;
    if (room == p->room)
        return true;
    char *text = realloc(p->text, room);
    if (!text) {
        p->failed = true;
        return false;
    }
    p->text = text;
    p->room = room;
    return true;
}

void page_bytes(struct page *p, const void *from, size_t len)
{
    if (len == 0 || !page_reserve(p, len))
        return;
    memcpy(p->text + p->len, from, len);
    p->len += len;
}

void page_text(struct page *p, const char *text)
{
    page_bytes(p, text, strlen(text));
}

/* For numbers and our own words: foreign text has no bound and goes through page_bytes(). */
void page_format(struct page *p, const char *fmt, ...)
{
    char text[FORMAT_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n > 0)
        page_bytes(p, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

void page_cut_line(struct page *p)
{
    if (!p->full)
        return;
    while (p->len && p->text[p->len - 1] != '\n')
        p->len--;
}

void page_free(struct page *p)
{
    free(p->text);
    *p = (struct page){0};
}

/* --- escapes --- */

static const char *html_escape(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return (unsigned char)c < 0x20 || c == 0x7f ? "&#xfffd;" : NULL;
    }
}

static const char *label_escape(char c)
{
    switch (c) {
    case '\\':
        return "\\\\";
    case '"':
        return "\\\"";
    case '\n':
        return "\\n";
    default:
        return NULL;
    }
}

static void page_escaped(struct page *p, const char *text, size_t len, const char *(*escape)(char))
{
    for (size_t i = 0; i < len; i++) {
        const char *instead = escape(text[i]);
        if (instead)
            page_text(p, instead);
        else
            page_bytes(p, text + i, 1);
    }
}

void page_html(struct page *p, const char *text, size_t len)
{
    page_escaped(p, text, len, html_escape);
}

void page_label(struct page *p, const char *text, size_t len)
{
    page_escaped(p, text, len, label_escape);
}

void page_json(struct page *p, const char *text, size_t len)
{
    page_text(p, "\"");
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f)
            page_format(p, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            page_format(p, "\\%c", c);
        else
            page_bytes(p, text + i, 1);
    }
    page_text(p, "\"");
}

void page_item(struct page *p)
{
    if (p->len && !strchr("{[", p->text[p->len - 1]))
        page_text(p, ", ");
}

void page_member(struct page *p, const char *name)
{
    page_item(p);
    page_format(p, "\"%s\": ", name);
}

void page_member_text(struct page *p, const char *name, const char *value)
{
    page_member(p, name);
    page_json(p, value, strlen(value));
}

void page_member_number(struct page *p, const char *name, int64_t value)
{
    page_member(p, name);
    page_format(p, "%lld", (long long)value);
}

void page_member_bool(struct page *p, const char *name, bool value)
{
    page_member(p, name);
    page_text(p, value ? "true" : "false");
}

/* --- numbers for people --- */

void page_count(struct page *p, int64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)n);
    for (int i = 0; i < len; i++) {
        if (i > 0 && digits[i - 1] != '-' && (len - i) % 3 == 0)
            page_text(p, ",");
        page_bytes(p, digits + i, 1);
    }
}

void page_size(struct page *p, int64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        page_format(p, "%lld B", (long long)bytes);
        return;
    }
    double n = (double)bytes / 1024;
    size_t unit = 0;
    /* From 1023.95 on it would be printed as 1024.0. */
    for (; n >= 1023.95 && unit + 1 < sizeof units / sizeof *units; unit++)
        n /= 1024;
    page_format(p, "%.1f %s", n, units[unit]);
}

void page_duration(struct page *p, double seconds)
{
    long long s = seconds > 0 ? (long long)seconds : 0;
    if (s >= 86400)
        page_format(p, "%lld d %lld h", s / 86400, s % 86400 / 3600);
    else if (s >= 3600)
        page_format(p, "%lld h %lld min", s / 3600, s % 3600 / 60);
    else if (s >= 60)
        page_format(p, "%lld min %lld s", s / 60, s % 60);
    else
        page_format(p, "%lld s", s);
}
