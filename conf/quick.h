/* conf/quick.h -- one line instead of a configuration: "v2c portal --listen :8443 --entry :8000 --key FILE" and
 * "v2c bridge --to HOST:8443 --tunnel ID --key FILE 192.168.1.1:80". The flags become JSON, which goes the way of all
 * configurations; it is made again, and the key file read again, when the program reloads.
 * Thread: one. Ownership: texts are argv's; nothing to free. Must not be moved once it is read. */
#ifndef V2C_CONF_QUICK_H
#define V2C_CONF_QUICK_H

#include "conf/config.h"
#include "conf/keyfile.h"

enum { QUICK_ITEMS = 32 /* of one flag */ };

struct quick_list {
    const char *items[QUICK_ITEMS];
    size_t count;
};

struct quick {
    struct config_maker maker;
    bool is_bridge;
    bool show; /* print the JSON and do not run it */
    struct quick_list listen, entry, key, domain, route, cert, cert_key, api; /* of a portal */
    struct quick_list new_key;
    struct quick_list cluster_key, peers, redis, peer_listen, advertise, node;
    struct quick_list to, tunnel, host, user, pin, target; /* of a bridge */
};

enum quick_result {
    QUICK_RUN,   /* with the maker */
    QUICK_DONE,  /* it has done, and printed, what there was to do */
    QUICK_WRONG, /* and said so */
};

/* command: "portal" or "bridge". */
enum quick_result quick_read(struct quick *q, const char *command, int argc, char **argv);

/* The text of a whole configuration, to be wiped and freed. NULL and e. quick_json.c. */
char *quick_portal_json(const struct quick *q, const struct keyfile *k, struct err *e);
char *quick_bridge_json(const struct quick *q, const struct keyfile *k, struct err *e);

#endif
