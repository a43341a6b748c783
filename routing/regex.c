#include "routing/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Three numbers a state, two lists: room for some 340 states, and an end after about a millisecond
     * where a pattern makes ever more of them. */
    WORKSPACE = 2048,
    MATCH_LIMIT = 1000, /* start positions tried; a name has at most 255 */
    TEXT_MAX = 4096,    /* each of them may walk to the end */
    DEPTH_LIMIT = 16,   /* nothing that recurses passes the syntax check */
    HEAP_LIMIT = 64,    /* KiB */
    REPEAT_MAX = 1000,  /* RE2's own bound */
};

struct regex {
    pcre2_code *code;
    pcre2_match_context *limits; /* only read while matching, so shared by the threads */
};

/* What a repetition operator would apply to. */
enum last { LAST_NOTHING, LAST_ATOM, LAST_REPEAT, LAST_LAZY };

struct scan {
    const char *p;
    unsigned depth;
    enum last last;
    struct err *e;
};

static int refuse(struct scan *s, const char *why)
{
    return err_set(s->e, EINVAL, "error parsing regexp: %s: `%.16s`", why, s->p);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
    return c && strchr("0123456789abcdefABCDEF", c);
}

/* Behind "\p", "\P" or "\x": a letter, two hex digits, or any of it in braces. */
static int scan_operand(struct scan *s, bool hex)
{
    const char *p = s->p + 2;
    size_t len = hex ? 2 : 1;
    if (*p == '{') {
        const char *close = strchr(p, '}');
        if (!close)
            return refuse(s, "missing closing }");
        len = (size_t)(close - p) + 1;
    } else if (hex ? !is_hex(p[0]) || !is_hex(p[1]) : !is_letter(*p)) {
        return refuse(s, "invalid escape sequence");
    }
    s->p = p + len;
    return 0;
}

static int scan_escape(struct scan *s, const char *letters)
{
    char c = s->p[1];
    if (!c)
        return refuse(s, "trailing backslash at end of expression");
    if ((c >= '1' && c <= '9') || c == 'g' || c == 'k')
        return refuse(s, "back-references are not supported");
    if (c == 'x' || c == 'p' || c == 'P')
        return scan_operand(s, c == 'x');
    if ((uint8_t)c >= 0x80 || (is_letter(c) && !strchr(letters, c)))
        return refuse(s, "invalid escape sequence");
    s->p += 2;
    return 0;
}

/* "\Q...": literal up to "\E" or the end. */
static int scan_quote(struct scan *s)
{
    const char *text = s->p + 2, *end = strstr(text, "\\E");
    if (*text && end != text)
        s->last = LAST_ATOM;
    s->p = end ? end + 2 : text + strlen(text);
    return 0;
}

/* "[:alpha:]" inside a class. */
static int scan_posix(struct scan *s)
{
    const char *p = s->p + 2;
    p += *p == '^';
    while (is_letter(*p))
        p++;
    if (p[0] != ':' || p[1] != ']')
        return refuse(s, "invalid character class range");
    s->p = p + 2;
    return 0;
}

static int scan_class(struct scan *s)
{
    struct scan start = *s;
    s->p++;
    s->p += *s->p == '^';
    s->p += *s->p == ']'; /* in the first place it is itself */
    while (*s->p != ']') {
        int bad = 0;
        if (!*s->p)
            return refuse(&start, "missing closing ]");
        if (*s->p == '\\')
            bad = scan_escape(s, "dDsSwWaftnrv");
        else if (s->p[0] == '[' && s->p[1] == ':')
            bad = scan_posix(s);
        else
            s->p++;
        if (bad)
            return -1;
    }
    s->p++;
    s->last = LAST_ATOM;
    return 0;
}

/* Behind "(?": "i", "ms-i" and the like, then ")" (for the rest of the group) or ":" (a group). */
static int scan_flags(struct scan *s)
{
    const char *p = s->p + 2;
    while (*p && strchr("imsU-", *p))
        p++;
    if (!is_letter(p[-1]) || (*p != ')' && *p != ':'))
        return refuse(s, "invalid or unsupported Perl syntax");
    s->depth += *p == ':';
    s->p = p + 1;
    return 0;
}

