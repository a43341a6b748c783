/* routing/geo.h -- reads geoip.dat and geosite.dat: lists of networks and of domain conditions by name.
 * Both are protocol buffers, message GeoIPList and GeoSiteList of V2Ray's app/router/config.proto:
 *   file: 1 list, repeated; list: 1 name, 2 entry, repeated
 *   network: 1 address (4 or 16 bytes), 2 prefix; domain: 1 kind, 2 text, 3 attribute (1 name), repeated
 * Fields may come in any order, and unknown ones are skipped.
 * Thread: one. Ownership: the directory is geo_dir_free()d; it holds names and places, no entries.
 * Errors: a file that is cut or no such file at all is an error; nothing is read outside it, and no more is
 * in memory than a window, the names, and what the wanted entries become. */
#ifndef V2C_ROUTING_GEO_H
#define V2C_ROUTING_GEO_H

#include <stdint.h>

#include "routing/cidr.h"
#include "routing/domain.h"

/* The bytes of a file. */
struct geo_bytes {
    /* All `len` bytes from `at`, which lie below `size`. False, and e, when they cannot be read. */
    bool (*read)(void *from, uint64_t at, void *to, size_t len, struct err *e);
    void *from;
    uint64_t size;
};

struct geo_dir;

struct geo_place {
    uint64_t at, len;
};

/* One walk over the file. NULL and e. */
struct geo_dir *geo_dir_new(const struct geo_bytes *file, struct err *e);
/* Whatever the case of the name; the first one of that name. */
bool geo_dir_find(const struct geo_dir *dir, const char *name, struct geo_place *place);
void geo_dir_free(struct geo_dir *dir);

/* Adds the networks of a list. */
int geo_read_ips(const struct geo_bytes *file, struct geo_place list, struct cidr_set *to,
                 struct err *e);
/* Adds the domain conditions of a list; with attributes ("ads@cn") only those that have all of them,
 * whatever the case. *count: how many. */
int geo_read_domains(const struct geo_bytes *file, struct geo_place list, const char *attributes,
                     struct domain_set *to, size_t *count, struct err *e);

#endif
