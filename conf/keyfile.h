/* conf/keyfile.h -- the users of a portal and their secrets, one a line:
 *   27848739-7e62-4138-9fd3-098a63964b6b home tunnel=web,team-* host=www.example.org
 * Without "tunnel=" a user may be every tunnel; without "host=" he has only the hostnames that portals give by themselves.
 * Empty lines, and what follows a "#" at the start of a line, mean nothing.
 * Thread: one. Ownership: keyfile_free(), which wipes it. Nobody but the file's owner may read it. */
#ifndef V2C_CONF_KEYFILE_H
#define V2C_CONF_KEYFILE_H

#include "conf/source.h"

enum { KEY_ID = 36 /* bytes of an id as text */, KEY_NAME_MAX = 64 };

struct key_user {
    const char *id, *name;
    const char *tunnels, *hosts; /* divided by commas; NULL: not said */
};

struct keyfile {
    struct source *source;
    struct key_user *users; /* at least one */
    size_t count;
};

/* -1 and e, with the line. */
int keyfile_read(struct keyfile *k, const char *path, struct err *e);
/* One user without a file, whose id this text is; it outlives k. */
int keyfile_of(struct keyfile *k, const char *id, struct err *e);
void keyfile_free(struct keyfile *k);
/* NULL: nobody has this name. name NULL: the first. */
const struct key_user *keyfile_user(const struct keyfile *k, const char *name);
/* Adds a user with a fresh id, and makes the file if there is none. u->id is not looked at. */
int keyfile_add(const char *path, const struct key_user *u, struct err *e);
/* A random id, version 4 of RFC 4122. */
void key_id_new(char id[KEY_ID + 1]);
bool key_is_id(const char *text);

#endif
