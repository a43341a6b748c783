#include "conf/field.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "conf/nearest.h"

enum { WANTED_MAX = 64 };

bool field_is_comment(const char *key)
{
    return key[0] == '_' || strncmp(key, "//", 2) == 0 || strcasecmp(key, "$schema") == 0 ||
           strcasecmp(key, "remarks") == 0 || strcasecmp(key, "ps") == 0;
}

const struct field_name *field_name_find(const struct field_name *names, const char *text)
{
    for (; names->text; names++)
        if (strcasecmp(names->text, text) == 0)
            return names;
    return NULL;
}

static bool is_alias(const struct field_name *names, const struct field_name *name)
{
    while (names < name && names->value != name->value)
        names++;
    return names < name;
}

static void list_names(const struct field_name *names, char *out, size_t room)
{
    size_t used = 0;
    out[0] = '\0';
    for (const struct field_name *name = names; name->text && used < room; name++) {
        if (name->value == NAME_LATER || !*name->text || is_alias(names, name))
            continue;
        int n = snprintf(out + used, room - used, "%s%s", used ? ", " : "", name->text);
        used += n > 0 ? (size_t)n : 0;
    }
}

const char *field_name_advice(const struct field_name *names, const char *text, char *out,
                              size_t room)
{
    unsigned best = NEAREST_FAR;
    size_t used = (size_t)snprintf(out, room, ", want one of ");
    list_names(names, out + used, room - used);
    for (; names->text; names++)
        if (nearest_better(text, names->text, &best))
            snprintf(out, room, ", did you mean \"%s\"?", names->text);
    return out;
}

static void set_default(const struct field *f, void *to)
{
    char *member = (char *)to + f->offset;
    if (f->type == FIELD_TYPE_BOOL)
        *(bool *)(void *)member = f->def != 0;
    else if (f->type == FIELD_TYPE_NUMBER)
        *(int64_t *)(void *)member = f->def;
    else if (f->type == FIELD_TYPE_TEXT)
        *(const char **)(void *)member = f->text;
    else if (f->type == FIELD_TYPE_NAME)
        *(int *)(void *)member = (int)f->def;
    else if (f->type == FIELD_TYPE_NODE)
        *(const struct node **)(void *)member = NULL;
}

static void set_defaults(const struct field *fields, void *to)
{
    for (const struct field *f = fields; f->key; f++) {
        if (f->type == FIELD_TYPE_OBJECT)
            set_defaults(f->fields, to);
        else
            set_default(f, to);
    }
}

static void set_number(struct report *r, const struct node *at, const struct field *f,
                       int64_t *member)
{
    char wanted[WANTED_MAX];
    snprintf(wanted, sizeof wanted, "a whole number %" PRId64 "..%" PRId64, f->min, f->max);
    if (at->type != NODE_INTEGER || at->integer < f->min || at->integer > f->max)
        report_wrong(r, at, wanted);
    else
        *member = at->integer;
}

static void set_name(struct report *r, const struct node *at, const struct field *f, int *member)
{
    char known[160];
    list_names(f->names, known, sizeof known);
    if (at->type != NODE_TEXT) {
        report_wrong(r, at, "text");
        return;
    }
    const struct field_name *name = field_name_find(f->names, at->text);
    if (name && name->value != NAME_LATER)
        *member = name->value;
    else if (name)
        report_error(r, at, "v2c has no %s \"%s\" yet", f->key, name->text);
    else if (f->lenient)
        report_warn(r, at, "want one of %s, got \"%.64s\": the default is used", known, at->text);
    else
        report_error(r, at, "want one of %s, got \"%.64s\"", known, at->text);
}

static void check_later(struct report *r, const struct node *at, const struct field *f)
{
    bool off = f->text && at->type == NODE_TEXT && strcasecmp(at->text, f->text) == 0;
    if (!off && !node_is_empty(at))
        report_error(r, at, "v2c has no %s yet", f->what ? f->what : f->key);
}

static void set_members(struct report *r, const struct node *at, const struct field *fields,
                        void *to);

static void set_member(struct report *r, const struct node *at, const struct field *f, void *to)
{
    char *member = (char *)to + f->offset;
    switch (f->type) {
    case FIELD_TYPE_BOOL:
        if (at->type == NODE_BOOL)
            *(bool *)(void *)member = at->truth;
        else
            report_wrong(r, at, "true or false");
        break;
    case FIELD_TYPE_NUMBER:
        set_number(r, at, f, (int64_t *)(void *)member);
        break;
    case FIELD_TYPE_TEXT:
        if (at->type == NODE_TEXT)
            *(const char **)(void *)member = at->text;
        else
            report_wrong(r, at, "text");
        break;
    case FIELD_TYPE_NAME:
        set_name(r, at, f, (int *)(void *)member);
        break;
    case FIELD_TYPE_NODE:
        *(const struct node **)(void *)member = at;
        break;
    case FIELD_TYPE_OBJECT:
        set_members(r, at, f->fields, to);
        break;
    case FIELD_TYPE_LATER:
        check_later(r, at, f);
        break;
    case FIELD_TYPE_IGNORED:
        break;
    }
}

static const struct field *find_field(const struct field *fields, const char *key)
{
    for (const struct field *f = fields; f->key; f++)
        if (strcasecmp(f->key, key) == 0)
            return f;
    return NULL;
}

static void warn_unknown(struct report *r, const struct node *at, const struct field *fields)
{
    const char *nearest = NULL;
    unsigned best = NEAREST_FAR;
    if (field_is_comment(at->key))
        return;
    for (const struct field *f = fields; f->key && !report_full(r); f++)
        if (nearest_better(at->key, f->key, &best))
            nearest = f->key;
    if (nearest)
        report_warn_key(r, at, "unknown key, it is ignored; did you mean \"%s\"?", nearest);
    else
        report_warn_key(r, at, "unknown key, it is ignored");
}

static void set_members(struct report *r, const struct node *at, const struct field *fields,
                        void *to)
{
    const struct node *found[FIELDS_MAX] = {0};
    if (at->type != NODE_OBJECT) {
        report_wrong(r, at, "an object");
        return;
    }
    for (const struct node *n = at->first; n; n = n->next) {
        const struct field *f = find_field(fields, n->key);
        if (!f) {
            warn_unknown(r, n, fields);
            continue;
        }
        if (found[f - fields])
            report_warn_key(r, n, "duplicate key: the last one counts");
        found[f - fields] = n;
    }
    for (const struct field *f = fields; f->key; f++) {
        const struct node *n = found[f - fields];
        if (n && n->type != NODE_NULL)
            set_member(r, n, f, to);
    }
}

bool fields_read(struct report *r, const struct node *at, const struct field *fields, void *to)
{
    set_defaults(fields, to);
    if (!at || at->type == NODE_NULL)
        return true;
    set_members(r, at, fields, to);
    return at->type == NODE_OBJECT;
}
