#include "routing/attrs.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "routing/head.h"
#include "routing/regex.h"

/* An expression is a tree in an array; the children of a node lie before it. */
enum op {
    OP_AND,
    OP_OR,
    OP_NOT,
    OP_EQUAL,
    OP_STARTS,
    OP_ENDS,
    OP_HOLDS, /* right is part of left; if not: false */
    OP_FINDS, /* the same as V2Ray's index(): if not, the whole is not true */
    OP_HAS,   /* the request has the attribute */
};

struct operand {
    bool attr;   /* text is the name of an attribute */
    size_t text; /* offset in the arena */
    size_t len;
};

struct node {
    enum op op;
    uint16_t left, right; /* AND, OR, NOT: numbers of nodes */
    struct operand a, b;  /* else */
};

struct pattern {
    char *name;
    struct regex *regex;
};

struct attrs {
    struct node *nodes; /* the last one is the root */
    size_t node_count;
    char *arena;
    size_t arena_len;
    struct pattern *patterns;
    size_t pattern_count;
};

/* Compiling: recursive descent */

struct parser {
    struct attrs *attrs;
    const char *start, *p;
    unsigned depth;
    struct err *e;
};

enum { NO_NODE = -1 };

static int parse_or(struct parser *ps);

static int fail(struct parser *ps, const char *want)
{
    return err_set(ps->e, EINVAL, "invalid attrs at character %zu (\"%.20s\"): want %s",
                   (size_t)(ps->p - ps->start) + 1, ps->p, want);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static void skip_space(struct parser *ps)
{
    while (is_space(*ps->p))
        ps->p++;
}

/* Takes the text if it comes next; a word must end there. */
static bool take(struct parser *ps, const char *text)
{
    size_t len = strlen(text);
    skip_space(ps);
    if (strncmp(ps->p, text, len) != 0 || (is_word(text[len - 1]) && is_word(ps->p[len])))
        return false;
    ps->p += len;
    return true;
}

static int node_add(struct parser *ps, struct node n)
{
    struct attrs *a = ps->attrs;
    if (a->node_count == ATTRS_NODES_MAX)
        return err_set(ps->e, E2BIG, "attrs of more than %d conditions", ATTRS_NODES_MAX);
    a->nodes[a->node_count] = n;
    return (int)a->node_count++;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static struct node pair_of(enum op op, int left, int right)
{
    return (struct node){.op = op, .left = (uint16_t)left, .right = (uint16_t)right};
}

static bool peek(struct parser *ps, char c)
{
    skip_space(ps);
    return *ps->p == c;
}

/* 'text' or "text", with \\, \' and \" inside. */
static int parse_text(struct parser *ps, struct operand *o, bool name)
{
    struct attrs *a = ps->attrs;
    if (!peek(ps, '\'') && !peek(ps, '"'))
        return fail(ps, "a text in quotes");
    char quote = *ps->p++;
    *o = (struct operand){.attr = name, .text = a->arena_len};
    while (*ps->p && *ps->p != quote) {
        if (*ps->p == '\\' && (!ps->p[1] || !strchr("\\'\"", ps->p[1])))
            return fail(ps, "\\\\, \\' or \\\" after a backslash");
        ps->p += *ps->p == '\\';
        a->arena[a->arena_len++] = name ? lower(*ps->p) : *ps->p;
        ps->p++;
    }
    if (!*ps->p)
        return fail(ps, "a closing quote");
    ps->p++;
    o->len = a->arena_len - o->text;
    return 0;
}

/* What comes after "attrs": ['name']. */
static int parse_name(struct parser *ps, struct operand *o)
{
    if (!take(ps, "["))
        return fail(ps, "attrs['name']");
    if (parse_text(ps, o, true) < 0)
        return -1;
    return take(ps, "]") ? 0 : fail(ps, "]");
}

static int parse_operand(struct parser *ps, struct operand *o)
{
    if (take(ps, "attrs"))
        return parse_name(ps, o);
    if (!peek(ps, '\'') && !peek(ps, '"'))
        return fail(ps, "attrs['name'] or a text in quotes");
    return parse_text(ps, o, false);
}

static int negate(struct parser *ps, int node)
{
    return node < 0 ? node : node_add(ps, (struct node){.op = OP_NOT, .left = (uint16_t)node});
}

static int parse_method(struct parser *ps, struct operand a)
{
    static const struct {
        const char *name, *tail;
        enum op op;
    } methods[] = {
        {"startswith", NULL, OP_STARTS},
        {"endswith", NULL, OP_ENDS},
        {"index", "0", OP_FINDS},
        {"find", "0", OP_HOLDS},
    };
    struct node n = {.a = a};
    size_t i = 0, count = sizeof methods / sizeof *methods;
    while (i < count && !take(ps, methods[i].name))
        i++;
    if (i == count)
        return fail(ps, "startswith, endswith, find or index");
    n.op = methods[i].op;
    if (!take(ps, "("))
        return fail(ps, "(");
    if (parse_operand(ps, &n.b) < 0)
        return NO_NODE;
    if (!take(ps, ")"))
        return fail(ps, ")");
    if (methods[i].tail && (!take(ps, ">=") || !take(ps, methods[i].tail)))
        return fail(ps, ">= 0 after find(...) and index(...)");
    return node_add(ps, n);
}

/* "('a', 'b')" or "['a', 'b']": equal to one of them. One text in parentheses is no list, but the text. */
static int parse_choices(struct parser *ps, struct operand a, const char *close)
{
    int any = NO_NODE;
    bool comma = *close == ']';
    do {
        struct node n = {.op = OP_EQUAL, .a = a};
        if (any >= 0 && take(ps, close))
            return any;
        if (parse_operand(ps, &n.b) < 0)
            return NO_NODE;
        int one = node_add(ps, n);
        if (any >= 0 && one >= 0)
            one = node_add(ps, pair_of(OP_OR, any, one));
        if (one < 0)
            return NO_NODE;
        any = one;
        comma = comma || peek(ps, ',');
    } while (take(ps, ","));
    return comma && take(ps, close) ? any : fail(ps, comma ? close : ", in a list");
}

/* "in attrs" asks for the name, "in attrs['name']" for a part, "in (...)" for one of them. */
static int parse_in(struct parser *ps, struct operand part)
{
    struct node n = {.op = OP_HOLDS, .b = part};
    if (take(ps, "("))
        return parse_choices(ps, part, ")");
    if (take(ps, "["))
        return parse_choices(ps, part, "]");
    if (!take(ps, "attrs"))
        return fail(ps, "attrs, attrs['name'] or a list after \"in\"");
    if (peek(ps, '['))
        return parse_name(ps, &n.a) < 0 ? NO_NODE : node_add(ps, n);
    if (part.attr)
        return fail(ps, "attrs['name'] after \"in\"");
    n = (struct node){.op = OP_HAS, .a = part};
    for (size_t i = 0; i < part.len; i++) {
        char *c = ps->attrs->arena + part.text + i;
        *c = lower(*c);
    }
    return node_add(ps, n);
}

static int parse_comparison(struct parser *ps)
{
    struct node n = {.op = OP_EQUAL};
    if (parse_operand(ps, &n.a) < 0)
        return NO_NODE;
    if (n.a.attr && take(ps, "."))
        return parse_method(ps, n.a);
    if (take(ps, "in"))
        return parse_in(ps, n.a);
    if (take(ps, "not"))
        return take(ps, "in") ? negate(ps, parse_in(ps, n.a)) : fail(ps, "in");
    bool equal = take(ps, "==");
    if (!equal && !take(ps, "!="))
        return fail(ps, "==, !=, in, not in, .startswith(...) or .endswith(...)");
    if (parse_operand(ps, &n.b) < 0)
        return NO_NODE;
    return equal ? node_add(ps, n) : negate(ps, node_add(ps, n));
}

static int parse_not(struct parser *ps)
{
    int node;
    if (++ps->depth > ATTRS_DEPTH_MAX)
        return err_set(ps->e, E2BIG, "attrs nested more than %d deep", ATTRS_DEPTH_MAX);
    if (take(ps, "not")) {
        node = negate(ps, parse_not(ps));
    } else if (take(ps, "(")) {
        node = parse_or(ps);
        if (node >= 0 && !take(ps, ")"))
            node = fail(ps, "and, or or )");
    } else {
        node = parse_comparison(ps);
    }
    ps->depth--;
    return node;
}

static int parse_chain(struct parser *ps, const char *word, enum op op,
                       int (*part)(struct parser *ps))
{
    int left = part(ps);
    while (left >= 0 && take(ps, word)) {
        int right = part(ps);
        if (right < 0)
            return NO_NODE;
        left = node_add(ps, pair_of(op, left, right));
    }
    return left;
}

static int parse_and(struct parser *ps)
{
    return parse_chain(ps, "and", OP_AND, parse_not);
}

static int parse_or(struct parser *ps)
{
    return parse_chain(ps, "or", OP_OR, parse_and);
}

struct attrs *attrs_map_new(void)
{
    return calloc(1, sizeof(struct attrs));
}

static struct attrs *out_of_memory(struct attrs *a, struct err *e)
{
    attrs_free(a);
    err_set(e, ENOMEM, "out of memory");
    return NULL;
}

struct attrs *attrs_new(const char *expression, struct err *e)
{
    struct attrs *a = attrs_map_new();
    struct parser ps = {.attrs = a, .start = expression, .p = expression, .e = e};
    size_t len = strlen(expression);
    if (len > ATTRS_TEXT_MAX) {
        err_set(e, E2BIG, "attrs of %zu bytes, at most %d are allowed", len, ATTRS_TEXT_MAX);
        attrs_free(a);
        return NULL;
    }
    if (!a)
        return out_of_memory(a, e);
    a->nodes = calloc(ATTRS_NODES_MAX, sizeof *a->nodes);
    a->arena = malloc(len + 1);
    if (!a->nodes || !a->arena)
        return out_of_memory(a, e);
    int root = parse_or(&ps);
    skip_space(&ps);
    if (root >= 0 && *ps.p)
        root = fail(&ps, "and, or, or the end");
    if (root < 0) {
        attrs_free(a);
        return NULL;
    }
    struct node *nodes = realloc(a->nodes, a->node_count * sizeof *nodes);
    if (nodes)
        a->nodes = nodes;
    return a;
}

int attrs_map_add(struct attrs *a, const char *name, const char *pattern, struct err *e)
{
    struct pattern *patterns = realloc(a->patterns, (a->pattern_count + 1) * sizeof *patterns);
    struct pattern one = {.name = patterns ? strdup(name) : NULL};
    if (patterns)
        a->patterns = patterns;
    if (!one.name)
        return err_set(e, ENOMEM, "out of memory");
    for (char *c = one.name; *c; c++)
        *c = lower(*c);
    one.regex = regex_new_exact(pattern, e);
    if (!one.regex) {
        free(one.name);
        return -1;
    }
    a->patterns[a->pattern_count++] = one;
    return 0;
}

void attrs_free(struct attrs *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->pattern_count; i++) {
        free(a->patterns[i].name);
        regex_free(a->patterns[i].regex);
    }
    free(a->patterns);
    free(a->nodes);
    free(a->arena);
    free(a);
}

/* Matching: true, false, or an attribute that is missing, which decides at once */

enum truth { IS_FALSE, IS_TRUE, IS_MISSING };

/* A request that is asked. */
struct subject {
    const struct attrs *attrs;
    struct head_text head;
    char path[HEAD_PATH_MAX]; /* room to decode it */
};

static bool attr_of(struct subject *s, const char *name, size_t len, struct head_text *value)
{
    if (!head_attr(s->head, (struct head_text){name, len}, value))
        return false;
    if (len == strlen(":path") && *name == ':')
        *value = head_path_decode(*value, s->path);
    return true;
}

static bool value_of(struct subject *s, struct operand o, struct head_text *value)
{
    const char *text = s->attrs->arena + o.text;
    if (o.attr)
        return attr_of(s, text, o.len, value);
    *value = (struct head_text){text, o.len};
    return true;
}

static bool holds(enum op op, struct head_text a, struct head_text b)
{
    if (op == OP_EQUAL ? a.len != b.len : a.len < b.len)
        return false;
    if (op == OP_HOLDS || op == OP_FINDS)
        return memmem(a.text, a.len, b.text, b.len);
    return !memcmp(op == OP_ENDS ? a.text + (a.len - b.len) : a.text, b.text, b.len);
}

static enum truth compare(struct subject *s, const struct node *n)
{
    struct head_text a, b;
    if (n->op == OP_HAS)
        return attr_of(s, s->attrs->arena + n->a.text, n->a.len, &a) ? IS_TRUE : IS_FALSE;
    if (!value_of(s, n->a, &a) || !value_of(s, n->b, &b))
        return IS_MISSING;
    if (holds(n->op, a, b))
        return IS_TRUE;
    return n->op == OP_FINDS ? IS_MISSING : IS_FALSE;
}

/* As deep as the text was nested, and as a chain of "and" is long: bounded by ATTRS_NODES_MAX. */
static enum truth truth_of(struct subject *s, size_t i)
{
    const struct node *n = &s->attrs->nodes[i];
    enum truth left;
    switch (n->op) {
    case OP_AND:
        left = truth_of(s, n->left);
        return left == IS_TRUE ? truth_of(s, n->right) : left;
    case OP_OR:
        left = truth_of(s, n->left);
        return left == IS_FALSE ? truth_of(s, n->right) : left;
    case OP_NOT:
        left = truth_of(s, n->left);
        return left == IS_MISSING ? left : left == IS_TRUE ? IS_FALSE : IS_TRUE;
    default:
        return compare(s, n);
    }
}

static bool patterns_match(struct subject *s)
{
    struct head_text value;
    for (size_t i = 0; i < s->attrs->pattern_count; i++) {
        const struct pattern *p = &s->attrs->patterns[i];
        if (!attr_of(s, p->name, strlen(p->name), &value) ||
            !regex_match(p->regex, value.text, value.len))
            return false;
    }
    return true;
}

bool attrs_match(const struct attrs *a, const char *head, size_t head_len)
{
    struct subject s;
    s.attrs = a;
    s.head = (struct head_text){head, head_len};
    if (a->node_count && truth_of(&s, a->node_count - 1) != IS_TRUE)
        return false;
    return patterns_match(&s);
}
