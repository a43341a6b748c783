/* conf/control_users.c -- the clients of a vmess inbound: listed, added and removed while it runs. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "conf/clients.h"
#include "conf/compile.h"
#include "conf/control.h"
#include "conf/process.h"
#include "core/log.h"
#include "proxy/vmess_auth.h"
#include "proxy/vmess_inbound.h"

/* The inbound that the path names. NULL: refused. */
static struct inbound_conf *inbound_named(struct process *p, struct errand *e, size_t *index)
{
    struct config *c = p->generation->config;
    const char *tag = e->target.pieces[2];
    for (size_t i = 0; *tag && i < c->inbound_count; i++) {
        if (strcmp(c->inbounds[i].tag, tag) != 0)
            continue;
        *index = i;
        if (c->inbounds[i].kind == IN_VMESS)
            return &c->inbounds[i];
        control_refuse(e, 409, "this inbound is no vmess inbound: it has no such users");
        return NULL;
    }
    control_refuse(e, 404, "there is no inbound with this tag");
    return NULL;
}

/* No ids. */
void control_users(struct process *p, struct errand *e)
{
    size_t index;
    const struct inbound_conf *in = inbound_named(p, e, &index);
    if (!in)
        return;
    const struct vmess_in_conf *now = clients_of(in);
    page_text(&e->page, "{");
    page_member(&e->page, "users");
    page_text(&e->page, "[");
    for (size_t i = 0; i < now->count; i++) {
        page_item(&e->page);
        page_text(&e->page, "{");
        page_member_text(&e->page, "email", now->users[i].user->email);
        page_member_number(&e->page, "level", now->users[i].user->level);
        page_text(&e->page, "}");
    }
    page_text(&e->page, "]}\n");
}

/* --- a change: made ready here, which may fail, then on each loop, which cannot --- */

struct clients_change {
    size_t inbound;
    struct vmess_in_conf *to;
    struct vmess_table **tables; /* one for each worker, until it takes it */
    ptrdiff_t removed;           /* -1: none is, the last one is new */
};

static int change(struct worker *w, void *with)
{
    const struct clients_change *c = with;
    if (w->now.generation)
        vmess_inbound_follow(w->now.inbounds[c->inbound], c->to, c->tables[w->loop.index],
                             c->removed);
    else
        vmess_table_free(c->tables[w->loop.index]); /* it ends: nobody comes any more */
    return 0;
}

static bool make_tables(const struct process *p, struct clients_change *c)
{
    c->tables = calloc(p->made, sizeof(struct vmess_table *));
    for (unsigned i = 0; c->tables && i < p->made; i++) {
        c->tables[i] = vmess_table_next(c->to->users, c->to->count, c->removed < 0);
        if (c->tables[i])
            continue;
        while (i-- > 0)
            vmess_table_free(c->tables[i]);
        free(c->tables);
        c->tables = NULL;
    }
    return c->tables;
}

/* Takes c->to. False: refused. */
static bool change_all(struct process *p, struct errand *e, struct clients_change *c)
{
    struct inbound_conf *in = &p->generation->config->inbounds[c->inbound];
    if (!c->to || !make_tables(p, c)) {
        clients_free(c->to);
        control_refuse(e, 503, "out of memory");
        return false;
    }
    process_ask(p, change, c);
    free(c->tables);
    clients_free(in->changed); /* no loop has it any more */
    in->changed = c->to;
    return true;
}

/* --- adding --- */

static bool has_id(const struct vmess_in_conf *now, const uint8_t id[16])
{
    bool found = false;
    for (size_t i = 0; i < now->count; i++)
        found |= sodium_memcmp(now->users[i].id, id, 16) == 0;
    return found;
}

static bool read_user(struct process *p, struct errand *e, struct vmess_user *u)
{
    struct control_body body;
    control_body_open(&body, e);
    struct config *c = p->generation->config;
    struct build b = {
        .config = c, .report = &body.report, .scratch = body.arena, .stats = c->counts};
    if (body.at)
        vmess_client_build(&b, body.at, u);
    if (body.at && body.report.errors == 0 && (!u->user || !*u->user->email))
        report_error(&body.report, body.at, "want an \"email\", by which he can be removed");
    return control_body_close(&body, e);
}

void control_user_add(struct process *p, struct errand *e)
{
    struct clients_change c = {.removed = -1};
    struct vmess_user user = {0};
    const struct inbound_conf *in = inbound_named(p, e, &c.inbound);
    if (!in || !read_user(p, e, &user))
        return;
    if (clients_find(clients_of(in), user.user->email) >= 0) {
        control_refuse(e, 409, "a user with this email is there already");
    } else if (has_id(clients_of(in), user.id)) {
        control_refuse(e, 409, "another user has the same id: they could not be told apart");
    } else {
        c.to = clients_with(clients_of(in), &user);
        if (change_all(p, e, &c)) {
            log_warn("api: inbound \"%s\" has one user more", in->tag);
            control_say(e, "added", user.user->email);
        }
    }
    sodium_memzero(&user, sizeof user);
}

/* --- removing --- */

struct leaving {
    const char *inbound, *email;
};

static int end_flows(struct worker *w, void *with)
{
    const struct leaving *l = with;
    struct err why;
    err_set(&why, ECANCELED, "its user was removed");
    for (struct list_item *i = list_first(&w->loop.flows); i; i = list_next(&w->loop.flows, i)) {
        struct flow *f = container_of(i, struct flow, item);
        if (!f->twin && f->meta.user && strcmp(f->meta.user->email, l->email) == 0 &&
            f->meta.inbound_tag == l->inbound)
            flow_abort(f, &why);
    }
    return 0;
}

/* As in V2Ray, what he has open stays open, unless "end=true" asks otherwise. */
void control_user_remove(struct process *p, struct errand *e)
{
    struct clients_change c = {0};
    const struct inbound_conf *in = inbound_named(p, e, &c.inbound);
    const char *ends = api_option(&e->target, "end");
    if (!in)
        return;
    if (*ends && strcmp(ends, "true") != 0 && strcmp(ends, "false") != 0) {
        control_refuse(e, 422, "want end=true or end=false");
        return;
    }
    c.removed = clients_find(clients_of(in), e->target.pieces[4]);
    if (c.removed < 0) {
        control_refuse(e, 404, "this inbound has no user with this email");
        return;
    }
    struct leaving l = {in->tag, clients_of(in)->users[c.removed].user->email};
    c.to = clients_without(clients_of(in), (size_t)c.removed);
    if (!change_all(p, e, &c))
        return;
    if (strcmp(ends, "true") == 0)
        process_ask(p, end_flows, &l);
    log_warn("api: inbound \"%s\" has one user less", in->tag);
    control_say(e, "removed", l.email);
}
