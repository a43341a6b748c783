#include "cluster/redis_command.h"

#include <sodium.h>
#include <stdlib.h>

struct redis_command *redis_command_new(int count, const char *const *words, const size_t *lens)
{
    struct redis_command *c = calloc(1, sizeof *c);
    long long len = c ? redisFormatCommandArgv(&c->bytes, count, (const char **)words, lens) : -1;
    if (len > 0) {
        c->len = (size_t)len;
        return c;
    }
    free(c);
    return NULL;
}

void redis_command_free(struct redis_command *c)
{
    sodium_memzero(c->bytes, c->len); /* it may hold a password */
    redisFreeCommand(c->bytes);
    free(c);
}

void redis_command_tell(struct redis_command *c, const redisReply *r)
{
    redis_told *told = c->told;
    c->told = NULL;
    if (told)
        told(c->owner, r);
}

void redis_commands_free(struct list *l)
{
    struct list_item *i;
    while ((i = list_first(l))) {
        list_remove(i);
        redis_command_free(container_of(i, struct redis_command, item));
    }
}

void redis_commands_forget(struct list *l, const void *owner)
{
    for (struct list_item *i = list_first(l); i; i = list_next(l, i)) {
        struct redis_command *c = container_of(i, struct redis_command, item);
        if (c->owner == owner)
            c->told = NULL;
    }
}
