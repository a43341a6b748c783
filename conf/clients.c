#include "conf/clients.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/compile.h"

ptrdiff_t clients_find(const struct vmess_in_conf *now, const char *email)
{
    for (size_t i = 0; *email && i < now->count; i++)
        if (strcasecmp(now->users[i].user->email, email) == 0)
            return (ptrdiff_t)i;
    return -1;
}

static struct vmess_in_conf *clients_new(const struct vmess_in_conf *now, size_t count)
{
    struct vmess_in_conf *c = malloc(sizeof *c);
    if (!c)
        return NULL;
    *c = *now;
    c->count = count;
    c->users = calloc(count + 1, sizeof *c->users);
    if (c->users)
        return c;
    free(c);
    return NULL;
}

struct vmess_in_conf *clients_with(const struct vmess_in_conf *now, const struct vmess_user *added)
{
    struct vmess_in_conf *c = clients_new(now, now->count + 1);
    if (!c)
        return NULL;
    memcpy(c->users, now->users, now->count * sizeof *c->users);
    c->users[now->count] = *added;
    return c;
}

struct vmess_in_conf *clients_without(const struct vmess_in_conf *now, size_t removed)
{
    struct vmess_in_conf *c = clients_new(now, now->count - 1);
    if (!c)
        return NULL;
    memcpy(c->users, now->users, removed * sizeof *c->users);
    memcpy(c->users + removed, now->users + removed + 1,
           (now->count - removed - 1) * sizeof *c->users);
    return c;
}

void clients_free(struct vmess_in_conf *c)
{
    if (!c)
        return;
    sodium_memzero(c->users, c->count * sizeof *c->users);
    free(c->users);
    free(c);
}

/* Levels, and what is counted, may have changed. */
int clients_carry(struct config *to, struct inbound_conf *in, const struct inbound_conf *from)
{
    struct report report;
    if (!from->changed)
        return 0;
    struct build b = {.config = to, .report = &report, .scratch = arena_new(), .stats = to->counts};
    report_init(&report, false);
    in->changed = b.scratch ? clients_new(&in->vmess, from->changed->count) : NULL;
    for (size_t i = 0; in->changed && i < in->changed->count; i++) {
        in->changed->users[i] = from->changed->users[i];
        vmess_client_renew(&b, &in->changed->users[i]);
    }
    bool failed = !in->changed || b.scratch->failed || keep_failed(to->keep) || report.errors > 0;
    report_fini(&report);
    if (b.scratch)
        arena_free(b.scratch);
    return failed ? -1 : 0;
}
