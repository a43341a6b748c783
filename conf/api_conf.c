#include "conf/compile.h"

struct api_keys {
    const char *tag;
    const struct node *services;
};

/* The services are gRPC's; v2c answers HTTP, see proxy/api.h. */
const struct field api_fields[] = {
    FIELD_TEXT("tag", struct api_keys, tag, ""),
    FIELD_IGNORED("services"),
    FIELD_LATER_WHAT("listen", "api.listen"),
    FIELD_END,
};

void api_conf_build(struct build *b, const struct node *at, struct outbound_conf *out)
{
    struct api_keys keys;
    bool read = fields_read(b->report, at, api_fields, &keys);
    outbound_conf_init(b, at, keys.tag, out);
    out->kind = OUT_API;
    if (read && !*keys.tag)
        report_error(b->report, at, "API tag can't be empty.");
}
