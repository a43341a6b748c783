#include "conf/compile.h"
#include "conf/memory.h"

enum {
    WORKERS_DEFAULT = 1,
    WORKERS_MAX = 64,
    MEMORY_MAX = 1024 * 1024, /* MiB */
    DRAIN_DEFAULT = 20,       /* seconds */
    DRAIN_MAX = 3600,
};

void process_conf_build(struct build *b, const struct root *root)
{
    struct config *c = b->config;
    int64_t workers = 0, memory = 0, drain = DRAIN_DEFAULT;
    value_integer(b->report, root->workers, 0, WORKERS_MAX, &workers);
    value_integer(b->report, root->memory, 1, MEMORY_MAX, &memory);
    value_integer(b->report, root->drain, 0, DRAIN_MAX, &drain);
    c->workers = workers ? (unsigned)workers : WORKERS_DEFAULT;
    c->memory = memory ? (size_t)memory * 1024 * 1024 : memory_default();
    c->drain = (double)drain;
}
