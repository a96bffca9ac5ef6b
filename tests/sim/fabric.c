// The model transport, verbs as the machines see them: between two nodes there are ordered
// queue pairs; a chain's operations run one by one at the target, at times drawn from the
// seed, and come back together. A dead target answers nothing until its death is noticed;
// fencing makes everything of the peer vanish. All nodes are members from the start.
#include <string.h>

#include "tests/sim/sim.h"

static shared64_t *word_at(struct sim_node *n, const struct chain_wr *wr, u32 k) {
    if (wr->region == REGION_OWNER) {
        if (wr->offset + k >= SIM_PLACES) sim_fail("owner word %lu out of range", wr->offset);
        return &n->desc[wr->offset + k].owner;
    }
    u64 i = wr->offset / 8 + k;
    if (wr->offset % 8 != 0 || i >= sizeof n->shard / 8) sim_fail("shard offset %lu", wr->offset);
    return (shared64_t *)(void *)&n->shard + i;
}

// Mostly a few microseconds, at times a lost packet's retransmission.
static u64 delay_ns(void) {
    u64 d = 500 + sim_random(8000);
    if (sim_random(20) == 0) d += sim_random(5 * NS_PER_MS);
    return d;
}

static u64 qp_time(u8 from, u8 to, u8 qp) {
    u64 *last = &sim.qp_last_ns[from][to][qp];
    u64 t = sim.now_ns + delay_ns();
    *last = t > *last ? t : *last + 1;
    return *last;
}

static bool fenced(u8 a, u8 b) {
    return (sim.node[a].down & BIT(b)) || (sim.node[b].down & BIT(a));
}

// What a node sent just before it died may still arrive.
static bool may_arrive(u8 from) {
    return sim.node[from].alive || sim.now_ns <= sim.node[from].last_packet_ns;
}

void fabric_post(u8 from, u8 qp, struct chain *c) {
    for (u32 i = 0; i < c->count; i++) {
        struct event ev = {.kind = EV_WR, .node = c->node, .from = from, .qp = qp, .a = i,
                           .chain = c};
        event_push(&ev, qp_time(from, c->node, qp));
    }
    struct event done = {.kind = EV_DONE, .node = from, .from = c->node, .qp = qp, .chain = c};
    event_push(&done, sim.qp_last_ns[from][c->node][qp] + 500 + sim_random(4000));
}

void fabric_send(u8 from, u8 to, const struct cluster_msg *m) {
    struct event ev = {.kind = EV_MSG, .node = to, .from = from};
    ev.len_bytes = cluster_msg_encode(m, ev.bytes, sizeof ev.bytes);
    if (ev.len_bytes == 0) sim_fail("message %d does not fit", m->type);
    event_push(&ev, qp_time(from, to, 0));
}

static void wr_read(struct sim_node *n, struct chain_wr *wr) {
    if (wr->region == REGION_DESC) {
        if (wr->offset >= SIM_PLACES) sim_fail("descriptor %lu", wr->offset);
        memcpy(wr->buf, &n->desc[wr->offset], wr->len_bytes);
    } else if (wr->region == REGION_FRAME) {
        memcpy(wr->buf, frame_at(n, wr->offset), wr->len_bytes);
    } else {
        for (u32 k = 0; k < wr->len_bytes / 8; k++)
            ((u64 *)wr->buf)[k] = words_value(word_at(n, wr, k));
    }
}

static void wr_run(const struct event *ev) {
    struct sim_node *n = &sim.node[ev->node];
    struct chain_wr *wr = &ev->chain->wr[ev->a];
    if (wr->op == CHAIN_READ) {
        wr_read(n, wr);
    } else if (wr->op == CHAIN_WRITE_IMM) {
        if (wr->len_bytes != 0)
            memcpy((u8 *)&n->inbox[ev->from] + wr->offset, wr->buf, wr->len_bytes);
        model_imm(ev->node, ev->from, wr->imm);
    } else {
        wr->result = words_amo(n, word_at(n, wr, 0), wr->op == CHAIN_CAS, wr->compare,
                               wr->operand);
    }
}

