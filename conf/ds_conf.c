#include <string.h>

#include "conf/compile.h"

struct ds_keys {
    const char *path;
    bool abstract, padding;
};

const struct field ds_fields[] = {
    FIELD_TEXT("path", struct ds_keys, path, ""),
    FIELD_BOOL("abstract", struct ds_keys, abstract, false),
    FIELD_BOOL("padding", struct ds_keys, padding, false),
    FIELD_END,
};

/* owner: the object without dsSettings, for messages. */
const struct addr *ds_conf_build(struct build *b, const struct node *at, const struct node *owner)
{
    struct ds_keys keys;
    struct addr a;
    struct err e;
    memset(&a, 0, sizeof a);
    fields_read(b->report, at, ds_fields, &keys);
    if (!*keys.path) {
        report_error(b->report, at ? node_member(at, "path") : owner,
                     "empty domain socket path: set dsSettings.path");
        return NULL;
    }
    const char *name = keys.path + (keys.abstract && *keys.path == '@');
    const char *mark = !keys.abstract ? "" : keys.padding ? "@@" : "@";
    const char *text = arena_printf(b->scratch, "%s%s", mark, name);
    if (!text)
        return NULL;
    if (addr_parse_unix(&a, text, &e) < 0)
        report_error(b->report, node_member(at, "path"), "%s, got \"%.64s\"", e.text, text);
    return build_keep(b, &a, sizeof a);
}
