#include "conf/compile.h"

struct log_keys {
    int level;
    const char *error, *access;
};

static const struct field_name level_names[] = {
    {"debug", LOG_DEBUG}, {"info", LOG_INFO}, {"warning", LOG_WARNING},
    {"error", LOG_ERROR}, {"none", LOG_NONE}, {NULL, 0},
};

const struct field log_fields[] = {
    FIELD_NAME_LENIENT("loglevel", struct log_keys, level, level_names, LOG_WARNING),
    FIELD_TEXT("error", struct log_keys, error, ""),
    FIELD_TEXT("access", struct log_keys, access, ""),
    FIELD_LATER("dnsLog"),
    FIELD_LATER("maskAddress"),
    FIELD_END,
};

/* Without a log object there is no access log; with one it goes to the console. */
void log_conf_build(struct build *b, const struct node *at)
{
    struct log_keys keys;
    fields_read(b->report, at, log_fields, &keys);
    bool access = at && keys.level != LOG_NONE;
    b->config->log = (struct log_conf){
        .level = (enum log_level)keys.level,
        .error = build_text(b, keys.error),
        .access = build_text(b, access ? keys.access : "none"),
    };
}