static int scan_group(struct scan *s)
{
    static const struct {
        const char *start, *why;
    } refused[] = {
        {"(?=", "look-ahead is not supported"},
        {"(?!", "look-ahead is not supported"},
        {"(?<=", "look-behind is not supported"},
        {"(?<!", "look-behind is not supported"},
        {"(?>", "atomic groups are not supported"},
        {"(?(", "conditionals are not supported"},
        {"(?P=", "back-references are not supported"},
        {"(?P>", "recursion is not supported"},
        {"(?R", "recursion is not supported"},
        {"(?&", "recursion is not supported"},
        {"(*", "missing argument to repetition operator"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (!strncmp(s->p, refused[i].start, strlen(refused[i].start)))
            return refuse(s, refused[i].why);
    s->last = LAST_NOTHING;
    size_t open = 1;
    if (!strncmp(s->p, "(?:", 3))
        open = 3;
    else if (!strncmp(s->p, "(?P<", 4))
        open = 4;
    else if (!strncmp(s->p, "(?<", 3))
        open = 3;
    else if (!strncmp(s->p, "(?", 2))
        return scan_flags(s);
    s->depth++;
    s->p += open;
    return 0;
}

/* "{2}", "{2,}" or "{2,5}"; the parts that do not fit are refused. */
static int scan_counts(struct scan *s, const char **after)
{
    char *end;
    if (!is_digit(s->p[1]))
        return refuse(s, "invalid repeat count (write \\{ for a brace)");
    unsigned long from = strtoul(s->p + 1, &end, 10), to = from;
    if (*end == ',' && is_digit(end[1]))
        to = strtoul(end + 1, &end, 10);
    else if (*end == ',')
        end++;
    if (*end != '}' || from > to || to > REPEAT_MAX)
        return refuse(s, "invalid repeat count");
    *after = end + 1;
    return 0;
}

static int scan_repeat(struct scan *s)
{
    const char *after = s->p + 1;
    if (s->last == LAST_NOTHING)
        return refuse(s, "missing argument to repetition operator");
    if (*s->p == '{' && scan_counts(s, &after) < 0)
        return -1;
    if (s->last == LAST_ATOM)
        s->last = LAST_REPEAT;
    else if (s->last == LAST_REPEAT && *s->p == '?')
        s->last = LAST_LAZY;
    else
        return refuse(s, "invalid nested repetition operator");
    s->p = after;
    return 0;
}

static int scan_one(struct scan *s)
{
    switch (*s->p) {
    case '(':
        return scan_group(s);
    case '[':
        return scan_class(s);
    case '*':
    case '+':
    case '?':
    case '{':
        return scan_repeat(s);
    case '|':
        s->last = LAST_NOTHING;
        s->p++;
        return 0;
    case ')':
        if (s->depth == 0)
            return refuse(s, "unexpected )");
        s->depth--;
        break;
    case '\\':
        if (s->p[1] == 'Q')
            return scan_quote(s);
        s->last = LAST_ATOM;
        return scan_escape(s, "dDsSwWaftnrvAbBz");
    }
    s->last = LAST_ATOM;
    s->p++;
    return 0;
}

/* PCRE2 understands far more than RE2; this lets only the common syntax through. It need not find every
 * error, since what passes is still compiled. */
static int check_syntax(const char *pattern, struct err *e)
{
    struct scan s = {.p = pattern, .e = e};
    while (*s.p)
        if (scan_one(&s) < 0)
            return -1;
    if (s.depth > 0)
        return err_set(e, EINVAL, "error parsing regexp: missing closing ): `%.100s`", pattern);
    return 0;
}

static int compile(struct regex *r, const char *pattern, uint32_t options, struct err *e)
{
    /* Captures are of no use here, and named ones do no harm. */
    options |= PCRE2_DOLLAR_ENDONLY | PCRE2_NO_AUTO_CAPTURE | PCRE2_NEVER_BACKSLASH_C |
               PCRE2_NEVER_UTF | PCRE2_NEVER_UCP;
    int code;
    PCRE2_SIZE at;
    PCRE2_UCHAR why[128];
    r->limits = pcre2_match_context_create(NULL);
    if (!r->limits)
        return err_set(e, ENOMEM, "out of memory");
    pcre2_set_match_limit(r->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(r->limits, DEPTH_LIMIT);
    pcre2_set_heap_limit(r->limits, HEAP_LIMIT);
    r->code = pcre2_compile((PCRE2_SPTR)pattern, strlen(pattern), options, &code, &at, NULL);
    if (r->code)
        return 0;
    pcre2_get_error_message(code, why, sizeof why);
    return err_set(e, EINVAL, "error parsing regexp: %s: `%.16s`", (char *)why, pattern + at);
}

static struct regex *make(const char *pattern, uint32_t options, struct err *e)
{
    if (check_syntax(pattern, e) < 0)
        return NULL;
    struct regex *r = calloc(1, sizeof *r);
    if (!r) {
        err_set(e, ENOMEM, "out of memory");
        return NULL;
    }
    if (compile(r, pattern, options, e) < 0) {
        regex_free(r);
        return NULL;
    }
    return r;
}

struct regex *regex_new(const char *pattern, struct err *e)
{
    return make(pattern, PCRE2_CASELESS, e);
}

struct regex *regex_new_exact(const char *pattern, struct err *e)
{
    return make(pattern, 0, e);
}

bool regex_match(const struct regex *r, const char *text, size_t len)
{
    int workspace[WORKSPACE];
    const uint32_t options = PCRE2_DFA_SHORTEST | (len > TEXT_MAX ? PCRE2_NOTEOL : 0);
    if (len > TEXT_MAX)
        len = TEXT_MAX;
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    if (!data)
        return false;
    int found = pcre2_dfa_match(r->code, (PCRE2_SPTR)text, len, 0, options, data, r->limits,
                                workspace, WORKSPACE);
    pcre2_match_data_free(data);
    return found >= 0;
}

void regex_free(struct regex *r)
{
    if (!r)
        return;
    pcre2_code_free(r->code);
    pcre2_match_context_free(r->limits);
    free(r);
}