// Hands back all chains of `self` to `peer` as dead, before the machines hear of it.
static void fence(u8 self, u8 peer) {
    sim.node[self].down |= BIT(peer);
    sim.node[self].up_ns[peer] = 0;
    struct chain *back[256];
    u32 count = 0;
    for (u32 i = 0; i < sim.event_count; i++) {
        struct event *ev = &sim.event[i];
        if (ev->kind != EV_DONE || ev->node != self || ev->from != peer) continue;
        if (count == ARRAY_COUNT(back)) sim_fail("too many chains to one node");
        back[count++] = ev->chain;
        ev->kind = EV_NONE;
    }
    for (u32 i = 0; i < count; i++) {
        back[i]->status = E_HOSTUNREACH;
        for (u32 k = 0; k < sim.event_count; k++)
            if (sim.event[k].kind == EV_WR && sim.event[k].chain == back[i])
                sim.event[k].kind = EV_NONE;
        model_posted(self, back[i]);
    }
    cluster_node_peer_down(sim.node[self].cn, peer);
}

static void wr_arrives(const struct event *ev) {
    if (!sim.node[ev->node].alive || !may_arrive(ev->from) || fenced(ev->node, ev->from))
        ev->chain->status = E_HOSTUNREACH;
    else if (ev->chain->status == S_OK)
        wr_run(ev);
}

// A dead peer is noticed only by fencing: until then the chain hangs.
static void chain_returns(const struct event *ev) {
    bool gone = !sim.node[ev->from].alive || fenced(ev->node, ev->from);
    if (!sim.node[ev->node].alive) return;
    if (gone && !(sim.node[ev->node].down & BIT(ev->from))) {
        struct event again = *ev;
        event_push(&again, sim.now_ns + NS_PER_MS);
        return;
    }
    if (gone) ev->chain->status = E_HOSTUNREACH;
    model_posted(ev->node, ev->chain);
}

static void message_arrives(const struct event *ev) {
    struct cluster_msg m;
    if (!sim.node[ev->node].alive || !may_arrive(ev->from) || fenced(ev->node, ev->from)) return;
    if (cluster_msg_decode(&m, ev->bytes, ev->len_bytes) != S_OK) sim_fail("bad message");
    sim_trace("node %u: message %d of node %u: image %u/%u epoch %x status %d", ev->node,
              (int)m.type, ev->from, m.image.node, m.image.index, m.image.epoch, m.status);
    cluster_node_rx_msg(sim.node[ev->node].cn, ev->from, &m);
}

// A node that died takes with it what it had in flight from then on; one that is fenced
// reaches nothing.
void fabric_event(const struct event *ev) {
    switch (ev->kind) {
    case EV_WR: wr_arrives(ev); return;
    case EV_DONE: chain_returns(ev); return;
    case EV_MSG: message_arrives(ev); return;
    case EV_DETECT:
        if (sim.node[ev->node].alive && !(sim.node[ev->node].down & BIT(ev->from)))
            fence(ev->node, ev->from);
        return;
    default: sim_fail("event %d is not the model's", ev->kind);
    }
}

void fabric_kill(u8 node) {
    struct sim_node *n = &sim.node[node];
    n->last_packet_ns = sim.now_ns + sim_random(10000);
    for (u8 k = 0; k < sim.nodes; k++) {
        struct event ev = {.kind = EV_DETECT, .node = k, .from = node};
        if (k != node) event_push(&ev, n->last_packet_ns + 1 + sim_random(50 * NS_PER_MS));
    }
}

static void rng_fill(void *ctx, void *to, size_t len_bytes) {
    (void)ctx;
    for (size_t i = 0; i < len_bytes; i++) ((u8 *)to)[i] = (u8)sim_random(256);
}
static const struct rng rng = {.fill = rng_fill};

void fabric_boot(u8 node, const struct cluster_host *host) {
    struct sim_node *n = &sim.node[node];
    const struct cluster_node_config config = {
        .self = node, .incarnation = 1, .shard = &n->shard, .owner_base = n->desc,
        .owner_stride = sizeof(struct sim_desc), .desc_count = SIM_PLACES,
        .desc_bytes = sizeof(struct sim_desc), .words = words_ops(), .rng = &rng, .host = *host,
    };
    n->cn = &n->model_cn;
    n->memory = (u8 *)n->model_memory;
    n->descs = (u8 *)n->desc;
    n->desc_stride = n->desc_bytes = sizeof(struct sim_desc);
    n->words = (shared64_t *)(void *)&n->shard;
    n->word_count = sizeof n->shard / 8;
    for (u32 i = 0; i < SIM_PLACES; i++) {
        u64 word = owner_word(OWNER_FREE, node, (u32)sim_random(1u << 24));
        memcpy(&n->desc[i].owner, &word, 8);   // boot, before any peer has a key
    }
    cluster_node_init(n->cn, &config);
    words_shadow(n);
    for (u8 peer = 0; peer < sim.nodes; peer++) {
        if (peer == node) continue;
        n->up_ns[peer] = 1;
        cluster_node_peer_up(n->cn, peer);
    }
}
