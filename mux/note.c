/* mux/note.c -- link messages of a carrier: says them, hears them and tells whom they concern. */
#include "mux/session.h"

void mux_note(struct mux *m, const struct link_item *i)
{
    uint8_t message[LINK_MAX];
    struct writer w = wr_of(message, sizeof message);
    link_write_magic(&w);
    link_write(&w, i);
    mux_send(m,
             &(struct mux_frame){
                 .status = MUX_KEEPALIVE, .option = MUX_DATA, .data_len = (uint16_t)wr_len(&w)},
             message);
}

/* What was sent before it came counts: see docs/link.md, Windows. */
static void hear_hello(struct mux *m, const struct link_hello *h)
{
    if (m->is_v2c)
        return;
    m->is_v2c = true;
    m->hello = *h;
    if (!m->said_hello)
        mux_start(m);
    m->features = h->features & m->offers;
    if (h->datagram_max > m->datagram_max)
        m->datagram_max = h->datagram_max < BUF_DATA ? h->datagram_max : BUF_DATA;
    for (struct mux_session *s = session_next(m, 0); s; s = session_next(m, s->id + 1u)) {
        if (session_has_windows(s))
            credit_begin(&s->credit, h->window);
        session_resume(s); /* it may have had an end to say that only v2c understands */
    }
    if (m->ops->met)
        m->ops->met(m);
}

static void hear_window(struct mux_session *s, uint32_t credit)
{
    credit_add(&s->credit, credit);
    session_resume(s);
}

static void hear_refused(struct mux *m, struct mux_session *s, int refusal)
{
    struct err why;
    bool elsewhere =
        refusal == REFUSED_NO_ROOM || refusal == REFUSED_GOING || refusal == REFUSED_NOT_HERE;
    if (!m->client || (elsewhere && opening_give_back(s, refusal)))
        return;
    if (m->ops->answered)
        m->ops->answered(m, refusal ? refusal : REFUSED_TARGET);
    err_set(&why, refusal == REFUSED_RULES ? EACCES : ECONNREFUSED, "%s",
            refusal == REFUSED_RULES ? "the bridge's rules forbid the target"
            : elsewhere              ? "the bridge has no room"
                                     : "the target refused the connection or did not answer");
    session_end(s, &why);
}

static void hear_of_stream(struct mux *m, struct mux_session *s, const struct link_item *i)
{
    switch (i->type) {
    case LINK_WINDOW:
        hear_window(s, i->credit);
        break;
    case LINK_BLOCKED:
        s->window.wanted = true;
        break;
    case LINK_OPENED:
        if (m->client)
            opening_answered(s);
        break;
    case LINK_REFUSED:
        hear_refused(m, s, i->refusal);
    }
}

/* Once: each name costs the other side memory, and who wants another one may dial another link. */
static void hear_names(struct mux *m, const struct link_names *names)
{
    bool first = !m->named;
    m->named = true;
    if (first && m->ops->named)
        m->ops->named(m, names);
}

/* Only where both sides have said that they know of names: an ordinary client has none. */
static void hear_of_names(struct mux *m, const struct link_item *i)
{
    const struct mux_ops *ops = m->ops;
    if (!(m->features & LINK_NAMED))
        return;
    if (i->type == LINK_NAMES)
        hear_names(m, &i->names);
    else if (i->type == LINK_HOST && ops->host_wanted)
        ops->host_wanted(m, i->host.name);
    else if (i->type == LINK_HOST_ANSWER && ops->host_answered)
        ops->host_answered(m, i->host.name, i->host.answer);
    else if (i->type == LINK_WEIGHT && ops->weighed)
        ops->weighed(m, i->weight);
    else if (i->type == LINK_WHY && ops->told_why)
        ops->told_why(m, i->why);
}

/* Only from who may say so, on a link where both sides have said that they know of it. */
static void hear_of_nodes(struct mux *m, const struct link_item *i)
{
    const struct mux_ops *ops = m->ops;
    if (i->type == LINK_NODE && m->features & LINK_NODES && ops->node_told)
        ops->node_told(m, &i->node);
    else if (i->type == LINK_ASK && m->features & LINK_ROUTED && ops->asked)
        ops->asked(m, &i->ask);
    else if (i->type == LINK_HAVE && m->features & LINK_ROUTED && ops->answer_told)
        ops->answer_told(m, &i->have);
    else if (i->type == LINK_PLACE && m->features & LINK_ROUTED && ops->place_told)
        ops->place_told(m, &i->place);
}

