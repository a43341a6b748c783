/* proxy/dokodemo.h -- the inbound that sends every visitor to one configured target, TCP and UDP. */
#ifndef V2C_PROXY_DOKODEMO_H
#define V2C_PROXY_DOKODEMO_H

#include "core/addr.h"
#include "core/inbound.h"
#include "core/meta.h"
#include "core/policy.h"
#include "core/user.h"
#include "proxy/accept.h"

struct dokodemo_conf {
    struct addr
        target;        /* port 0 is sent as it is, like V2Ray does; ADDR_NONE only with `follows` */
    bool follows;      /* to where visitors wanted to go before the kernel redirected them */
    unsigned networks; /* mask of enum net */
    struct tunnel_name tunnel; /* for a portal that has many; unnamed: none */
};

/* Not listening yet: accept_listen(accept_of(..)) for TCP and dokodemo_listen_udp() follow for each of its
 * ports. NULL: out of memory. conf is not kept; all other pointers outlive it and its flows. */
struct inbound *dokodemo_new(struct loop *l, struct dispatcher *d, const char *tag,
                             const struct dokodemo_conf *conf, size_t ports,
                             const struct policy *policy, const struct traffic *traffic);
/* Takes fd, a bound socket. */
void dokodemo_listen_udp(struct inbound *in, size_t i, int fd);
/* The socket and the sources that another one serves on the same port; they keep their target. */
void dokodemo_inherit_udp(struct inbound *in, size_t i, struct inbound *from, size_t from_i);
/* The settings of another configuration that says the same. */
void dokodemo_adopt(struct inbound *in, const struct policy *policy, const struct traffic *traffic);

#endif
