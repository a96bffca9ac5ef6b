// Verbs as the machines see them: between two nodes there are ordered queue pairs; a
// chain's operations run one by one at the target, at times drawn from the seed, and
// come back together. A dead target answers nothing until its death is noticed; fencing
// makes everything of the peer vanish. Atomics of shared words are done here, by the
// "card"; a store by anybody else is found by the shadow copy.
#include "tests/sim/sim.h"

#include <string.h>

struct sim sim;

u64 sim_random(u64 below) {   // splitmix64
    u64 z = (sim.rng_state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    z ^= z >> 31;
    return below == 0 ? z : z % below;
}

static bool before(const struct event *a, const struct event *b) {
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->seq < b->seq;
}

void event_push(struct event *ev, u64 at_ns) {
    if (sim.event_count == SIM_EVENTS) sim_fail("too many events under way");
    ev->at_ns = at_ns;
    ev->seq = sim.seq++;
    u32 i = sim.event_count++;
    while (i > 0 && before(ev, &sim.event[(i - 1) / 2])) {
        sim.event[i] = sim.event[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    sim.event[i] = *ev;
}

bool event_pop(struct event *ev) {
    if (sim.event_count == 0) return false;
    *ev = sim.event[0];
    struct event last = sim.event[--sim.event_count];
    u32 i = 0;
    for (u32 k = 1; k < sim.event_count; k = 2 * i + 1) {
        if (k + 1 < sim.event_count && before(&sim.event[k + 1], &sim.event[k])) k++;
        if (!before(&sim.event[k], &last)) break;
        sim.event[i] = sim.event[k];
        i = k;
    }
    sim.event[i] = last;
    return true;
}

static u64 word_value(const shared64_t *w) {
    u64 v;
    memcpy(&v, w, sizeof v);
    return v;
}

static void word_store(shared64_t *w, u64 *shadow, u64 v) {
    memcpy(w, &v, sizeof v);
    *shadow = v;
}

static shared64_t *word_at(struct sim_node *n, const struct chain_wr *wr, u32 k, u64 **shadow) {
    if (wr->region == REGION_OWNER) {
        if (wr->offset + k >= SIM_PLACES) sim_fail("owner word %lu out of range", wr->offset);
        *shadow = &n->shadow_owner[wr->offset + k];
        return &n->owner[wr->offset + k];
    }
    u64 i = wr->offset / 8 + k;
    if (wr->offset % 8 != 0 || i >= sizeof n->shard / 8) sim_fail("shard offset %lu", wr->offset);
    *shadow = &n->shadow_shard[i];
    return (shared64_t *)(void *)&n->shard + i;
}

static u64 word_amo(shared64_t *w, u64 *shadow, bool cas, u64 compare, u64 operand) {
    u64 found = word_value(w);
    if (!cas)
        word_store(w, shadow, found + operand);
    else if (found == compare)
        word_store(w, shadow, operand);
    return found;
}

static u64 cpu_read(void *ctx, const shared64_t *w) {
    (void)ctx;
    return word_value(w);
}

static u64 *shadow_of(const shared64_t *w) {
    for (u32 i = 0; i < sim.nodes; i++) {
        struct sim_node *n = &sim.node[i];
        const shared64_t *shard = (const shared64_t *)(const void *)&n->shard;
        if (w >= n->owner && w < n->owner + SIM_PLACES) return &n->shadow_owner[w - n->owner];
        if (w >= shard && w < shard + sizeof n->shard / 8) return &n->shadow_shard[w - shard];
    }
    sim_fail("an atomic on a word that is not shared");
}

static u64 cpu_cas(void *ctx, shared64_t *w, u64 expected, u64 desired) {
    (void)ctx;
    if (!sim.coherent) sim_fail("a CPU atomic where the card's are not coherent with it");
    return word_amo(w, shadow_of(w), true, expected, desired);
}

static u64 cpu_add(void *ctx, shared64_t *w, u64 addend) {
    (void)ctx;
    if (!sim.coherent) sim_fail("a CPU atomic where the card's are not coherent with it");
    return word_amo(w, shadow_of(w), false, 0, addend);
}

const struct word_ops *fabric_words(void) {
    static struct word_ops ops = {.read = cpu_read, .cas = cpu_cas, .add = cpu_add};
    ops.coherent = sim.coherent;
    return &ops;
}

void fabric_check_words(void) {
    for (u32 i = 0; i < sim.nodes; i++) {
        struct sim_node *n = &sim.node[i];
        if (memcmp(&n->shard, n->shadow_shard, sizeof n->shard) != 0 ||
            memcmp(n->owner, n->shadow_owner, sizeof n->owner) != 0)
            sim_fail("a plain store to a shared word of node %u", i);
    }
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
        if (wr->offset >= SIM_FRAMES) sim_fail("frame %lu", wr->offset);
        memcpy(wr->buf, &n->frame[wr->offset], wr->len_bytes);
    } else {
        for (u32 k = 0; k < wr->len_bytes / 8; k++) {
            u64 *shadow;
            ((u64 *)wr->buf)[k] = word_value(word_at(n, wr, k, &shadow));
        }
    }
}

static void wr_run(const struct event *ev) {
    struct sim_node *n = &sim.node[ev->node];
    struct chain_wr *wr = &ev->chain->wr[ev->a];
    u64 *shadow;
    if (wr->op == CHAIN_READ) {
        wr_read(n, wr);
    } else if (wr->op == CHAIN_WRITE_IMM) {
        if (wr->len_bytes != 0)
            memcpy((u8 *)&n->inbox[ev->from] + wr->offset, wr->buf, wr->len_bytes);
        model_imm(ev->node, ev->from, wr->imm);
    } else {
        shared64_t *w = word_at(n, wr, 0, &shadow);
        wr->result = word_amo(w, shadow, wr->op == CHAIN_CAS, wr->compare, wr->operand);
    }
}

// One operation arrives, or a chain comes back. A node that died takes with it what it
// had in flight from then on; one that is fenced reaches nothing.
void fabric_event(const struct event *ev) {
    if (ev->kind == EV_WR) {
        if (!sim.node[ev->node].alive || !may_arrive(ev->from) || fenced(ev->node, ev->from)) {
            ev->chain->status = E_HOSTUNREACH;
            return;
        }
        if (ev->chain->status == S_OK) wr_run(ev);
    } else if (ev->kind == EV_DONE) {
        // A dead peer is noticed only by fencing: until then the chain hangs.
        if (!sim.node[ev->node].alive) return;
        bool gone = !sim.node[ev->from].alive || fenced(ev->node, ev->from);
        if (gone && !(sim.node[ev->node].down & BIT(ev->from))) {
            struct event again = *ev;
            event_push(&again, sim.now_ns + NS_PER_MS);
            return;
        }
        if (gone) ev->chain->status = E_HOSTUNREACH;
        model_posted(ev->node, ev->chain);
    } else {
        struct cluster_msg m;
        if (!sim.node[ev->node].alive || !may_arrive(ev->from) || fenced(ev->node, ev->from))
            return;
        if (cluster_msg_decode(&m, ev->bytes, ev->len_bytes) != S_OK) sim_fail("bad message");
        sim_trace("node %u: message %d of node %u: image %u/%u epoch %x status %d", ev->node,
                  (int)m.type, ev->from, m.image.node, m.image.index, m.image.epoch, m.status);
        cluster_node_rx_msg(&sim.node[ev->node].cn, ev->from, &m);
    }
}

// Hands back all chains of `self` to `peer` as dead, before the machines hear of it.
void fabric_fence(u8 self, u8 peer) {
    sim.node[self].down |= BIT(peer);
    struct chain *back[256];
    u32 count = 0;
    for (u32 i = 0; i < sim.event_count; i++) {
        struct event *ev = &sim.event[i];
        if (ev->kind != EV_DONE || ev->node != self || ev->from != peer) continue;
        if (count == ARRAY_COUNT(back)) sim_fail("too many chains to one node");
        back[count++] = ev->chain;
        ev->kind = EV_TICK;   // this event is spent; a tick too many does no harm
        ev->b = 1;
    }
    for (u32 i = 0; i < count; i++) {
        back[i]->status = E_HOSTUNREACH;
        for (u32 k = 0; k < sim.event_count; k++)
            if (sim.event[k].kind == EV_WR && sim.event[k].chain == back[i]) {
                sim.event[k].kind = EV_TICK;
                sim.event[k].b = 1;
            }
        model_posted(self, back[i]);
    }
}
