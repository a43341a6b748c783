#include "proxy/login.h"

#include <sodium.h>

const struct login_server *login_pick(const struct login_servers *servers, size_t *next,
                                      const struct login **login)
{
    const struct login_server *s = &servers->items[(*next)++ % servers->count];
    *login = s->login_count ? &s->logins[randombytes_uniform((uint32_t)s->login_count)] : NULL;
    return s;
}
