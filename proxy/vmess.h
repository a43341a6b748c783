/* proxy/vmess.h -- VMess with the AEAD header: what conf fills in, and the codecs of both sides.
 * Thread: the conf structs are immutable; a codec belongs to one connection's loop.
 * Wire: V2Ray 4.34's; written down in docs/vmess.md. */
#ifndef V2C_PROXY_VMESS_H
#define V2C_PROXY_VMESS_H

#include <stddef.h>

#include "core/addr.h"
#include "core/user.h"
#include "proxy/codec.h"

enum vmess_security {
    VMESS_LEGACY = 1, /* AES-128-CFB; read from peers, never offered */
    VMESS_AUTO = 2,   /* config only: gcm where the CPU has AES, else chacha */
    VMESS_GCM = 3,
    VMESS_CHACHA = 4,
    VMESS_NONE = 5,
};

struct vmess_user {
    const struct user *user; /* outlives its flows */
    uint8_t id[16];
    uint8_t cmd_key[16];          /* derived by vmess_user_init() */
    uint8_t auth_key[16];         /* AES key of the auth id, likewise */
    enum vmess_security security; /* of an outbound's user */
};

/* Fills the derived keys from id. */
int vmess_user_init(struct vmess_user *u, struct err *e);
/* 32 hex digits, dashes optional before each group of 8-4-4-4-12, any case. What follows 36 characters'
 * worth of it is an error here (V2Ray ignores it). Text of 1..30 bytes is Xray's mapped id. */
int vmess_parse_id(uint8_t id[16], const char *text, struct err *e);

struct vmess_in_conf {
    struct vmess_user *users;
    size_t count;
    bool refuse_insecure; /* disableInsecureEncryption: no "none", no legacy */
};

struct vmess_server_conf {
    struct addr addr;
    struct vmess_user *users;
    size_t count;
};

struct vmess_out_conf {
    struct vmess_server_conf *servers;
    size_t count;
};

/* What the connections of one inbound and loop share: cached key schedules, and a share of the guard, which
 * all loops have in common. now() is wall-clock seconds, given so that tests can set it. */
struct vmess_server;
struct vmess_guard;
struct vmess_table;
struct vmess_server *vmess_server_new(const struct vmess_in_conf *conf, struct vmess_guard *guard,
                                      int64_t (*now)(void));
/* The same clients in another configuration, in the same order: the former one may go. */
void vmess_server_adopt(struct vmess_server *s, const struct vmess_in_conf *conf);
/* Other clients: see vmess_table_follow(). Takes the table. Who is just greeting goes on. */
void vmess_server_follow(struct vmess_server *s, const struct vmess_in_conf *conf,
                         struct vmess_table *table, ptrdiff_t removed);
void vmess_server_free(struct vmess_server *s);

/* NULL: out of memory. */
struct codec *vmess_accept_new(struct vmess_server *s);
/* The last failure of accept was a replay. For the counter. */
bool vmess_was_replay(const struct codec *c);
struct codec *vmess_request_new(const struct vmess_user *u, enum net net, const struct addr *target,
                                int64_t now);

#endif
