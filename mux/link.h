/* mux/link.h -- what two v2c peers tell each other, in KeepAlive frames that every V2Ray reads and drops:
 *   magic "v2c1", then items: type(1) length(2) value
 * Unknown items are skipped. Thread: any; pure. Format and meaning: docs/link.md. */
#ifndef V2C_MUX_LINK_H
#define V2C_MUX_LINK_H

#include "core/addr.h"
#include "core/cursor.h"

enum {
    LINK_MAX = 512, /* bytes of one message */
    LINK_VERSION = 2,
    LINK_NAME_MAX = 63,  /* bytes of a node's, cluster's or tenant's name */
    LINK_HOST_MAX = 253, /* bytes of a hostname */
    LINK_WHY_MAX = 120,  /* bytes of a reason */
    LINK_PLACES_MAX = 4, /* nodes that one answer names */
};

enum link_type {
    LINK_HELLO = 1,
    LINK_WINDOW = 2,
    LINK_BLOCKED = 3,
    LINK_OPENED = 4,
    LINK_REFUSED = 5,
    LINK_PING = 6,
    LINK_PONG = 7,
    LINK_GOAWAY = 8,
    LINK_NAMES = 9,
    LINK_HOST = 10,
    LINK_HOST_ANSWER = 11,
    LINK_WEIGHT = 12,
    LINK_WHY = 13,
    LINK_NODE = 14,
    LINK_ASK = 15,
    LINK_HAVE = 16,
    LINK_PLACE = 17,
};

enum link_feature {
    LINK_WINDOWS = 0x01,
    LINK_ANSWERS = 0x02,
    LINK_PINGS = 0x04,
    LINK_GOAWAYS = 0x08,
    LINK_ORIGIN = 0x10,
    LINK_NAMED = 0x20,
    LINK_NODES = 0x40,
    LINK_ROUTED = 0x80,
    LINK_FEATURES = 0x7f,        /* ours, between bridges and portals */
    LINK_CLIENT_FEATURES = 0x0f, /* ... to ordinary clients and from them */
    LINK_PEER_FEATURES = 0xdf,   /* ... between the portals of a cluster */
};

/* Why a stream was refused. */
enum link_refusal {
    REFUSED_TARGET = 1,  /* it refused, or did not answer */
    REFUSED_RULES = 2,   /* not allowed here */
    REFUSED_NO_ROOM = 3, /* another link may have some */
    REFUSED_GOING = 4,
    REFUSED_NOT_HERE = 5, /* this portal has no link of the tunnel; another may have one */
};

/* Why a link takes no more streams. */
enum link_going {
    GOING_WORN = 1,
    GOING_STOPS = 2,
    GOING_REFUSED = 3,
    GOING_MOVES = 4, /* another portal of the cluster has more room */
};

/* What became of a wish for a hostname. */
enum link_host_answer {
    HOST_GRANTED = 1,
    HOST_TAKEN = 2,       /* another tunnel has it */
    HOST_NOT_ALLOWED = 3, /* not to this user */
    HOST_INVALID = 4,     /* it is no hostname */
};

/* Points into the message that was read, or to what is written. */
struct link_text {
    const char *p; /* not ended by 0 */
    uint8_t len;
};

/* Who has dialled the link. The names are of a-z, 0-9, '.', '_' and '-'; an empty one is none. */
struct link_names {
    uint8_t weight; /* see LINK_WEIGHT_... */
    struct link_text node, cluster, tenant;
};

/* What a portal is among those of its cluster. */
struct link_node {
    uint8_t state;    /* enum link_node_state, or one we do not know */
    uint8_t version;  /* of what portals say to each other */
    uint64_t epoch;   /* which life of this name */
    uint16_t portals; /* of the cluster that are alive, with this one */
    uint8_t wanted;   /* links that a bridge should keep, each to another portal; 0: not said */
    uint32_t spread;  /* milliseconds over which bridges should come back */
    uint32_t links;   /* of bridges, that it has */
    struct link_text name; /* as link_names */
    struct link_text zone; /* the same; empty: none */
};

