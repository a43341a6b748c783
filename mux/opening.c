/* mux/opening.c -- from New to its answer. A client keeps what it sends until the server has said OPENED, so
 * that another link can be tried; a server says it, or REFUSED, once. Towards peers that give no answers a
 * stream counts as opened at once. */
#include "mux/session.h"

#include <stdlib.h>

enum {
    PATIENT = 8 * 1024, /* bytes of the client after which it may be waiting for the answer */
};

static const double DELAY = 0.01; /* seconds that an answer waits for data, which says the same */

static bool answers(const struct mux *m)
{
    return m->features & LINK_ANSWERS;
}

/* --- client --- */

static void opening_begin_client(struct mux_session *s)
{
    struct mux *m = s->mux;
    s->answered = !answers(m) || s->end.flow->packets;
    if (s->answered) {
        end_opened(&s->end);
        return;
    }
    list_append(&m->unanswered, &s->unanswered);
}

void opening_keep(struct mux_session *s, const struct buf *b)
{
    struct buf_pool *pool = &end_loop(&s->end)->bufs;
    if (!s->kept && !(s->kept = buf_new(pool))) {
        opening_answered(s); /* without memory it is this link or none */
        return;
    }
    buf_append(s->kept, b->data, b->len);
}

void opening_answered(struct mux_session *s)
{
    struct mux *m = s->mux;
    if (s->answered)
        return;
    s->answered = true;
    list_remove(&s->unanswered);
    if (s->kept) {
        session_count_sent(s, s->kept->len);
        buf_free(&end_loop(&s->end)->bufs, s->kept);
        s->kept = NULL;
    }
    end_opened(&s->end);
    if (m->ops->answered)
        m->ops->answered(m, 0);
    session_resume(s);
}

bool opening_give_back(struct mux_session *s, int refusal)
{
    struct mux *m = s->mux;
    if (!m->client || s->answered || !m->ops->unopened || end_failed(&s->end))
        return false;
    if (s->kept)
        end_untake(&s->end, s->kept);
    session_forget(s);
    s->end.flow->tries++;
    m->ops->unopened(m, &s->end, refusal);
    free(s);
    return true;
}

bool mux_give_back(struct mux *m, bool (*may_go)(void *with, const struct flow *f), void *with)
{
    for (struct list_item *i = list_first(&m->unanswered); i; i = list_next(&m->unanswered, i)) {
        struct mux_session *s = container_of(i, struct mux_session, unanswered);
        uint16_t id = s->id;
        if (s->end.flow->tries + 1 >= MUX_TRIES || (may_go && !may_go(with, s->end.flow)) ||
            !opening_give_back(s, 0))
            continue; /* the last link that is tried may take its time */
        mux_send(m, &(struct mux_frame){.id = id, .status = MUX_END, .option = MUX_ERROR}, NULL);
        return true;
    }
    return false;
}

/* --- server --- */

static void opening_say(struct mux_session *s)
{
    s->answered = true;
    list_remove(&s->unanswered);
    mux_note(s->mux, &(struct link_item){.type = LINK_OPENED, .stream = s->id});
}

static void on_answer(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct mux *m = w->data;
    struct list_item *i;
    while ((i = list_first(&m->unanswered)))
        opening_say(container_of(i, struct mux_session, unanswered));
}

static void opening_owe(struct mux_session *s)
{
    struct mux *m = s->mux;
    if (list_holds(&s->unanswered))
        return;
    list_append(&m->unanswered, &s->unanswered);
    if (ev_is_active(&m->answer))
        return;
    ev_timer_init(&m->answer, on_answer, DELAY, 0);
    m->answer.data = m;
    ev_timer_start(end_loop(&m->end)->ev, &m->answer);
}

void opening_check(struct mux_session *s)
{
    if (s->mux->client || s->answered || !end_is_opened(&s->end))
        return;
    if (end_has(&s->end))
        s->answered = true, list_remove(&s->unanswered);
    else if (end_total(&s->end) >= PATIENT)
        opening_say(s);
    else
        opening_owe(s);
}

static int refusal_of(int code)
{
    switch (code) {
    case EACCES:
    case EPERM:
        return REFUSED_RULES;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case EADDRNOTAVAIL: /* no local port is left */
    case ECANCELED:
        return REFUSED_NO_ROOM;
    case ENOLINK:
        return REFUSED_NOT_HERE;
    default:
        return REFUSED_TARGET;
    }
}

void mux_refuse(struct mux *m, uint16_t id, int refusal)
{
    if (answers(m))
        mux_note(m, &(struct link_item){
                        .type = LINK_REFUSED, .stream = id, .refusal = (uint8_t)refusal});
    else
        mux_send(m, &(struct mux_frame){.id = id, .status = MUX_END, .option = MUX_ERROR}, NULL);
}

void opening_refuse(struct mux_session *s, const struct err *why)
{
    if (s->mux->client || s->answered || end_is_opened(&s->end)) {
        session_close(s, why);
        return;
    }
    mux_refuse(s->mux, s->id, refusal_of(s->end.flow->why_code));
    session_end(s, why);
}

void opening_begin(struct mux_session *s)
{
    if (s->mux->client)
        opening_begin_client(s);
    else
        s->answered = !answers(s->mux) || s->end.flow->packets;
}
