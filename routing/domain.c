#include "routing/domain.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/addr.h"
#include "routing/regex.h"

/* "full:" and "domain:" conditions are entries of one hash table, found under their text; a name asks for
 * itself and for each of its parents. Everything textual lies in one arena and is known by its offset:
 * an entry as kind(1) length(1) text, a substring with a NUL behind it. */
enum { KIND_FULL = 1, KIND_DOMAIN = 2 };
enum { ENTRY_HEAD = 2, SLOTS_MIN = 16, ARENA_MIN = 256, PROBES = 8 };

/* The hash says where the slot belongs, and whether a look at the entry is worth it. 0: free. */
struct slot {
    uint32_t hash, entry; /* entry: its offset */
};

struct offsets {
    uint32_t *items;
    size_t count, room;
};

struct domain_set {
    atomic_uint others;                     /* references beyond the first */
    uint8_t key[crypto_shorthash_KEYBYTES]; /* visitors cannot know which names collide */
    char *arena;
    uint32_t arena_len, arena_room;
    struct slot *slots;
    size_t slot_count, used;
    size_t longest; /* text of an entry */
    struct offsets substrings, dotless;
    struct regex **regexes;
    size_t regex_count;
    struct domain_set **parts; /* lists that are included */
    size_t part_count;
};

struct domain_set *domain_set_new(void)
{
    struct domain_set *s = calloc(1, sizeof *s);
    if (s)
        crypto_shorthash_keygen(s->key);
    return s;
}

void domain_set_free(struct domain_set *s)
{
    if (!s || atomic_fetch_sub(&s->others, 1) > 0)
        return;
    for (size_t i = 0; i < s->part_count; i++)
        domain_set_free(s->parts[i]);
    free(s->parts);
    for (size_t i = 0; i < s->regex_count; i++)
        regex_free(s->regexes[i]);
    free(s->regexes);
    free(s->substrings.items);
    free(s->dotless.items);
    free(s->slots);
    free(s->arena);
    free(s);
}

static int out_of_memory(struct err *e)
{
    return err_set(e, ENOMEM, "out of memory");
}

static int arena_reserve(struct domain_set *s, size_t len, struct err *e)
{
    if (len <= s->arena_room - s->arena_len)
        return 0;
    size_t room = (size_t)s->arena_room + s->arena_room / 2 + ARENA_MIN + len;
    if (room > UINT32_MAX)
        return err_set(e, E2BIG, "domain conditions of more than 4 GiB");
    char *arena = realloc(s->arena, room);
    if (!arena)
        return out_of_memory(e);
    s->arena = arena;
    s->arena_room = (uint32_t)room;
    return 0;
}

static uint32_t hash_of(const struct domain_set *s, const char *text, size_t len)
{
    uint8_t out[crypto_shorthash_BYTES];
    uint32_t hash;
    crypto_shorthash(out, (const uint8_t *)text, len, s->key);
    memcpy(&hash, out, sizeof hash);
    return hash ? hash : 1;
}

static bool entry_is(const char *entry, const char *text, size_t len)
{
    return (uint8_t)entry[1] == len && !memcmp(entry + ENTRY_HEAD, text, len);
}

/* The slot of the text, or the free one where it belongs. There always is a free one. */
static struct slot *slot_find(const struct domain_set *s, uint32_t hash, const char *text,
                              size_t len)
{
    size_t i = hash & (s->slot_count - 1);
    while (s->slots[i].hash &&
           !(s->slots[i].hash == hash && entry_is(s->arena + s->slots[i].entry, text, len)))
        i = (i + 1) & (s->slot_count - 1);
    return &s->slots[i];
}

static int slots_resize(struct domain_set *s, size_t count, struct err *e)
{
    struct slot *slots = calloc(count, sizeof *slots);
    if (!slots)
        return out_of_memory(e);
    for (size_t old = 0; old < s->slot_count; old++) {
        size_t i = s->slots[old].hash & (count - 1);
        while (s->slots[old].hash && slots[i].hash)
            i = (i + 1) & (count - 1);
        if (s->slots[old].hash)
            slots[i] = s->slots[old];
    }
    free(s->slots);
    s->slots = slots;
    s->slot_count = count;
    return 0;
}

/* At most three of four slots are taken. */
static int slots_reserve(struct domain_set *s, size_t count, struct err *e)
{
    size_t slots = s->slot_count ? s->slot_count : SLOTS_MIN;
    while (slots / 4 * 3 < count)
        slots *= 2;
    return slots > s->slot_count ? slots_resize(s, slots, e) : 0;
}

