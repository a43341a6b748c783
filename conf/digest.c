#include "conf/digest.h"

#include <ctype.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/field.h"

struct digesting {
    crypto_generichash_state state;
    struct arena *scratch;
    const struct node *top;     /* the object of which some members do not count, up to a NULL: */
    const char *const *without; /* these */
};

static void put(struct digesting *d, const void *bytes, size_t len)
{
    crypto_generichash_update(&d->state, bytes, len);
}

/* With its length, so that two texts never look like two others. */
static void put_text(struct digesting *d, const char *text)
{
    size_t len = strlen(text);
    put(d, &len, sizeof len);
    put(d, text, len);
}

static void put_key(struct digesting *d, const char *key)
{
    size_t len = strlen(key);
    put(d, &len, sizeof len);
    for (size_t i = 0; i < len; i++) {
        char c = (char)tolower((unsigned char)key[i]);
        put(d, &c, 1);
    }
}

static int by_key(const void *a, const void *b)
{
    const struct node *const *x = a, *const *y = b;
    return strcasecmp((*x)->key, (*y)->key);
}

static bool is_without(const struct digesting *d, const char *key)
{
    for (const char *const *name = d->without; *name; name++)
        if (strcasecmp(*name, key) == 0)
            return true;
    return false;
}

/* What of an object counts. */
static bool counts(const struct digesting *d, const struct node *object, const struct node *child)
{
    return child->type != NODE_NULL && !field_is_comment(child->key) &&
           node_get(object, child->key) == child &&
           !(object == d->top && is_without(d, child->key));
}

static void put_node(struct digesting *d, const struct node *n);

static void put_object(struct digesting *d, const struct node *n)
{
    size_t count = 0;
    const struct node **children =
        arena_array(d->scratch, node_count(n) + 1, sizeof(const struct node *));
    if (!children)
        return;
    for (const struct node *child = n->first; child; child = child->next)
        if (counts(d, n, child))
            children[count++] = child;
    qsort(children, count, sizeof(const struct node *), by_key);
    put(d, &count, sizeof count);
    for (size_t i = 0; i < count; i++) {
        put_key(d, children[i]->key);
        put_node(d, children[i]);
    }
}

/* Depth is bounded by the parser. */
static void put_node(struct digesting *d, const struct node *n)
{
    size_t count;
    put(d, &n->type, sizeof n->type);
    switch (n->type) {
    case NODE_NULL:
        break;
    case NODE_BOOL:
        put(d, &n->truth, sizeof n->truth);
        break;
    case NODE_INTEGER:
        put(d, &n->integer, sizeof n->integer);
        break;
    case NODE_REAL:
        put(d, &n->real, sizeof n->real);
        break;
    case NODE_TEXT:
        put_text(d, n->text);
        break;
    case NODE_ARRAY:
        count = node_count(n);
        put(d, &count, sizeof count);
        for (const struct node *child = n->first; child; child = child->next)
            put_node(d, child);
        break;
    case NODE_OBJECT:
        put_object(d, n);
        break;
    }
}

void digest_object(struct digest *out, const struct node *n, const char *const *without,
                   struct arena *scratch)
{
    struct digesting d = {.scratch = scratch, .top = n, .without = without};
    crypto_generichash_init(&d.state, NULL, 0, sizeof out->bytes);
    put_node(&d, n);
    crypto_generichash_final(&d.state, out->bytes, sizeof out->bytes);
}

void digest_node(struct digest *out, const struct node *n, struct arena *scratch)
{
    static const char *const nothing[] = {NULL};
    digest_object(out, n, nothing, scratch);
}

void digest_mix(struct digest *d, const void *bytes, size_t len)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, sizeof d->bytes);
    crypto_generichash_update(&state, d->bytes, sizeof d->bytes);
    crypto_generichash_update(&state, bytes, len);
    crypto_generichash_final(&state, d->bytes, sizeof d->bytes);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
