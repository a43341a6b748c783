#include "testing/redis_rig.h"

#include <stdio.h>
#include <string.h>

void redis_hear(struct rig *r, int fd, const char *words)
{
    char copy[512], body[1024], all[1100];
    size_t used = 0;
    int count = 0;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *save, *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save), count++)
        used += (size_t)snprintf(body + used, sizeof body - used, "$%zu\r\n%s\r\n", strlen(w), w);
    snprintf(all, sizeof all, "*%d\r\n%s", count, body);
    rig_hear(r, fd, all);
}

void redis_greet(struct rig *r, int fd, char run_id)
{
    char info[128] = "$49\r\nrun_id:", *at = info + strlen(info);
    memset(at, run_id, 40);
    memcpy(at + 40, "\r\n\r\n", 5);
    redis_hear(r, fd, "ROLE");
    redis_hear(r, fd, "INFO server");
    redis_hear(r, fd, "PING");
    rig_say(r, fd, "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
    rig_say(r, fd, info);
    rig_say(r, fd, "+PONG\r\n");
}

void redis_greet_node(struct rig *r, int fd)
{
    redis_hear(r, fd, "PING");
    rig_say(r, fd, "+PONG\r\n");
}

void redis_note(void *owner, const redisReply *r)
{
    struct redis_got *g = owner;
    g->calls++;
    g->nones += !r;
    g->type = r ? r->type : 0;
    snprintf(g->text, sizeof g->text, "%s", r && r->str ? r->str : "");
}