int domain_set_reserve(struct domain_set *s, size_t count, struct err *e)
{
    return count > SIZE_MAX / 16 ? out_of_memory(e) : slots_reserve(s, s->used + count, e);
}

static int add_entry(struct domain_set *s, char kind, const char *text, struct err *e)
{
    char name[ADDR_NAME_MAX + 1];
    size_t len = strlen(text);
    if (len > ADDR_NAME_MAX)
        return err_set(e, EINVAL, "domain of %zu bytes, at most %d are allowed: %.100s", len,
                       ADDR_NAME_MAX, text);
    memcpy(name, text, len + 1);
    addr_normalise_name(name);
    len = strlen(name);
    if (len == 0)
        return err_set(e, EINVAL, "empty %sdomain type of rule: %s",
                       kind == KIND_FULL ? "full " : "", kind == KIND_FULL ? "full:" : "domain:");
    if (arena_reserve(s, ENTRY_HEAD + len, e) < 0 || slots_reserve(s, s->used + 1, e) < 0)
        return -1;
    uint32_t hash = hash_of(s, name, len);
    struct slot *slot = slot_find(s, hash, name, len);
    if (slot->hash) {
        s->arena[slot->entry] |= kind;
        return 0;
    }
    char *entry = s->arena + s->arena_len;
    entry[0] = kind;
    entry[1] = (char)len;
    memcpy(entry + ENTRY_HEAD, name, len);
    *slot = (struct slot){hash, s->arena_len};
    s->arena_len += (uint32_t)(ENTRY_HEAD + len);
    s->used++;
    if (len > s->longest)
        s->longest = len;
    return 0;
}

/* Only the case is changed: a dot at the end of a substring means "and more labels follow". */
static int add_substring(struct domain_set *s, struct offsets *list, const char *text,
                         struct err *e)
{
    size_t len = strlen(text);
    if (arena_reserve(s, len + 1, e) < 0)
        return -1;
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 1;
        uint32_t *items = realloc(list->items, room * sizeof *items);
        if (!items)
            return out_of_memory(e);
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = s->arena_len;
    for (size_t i = 0; i <= len; i++) {
        char c = text[i];
        s->arena[s->arena_len++] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
    }
    return 0;
}

static int add_regex(struct domain_set *s, const char *pattern, struct err *e)
{
    struct regex **regexes = realloc(s->regexes, (s->regex_count + 1) * sizeof(struct regex *));
    if (!regexes)
        return out_of_memory(e);
    s->regexes = regexes;
    struct regex *r = regex_new(pattern, e);
    if (!r)
        return -1;
    s->regexes[s->regex_count++] = r;
    return 0;
}

static int fail_empty(const char *what, struct err *e)
{
    return err_set(e, EINVAL, "empty %s type of rule: %s:", what, what);
}

int domain_set_add_as(struct domain_set *s, enum domain_kind kind, const char *text, struct err *e)
{
    switch (kind) {
    case DOMAIN_PLAIN:
        return add_substring(s, &s->substrings, text, e);
    case DOMAIN_REGEXP:
        return *text ? add_regex(s, text, e) : fail_empty("regexp", e);
    case DOMAIN_SUB:
        return add_entry(s, KIND_DOMAIN, text, e);
    case DOMAIN_FULL:
        return add_entry(s, KIND_FULL, text, e);
    case DOMAIN_DOTLESS:
        if (strchr(text, '.'))
            return err_set(e, EINVAL, "substr in dotless rule should not contain a dot: %.100s",
                           text);
        return add_substring(s, &s->dotless, text, e);
    }
    return err_set(e, EINVAL, "unknown kind %d of a domain", (int)kind);
}

/* geosite: and ext: name lists in files, which conf reads; as plain text they would never match, silently. */
static int refuse_lists(const char *text, struct err *e)
{
    static const char *const lists[] = {"geosite:", "ext:", "ext-domain:"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (!strncmp(text, lists[i], strlen(lists[i])))
            return err_set(e, ENOTSUP, "%s lists are not possible here", lists[i]);
    return 0;
}

int domain_set_add(struct domain_set *s, const char *text, struct err *e)
{
    static const struct {
        const char *prefix;
        enum domain_kind kind;
    } forms[] = {
        {"keyword:", DOMAIN_PLAIN}, {"domain:", DOMAIN_SUB},      {"full:", DOMAIN_FULL},
        {"regexp:", DOMAIN_REGEXP}, {"dotless:", DOMAIN_DOTLESS},
    };
    if (!strcmp(text, "keyword:"))
        return fail_empty("keyword", e);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        size_t len = strlen(forms[i].prefix);
        if (!strncmp(text, forms[i].prefix, len))
            return domain_set_add_as(s, forms[i].kind, text + len, e);
    }
    return refuse_lists(text, e) < 0 ? -1 : domain_set_add_as(s, DOMAIN_PLAIN, text, e);
}

