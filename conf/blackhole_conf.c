#include "conf/compile.h"

struct blackhole_keys {
    const struct node *response;
};

struct response_keys {
    const struct node *type;
};

static const struct field_name response_names[] = {{"none", 0}, {"http", 1}, {NULL, 0}};

const struct field blackhole_response_fields[] = {
    FIELD_NODE("type", struct response_keys, type, "none|http"),
    FIELD_END,
};

const struct field blackhole_fields[] = {
    FIELD_NODE("response", struct blackhole_keys, response, "object"),
    FIELD_END,
};

void blackhole_conf_build(struct build *b, const struct node *at, struct outbound_conf *out)
{
    struct blackhole_keys keys;
    struct response_keys response;
    fields_read(b->report, at, blackhole_fields, &keys);
    if (!keys.response ||
        !fields_read(b->report, keys.response, blackhole_response_fields, &response))
        return;
    if (response.type)
        out->blackhole.http = value_name(b->report, response.type, response_names,
                                         "unknown config id", "response") == 1;
    else
        report_error(b->report, keys.response, "type not found in JSON context");
}
