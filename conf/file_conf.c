#include <string.h>
#include <sys/stat.h>

#include "conf/compile.h"

struct file_keys {
    const char *root;
    bool listing;
};

const struct field file_fields[] = {
    FIELD_TEXT("root", struct file_keys, root, ""),
    FIELD_BOOL("listing", struct file_keys, listing, false),
    FIELD_END,
};

/* It may be there later. */
static void root_check(struct build *b, const struct node *at, const char *root)
{
    struct stat st;
    if (stat(root, &st) < 0)
        report_warn(
            b->report, at,
            "want the folder to serve, got %.200s: %s: every answer is 503 until it is there", root,
            strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        report_error(b->report, at, "want the folder to serve, got %.200s, which is no folder",
                     root);
}

void file_conf_build(struct build *b, const struct node *at, const struct node *owner,
                     struct outbound_conf *out)
{
    struct file_keys keys;
    bool read = fields_read(b->report, at, file_fields, &keys);
    if (!at)
        report_error(b->report, owner, "\"settings\" is missing: want {\"root\": \"FOLDER\"}");
    else if (read && !*keys.root)
        report_error(b->report, node_member(at, "root"),
                     "want the folder whose files are answered with");
    else if (read)
        root_check(b, node_member(at, "root"), keys.root);
    struct file_conf conf;
    memset(&conf, 0, sizeof conf);
    conf.root = build_text(b, keys.root);
    conf.listing = keys.listing;
    out->file = build_keep(b, &conf, sizeof conf);
}