int domain_set_include(struct domain_set *s, struct domain_set *list, struct err *e)
{
    struct domain_set **parts =
        realloc(s->parts, (s->part_count + 1) * sizeof(struct domain_set *));
    if (!parts)
        return out_of_memory(e);
    atomic_fetch_add(&list->others, 1);
    s->parts = parts;
    s->parts[s->part_count++] = list;
    return 0;
}

/* A part of a name that is looked for. */
struct probe {
    const char *text;
    uint32_t len, hash;
};

/* The name and its parents, from *at on, of which there are entries; the memory of their slots is on its way. */
static size_t probes_start(const struct domain_set *s, const char **at, const char *end,
                           struct probe probes[PROBES])
{
    size_t count = 0;
    while (*at && count < PROBES) {
        size_t len = (size_t)(end - *at);
        const char *dot = memchr(*at, '.', len);
        if (len > 0 && len <= s->longest) {
            uint32_t hash = hash_of(s, *at, len);
            __builtin_prefetch(&s->slots[hash & (s->slot_count - 1)]);
            probes[count++] = (struct probe){*at, (uint32_t)len, hash};
        }
        *at = dot ? dot + 1 : NULL;
    }
    return count;
}

static bool match_entries(const struct domain_set *s, const char *name, size_t len)
{
    struct probe probes[PROBES];
    const char *at = s->used ? name : NULL;
    while (at) {
        size_t count = probes_start(s, &at, name + len, probes);
        for (size_t i = 0; i < count; i++) {
            const struct probe *p = &probes[i];
            const struct slot *slot = slot_find(s, p->hash, p->text, p->len);
            int wanted = p->text == name ? KIND_FULL | KIND_DOMAIN : KIND_DOMAIN;
            if (slot->hash && s->arena[slot->entry] & wanted)
                return true;
        }
    }
    return false;
}

static bool match_substrings(const struct domain_set *s, const struct offsets *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++)
        if (strstr(name, s->arena + l->items[i]))
            return true;
    return false;
}

bool domain_set_match(const struct domain_set *s, const char *name)
{
    size_t len = strlen(name);
    if (match_entries(s, name, len) || match_substrings(s, &s->substrings, name))
        return true;
    if (s->dotless.count && !strchr(name, '.') && match_substrings(s, &s->dotless, name))
        return true;
    for (size_t i = 0; i < s->regex_count; i++)
        if (regex_match(s->regexes[i], name, len))
            return true;
    for (size_t i = 0; i < s->part_count; i++)
        if (domain_set_match(s->parts[i], name))
            return true;
    return false;
}

static size_t count_all(const struct domain_set *s)
{
    size_t count = s->used + s->substrings.count + s->dotless.count;
    for (size_t i = 0; i < s->part_count; i++)
        count += count_all(s->parts[i]);
    return count;
}

bool domain_set_each(const struct domain_set *s, size_t most,
                     void (*visit)(void *to, enum domain_kind kind, const char *text, size_t len),
                     void *to)
{
    if (s->regex_count || count_all(s) > most)
        return false;
    for (size_t i = 0; i < s->slot_count; i++) {
        const char *entry = s->arena + s->slots[i].entry;
        if (s->slots[i].hash)
            visit(to, entry[0] & KIND_DOMAIN ? DOMAIN_SUB : DOMAIN_FULL, entry + ENTRY_HEAD,
                  (uint8_t)entry[1]);
    }
    for (size_t i = 0; i < s->substrings.count; i++)
        visit(to, DOMAIN_PLAIN, s->arena + s->substrings.items[i],
              strlen(s->arena + s->substrings.items[i]));
    for (size_t i = 0; i < s->dotless.count; i++)
        visit(to, DOMAIN_DOTLESS, s->arena + s->dotless.items[i],
              strlen(s->arena + s->dotless.items[i]));
    for (size_t i = 0; i < s->part_count; i++)
        if (!domain_set_each(s->parts[i], most, visit, to))
            return false;
    return true;
}
