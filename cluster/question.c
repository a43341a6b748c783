#include "cluster/question.h"

#include <string.h>

bool question_same(const struct question_of *a, const struct question_of *b)
{
    if (a->kind != b->kind || a->portal != b->portal)
        return false;
    if (a->kind != ASK_TUNNEL && strcmp(a->host, b->host) != 0)
        return false;
    return a->kind == ASK_HOST || tunnel_name_equal(&a->tunnel, &b->tunnel);
}