static void hear_item(struct mux *m, const struct link_item *i)
{
    switch (i->type) {
    case LINK_HELLO:
        hear_hello(m, &i->hello);
        break;
    case LINK_PING:
        mux_note(m, &(struct link_item){.type = LINK_PONG, .token = i->token});
        break;
    case LINK_PONG:
        liveness_pong(m, i->token);
        break;
    case LINK_GOAWAY:
        mux_drain_streams(m);
        if (m->ops->going)
            m->ops->going(m, i->going.reason, i->going.wait);
        break;
    case LINK_NAMES:
    case LINK_HOST:
    case LINK_HOST_ANSWER:
    case LINK_WEIGHT:
    case LINK_WHY:
        hear_of_names(m, i);
        break;
    case LINK_NODE:
    case LINK_ASK:
    case LINK_HAVE:
    case LINK_PLACE:
        hear_of_nodes(m, i);
        break;
    default: {
        struct mux_session *s = session_find(m, i->stream);
        if (s)
            hear_of_stream(m, s, i);
    }
    }
}

void mux_hear(struct mux *m, struct cursor message)
{
    struct link_item i;
    if (!link_read_magic(&message))
        return;
    while (link_read(&message, &i))
        if (m->is_v2c || i.type == LINK_HELLO)
            hear_item(m, &i);
}

bool mux_say_going(struct mux *m, enum link_going reason, uint32_t wait)
{
    if (!(m->features & LINK_GOAWAYS))
        return false;
    mux_note(m, &(struct link_item){.type = LINK_GOAWAY,
                                    .going = {.reason = (uint8_t)reason, .wait = wait}});
    return true;
}

/* Behind our HELLO these may go out before the peer's has come: who does not know them passes over them. */
static bool say_to_who_knows(struct mux *m, uint16_t feature, const struct link_item *i)
{
    if (!(m->offers & feature) || !(m->is_v2c ? m->features & feature : m->said_hello))
        return false;
    mux_note(m, i);
    return true;
}

static bool say_of_names(struct mux *m, const struct link_item *i)
{
    return say_to_who_knows(m, LINK_NAMED, i);
}

bool mux_say_names(struct mux *m, const struct link_names *names)
{
    return say_of_names(m, &(struct link_item){.type = LINK_NAMES, .names = *names});
}

bool mux_say_host(struct mux *m, struct link_text name)
{
    return say_of_names(m, &(struct link_item){.type = LINK_HOST, .host = {.name = name}});
}

bool mux_say_host_answer(struct mux *m, struct link_text name, enum link_host_answer answer)
{
    return say_of_names(m, &(struct link_item){.type = LINK_HOST_ANSWER,
                                               .host = {.answer = (uint8_t)answer, .name = name}});
}

bool mux_say_weight(struct mux *m, uint8_t weight)
{
    return say_of_names(m, &(struct link_item){.type = LINK_WEIGHT, .weight = weight});
}

bool mux_say_why(struct mux *m, struct link_text why)
{
    return say_of_names(m, &(struct link_item){.type = LINK_WHY, .why = why});
}

bool mux_say_node(struct mux *m, const struct link_node *n)
{
    return say_to_who_knows(m, LINK_NODES, &(struct link_item){.type = LINK_NODE, .node = *n});
}

bool mux_say_question(struct mux *m, const struct link_question *q)
{
    return say_to_who_knows(m, LINK_ROUTED, &(struct link_item){.type = LINK_ASK, .ask = *q});
}

bool mux_say_answer(struct mux *m, const struct link_answer *a)
{
    return say_to_who_knows(m, LINK_ROUTED, &(struct link_item){.type = LINK_HAVE, .have = *a});
}

bool mux_say_place(struct mux *m, const struct addr *place)
{
    return say_to_who_knows(m, LINK_ROUTED,
                            &(struct link_item){.type = LINK_PLACE, .place = *place});
}