enum link_node_state { LINK_NODE_STARTS = 1, LINK_NODE_UP = 2, LINK_NODE_DRAINS = 3 };

/* A tunnel, as core/meta.h has it. */
struct link_tunnel {
    uint8_t by;                    /* enum tunnel_by, or one we do not know */
    struct link_text tenant, name; /* as link_names; empty: none */
};

/* What one portal asks another. */
struct link_question {
    uint64_t token; /* the answer has the same */
    uint8_t kind;   /* enum link_question_kind, or one we do not know */
    uint64_t portal;
    struct link_tunnel tunnel; /* LINK_ASK_TUNNEL, LINK_ASK_CLAIM */
    struct link_text host;     /* LINK_ASK_HOST, LINK_ASK_CLAIM */
};

enum link_question_kind { LINK_ASK_TUNNEL = 1, LINK_ASK_HOST = 2, LINK_ASK_CLAIM = 3 };

/* A life of a node, and how many links of the tunnel it has. */
struct link_place {
    uint64_t epoch;
    uint16_t links;
    struct link_text node;
};

struct link_answer {
    uint64_t token;
    bool known, is_private;
    uint64_t portal;
    struct link_tunnel holder; /* of the host that was asked for */
    uint8_t count;
    struct link_place at[LINK_PLACES_MAX]; /* of the tunnel that was asked for */
};

/* Where a stream goes that one portal of a cluster opens on another. */
struct link_route {
    uint64_t portal;
    uint64_t epoch; /* the life of the node that is meant; 0: any */
    bool by_claim;  /* the visitor came for a hostname, his target, which the tunnel must hold */
    struct link_tunnel tunnel;
};

/* How many streams a bridge wants, against others of the same tunnel. */
enum {
    LINK_WEIGHT_NONE = 0, /* none while any other takes some */
    LINK_WEIGHT_USUAL = 1,
    LINK_WEIGHT_ALL = 255, /* all, while it is there */
};

struct link_hello {
    uint8_t version;
    uint16_t datagram_max; /* the largest datagram that this side takes */
    uint16_t features;
    uint32_t window;       /* bytes of each TCP stream that may come without WINDOW */
    uint16_t streams;      /* that this side takes at once */
    uint8_t shard, shards; /* which worker has the link, from 1, of how many; 0: not said */
    uint64_t instance;     /* the same on all links of one bridge; 0: not said */
};

struct link_item {
    uint8_t type;    /* enum link_type */
    uint16_t stream; /* WINDOW, BLOCKED, OPENED, REFUSED */
    union {
        struct link_hello hello;
        uint32_t credit; /* WINDOW: bytes */
        uint64_t token;  /* PING, PONG */
        uint8_t refusal; /* REFUSED: enum link_refusal, or one we do not know */
        struct {
            uint8_t reason; /* enum link_going, or one we do not know */
            uint32_t wait;  /* milliseconds */
        } going;            /* GOAWAY */
        struct link_names names;
        struct {
            uint8_t answer; /* HOST_ANSWER: enum link_host_answer, or one we do not know */
            struct link_text name;
        } host;               /* HOST, HOST_ANSWER */
        uint8_t weight;       /* WEIGHT */
        struct link_text why; /* WHY: printable ASCII */
        struct link_node node;
        struct link_question ask;
        struct link_answer have;
        struct addr place; /* PLACE: where portals find the sender */
    };
};

/* A message begins with the magic; items follow. */
void link_write_magic(struct writer *w);
void link_write(struct writer *w, const struct link_item *i);

/* True: the message is ours; `in` then stands at its first item. */
bool link_read_magic(struct cursor *in);
/* Behind the addresses in a New's metadata. False: there is none; nothing was read. */
void link_write_route(struct writer *w, const struct link_route *r);
bool link_read_route(struct cursor *in, struct link_route *r);
/* The next item that we know. False: there is none. Never fails: what is not ours is ignored. */
bool link_read(struct cursor *in, struct link_item *i);

#endif
