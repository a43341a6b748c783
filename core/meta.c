#include "core/meta.h"

#include <string.h>

bool tenant_equal(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool tunnel_name_equal(const struct tunnel_name *a, const struct tunnel_name *b)
{
    return a->by == b->by && strcmp(a->text, b->text) == 0 && tenant_equal(a->tenant, b->tenant);
}
