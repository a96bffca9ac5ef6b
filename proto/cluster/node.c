// Glue between the machines of one node: hand-overs in, and what messages, completions and ticks
// do to them. Giving is node_give.c, looking for work node_seek.c. See node.h for who calls and
// locks. Includes sched/dqueue.h, which is as pure as this folder.
#include "proto/cluster/node_priv.h"

#include "base/string.h"

#define SETTLE_STEPS_MAX 1024

// Sets up the object over memory the host owns; empties the shard. Before any peer.
void cluster_node_init(struct cluster_node *n, const struct cluster_node_config *config) {
    memset(n, 0, sizeof *n);
    n->self = config->self;
    n->incarnation = config->incarnation;
    n->host = config->host;
    n->dq = (struct dqueue){
        .self = config->self, .members = BIT(config->self), .shard = config->shard,
        .owner_base = config->owner_base, .owner_stride = config->owner_stride,
        .desc_count = config->desc_count, .desc_bytes = config->desc_bytes,
        .words = config->words, .rng = config->rng,
    };
    dqueue_init(&n->dq);
    ring_init(&n->self_ring, NODE_SELF_MSGS);
}

// Hands a chain to the host.
void node_post(struct cluster_node *n, struct chain *c) {
    n->host.post(n->host.ctx, c);
}

// Runs a chain to this node at once where that is possible. False: it was posted.
bool node_run_or_post(struct cluster_node *n, struct chain *c) {
    if (c->node == n->self && n->dq.words->coherent) {
        dqueue_run_local(&n->dq, c);
        return true;
    }
    node_post(n, c);
    return false;
}

// The owner word of a place, as it is.
u64 node_word_now(struct cluster_node *n, u32 index) {
    return word_read(n->dq.words, dqueue_owner(&n->dq, index));
}

// The process at index that was taken here and holds something of lenders; NULL: none.
struct node_in *node_in_find(struct cluster_node *n, u32 index) {
    for (u32 i = 0; i < NODE_INS_MAX; i++) {
        struct node_in *in = &n->ins[i];
        if (in->used && in->m.state >= IN_FETCH && in->m.state <= IN_HELD && in->m.index == index)
            return in;
    }
    return NULL;
}

// What is given, or kept as an image, of the process at index; NULL: none.
struct node_out *node_out_find(struct cluster_node *n, u32 index) {
    for (u32 i = 0; i < NODE_OUTS_MAX; i++)
        if (n->outs[i].used && n->outs[i].m.state != OUT_ENDED && n->outs[i].m.index == index)
            return &n->outs[i];
    return NULL;
}

// A message about an image to its node, which may be this one; nobody if it is no member.
void node_send_image(struct cluster_node *n, u8 to, enum cluster_msg_type type,
                     const struct image_id *image, status_t status) {
    if (to == n->self) {
        n->self_msgs[ring_tail_index(&n->self_ring)] = (struct node_self_msg){type, *image, status};
        ring_produce(&n->self_ring);
        return;
    }
    if (!(n->dq.members & BIT(to))) return;
    struct cluster_msg m = {.type = type, .image = *image, .status = status};
    n->host.send(n->host.ctx, to, &m);
}

// --- taking ---------------------------------------------------------------------------

static void in_prepare(struct cluster_node *n, struct node_in *in) {
    struct adopt_plan plan = {0};
    status_t status = n->host.prepare(n->host.ctx, in->m.slot, in->m.desc, &plan);
    if (status == S_OK) {
        adopt_in_prepared(&in->m, &plan);
        if (in->m.state == IN_REFUSE) n->host.drop(n->host.ctx, plan.index, E_BUSY);
        return;
    }
    n->counters.refused++;
    adopt_in_refused(&in->m, status);
}

static void in_drop(struct cluster_node *n, struct node_in *in, bool prepared) {
    n->counters.dropped++;
    if (prepared) n->host.drop(n->host.ctx, in->m.index, in->m.reason);
    in->used = false;
    n->work_wanted = true;
}

static void in_started(struct cluster_node *n, struct node_in *in) {
    const struct image_id *image = &in->m.lender[0].image;
    n->counters.adopted++;
    n->host.start(n->host.ctx, in->m.index);
    node_send_image(n, image->node, MSG_ADOPTED, image, S_OK);
}

// Says `type` of ->send_image to its node; one that is no member will never answer.
static void in_say(struct cluster_node *n, struct node_in *in, enum cluster_msg_type type) {
    const struct image_id image = in->m.send_image;
    if (image.node == n->self || (n->dq.members & BIT(image.node)))
        node_send_image(n, image.node, type, &image,
                        type == MSG_HOLDER ? in->m.send_status : S_OK);
    else
        adopt_in_peer_down(&in->m, image.node);
}

// Steps a taken process as far as it goes.
void node_in_pump(struct cluster_node *n, struct node_in *in) {
    for (;;) {   // ends: each machine has finitely many steps before WAIT
        bool prepared = in->m.own_word != 0;
        struct image_id image;
        switch (adopt_in_next(&in->m)) {
        case ADOPT_POST:
            if (!node_run_or_post(n, &in->m.chain)) return;
            adopt_in_posted(&in->m);
            break;
        case ADOPT_PREPARE: in_prepare(n, in); break;
        case ADOPT_START: in_started(n, in); break;
        case ADOPT_KILL: n->host.kill(n->host.ctx, in->m.index); break;
        case ADOPT_TELL: in_say(n, in, MSG_HOLDER); break;
        case ADOPT_RELEASE:
            n->counters.released++;
            in_say(n, in, MSG_RELEASE);
            break;
        case ADOPT_REFUSE:
            image = in->m.send_image;
            node_send_image(n, image.node, MSG_REFUSE, &image, in->m.reason);
            break;
        case ADOPT_DROP: in_drop(n, in, prepared); return;
        case ADOPT_ENDED:
            in->used = false;
            if (!in->m.away && in->m.index != ADOPT_NO_PLACE)
                n->host.no_lenders(n->host.ctx, in->m.index);
            return;
        default: return;
        }
    }
}

static struct node_in *in_alloc(struct cluster_node *n) {
    for (u32 i = 0; i < NODE_INS_MAX; i++)
        if (!n->ins[i].used) return &n->ins[i];
    n->counters.no_in++;
    return NULL;
}

// `desc` NULL: a directed entry, to be claimed; else the seek's take has won it.
bool node_in_begin(struct cluster_node *n, u64 slot, const void *desc) {
    struct node_in *in = in_alloc(n);
    if (in == NULL) return false;
    u8 *own = n->in_desc[in - n->ins];
    in->used = true;
    adopt_in_begin(&in->m, n->self, slot, desc == NULL, own, n->dq.desc_bytes);
    if (desc != NULL) memcpy(own, desc, n->dq.desc_bytes);
    node_in_pump(n, in);
    return true;
}

static u32 ins_free(const struct cluster_node *n) {
    u32 k = 0;
    for (u32 i = 0; i < NODE_INS_MAX; i++) k += !n->ins[i].used;
    return k;
}

// Adoptions that the host does not count as running yet.
static u32 ins_pending(const struct cluster_node *n) {
    u32 k = 0;
    for (u32 i = 0; i < NODE_INS_MAX; i++) k += n->ins[i].used && n->ins[i].m.state < IN_FETCH;
    return k;
}

// Whether one more process can be taken now.
bool node_have_room(struct cluster_node *n) {
    u32 room = n->host.room(n->host.ctx);
    return room > ins_pending(n) && ins_free(n) > 0;
}

static bool self_msg_take(struct cluster_node *n) {
    if (ring_empty(&n->self_ring)) return false;
    struct node_self_msg own = n->self_msgs[ring_peek_index(&n->self_ring, 0)];
    ring_consume(&n->self_ring);
    struct cluster_msg m = {.type = own.type, .image = own.image, .status = own.status};
    cluster_node_rx_msg(n, n->self, &m);     // its settle returns at once: we are in it
    return true;
}

// Does what the event just handled has asked for. Runs at the end of every entry point,
// never nested, so that nothing recurses.
void node_settle(struct cluster_node *n) {
    if (n->settling) return;
    n->settling = true;
    for (u32 i = 0; i < SETTLE_STEPS_MAX; i++) {
        bool more = self_msg_take(n);
        more |= node_puts_pump(n);
        if (n->work_wanted && n->seek.state != SEEK_NONE) {
            n->work_wanted = false;
            n->seek.again = true;
        } else if (n->work_wanted) {
            n->work_wanted = false;
            node_seek_pump(n);
            more = true;
        }
        if (!more) break;
    }
    n->settling = false;
}

// There is room here, or something may have come: looks through all shards, takes while
// there is room, then marks itself hungry everywhere and comes to rest (`idle`).
void cluster_node_work(struct cluster_node *n) {
    n->work_wanted = true;
    node_settle(n);
}

// --- events ---------------------------------------------------------------------------

static bool put_posted(struct cluster_node *n, struct chain *c) {
    for (u32 i = 0; i < NODE_PUTS_MAX; i++) {
        if (!n->puts[i].used || c != &n->puts[i].op.chain) continue;
        node_put_pump(n, &n->puts[i]);
        return true;
    }
    return false;
}

static void hand_over_posted(struct cluster_node *n, struct chain *c) {
    for (u32 i = 0; i < NODE_INS_MAX; i++) {
        if (!n->ins[i].used || c != &n->ins[i].m.chain) continue;
        adopt_in_posted(&n->ins[i].m);
        node_in_pump(n, &n->ins[i]);
        return;
    }
    for (u32 i = 0; i < NODE_OUTS_MAX; i++) {
        if (!n->outs[i].used || c != &n->outs[i].m.chain) continue;
        adopt_out_posted(&n->outs[i].m);
        node_out_pump(n, &n->outs[i]);
        return;
    }
}

// A posted chain is back: its results are filled in, or its status says that the pair is
// dead. Every posted chain comes back exactly once.
void cluster_node_posted(struct cluster_node *n, struct chain *c) {
    if (c == &n->seek.op.chain) {
        if (dqueue_step(&n->dq, &n->seek.op) == DQ_POST) {
            node_post(n, c);
            return;
        }
        node_seek_op_done(n);
        node_seek_pump(n);
    } else if (!put_posted(n, c)) {
        hand_over_posted(n, c);
    }
    node_settle(n);
}

static void rx_for_image(struct cluster_node *n, u8 from, const struct cluster_msg *m) {
    struct node_out *out = m->image.node == n->self ? node_out_find(n, m->image.index) : NULL;
    bool fits = false;
    if (out != NULL) {
        adopt_out_look(&out->m, node_word_now(n, m->image.index));
        node_out_pump(n, out);
        if (m->type == MSG_HOLDER)
            fits = m->status == S_OK ? adopt_out_holder(&out->m, from, m->image.epoch)
                                     : adopt_out_unreached(&out->m, m->image.epoch);
        if (m->type == MSG_RELEASE)
            fits = adopt_out_release(&out->m, from, m->image.epoch, n->dq.members);
        if (m->type == MSG_REFUSE) {
            adopt_out_refuse(&out->m, from, (m->image.epoch - 2) & SLOT_EPOCH, m->status);
            fits = true;
        }
    }
    if (m->type == MSG_HOLDER)
        node_send_image(n, from, MSG_HOLDER_ACK, &m->image, fits ? S_OK : E_NOENT);
    if (m->type == MSG_RELEASE) node_send_image(n, from, MSG_RELEASE_ACK, &m->image, S_OK);
    if (!fits && m->type != MSG_ADOPTED) n->counters.stray_msg++;
    if (out != NULL) node_out_pump(n, out);
}

// A message of another member (or, looped back, of this one). Those that are not about
// queue or hand-over are the host's own; they are counted here as bad.
void cluster_node_rx_msg(struct cluster_node *n, u8 from, const struct cluster_msg *m) {
    switch (m->type) {
    case MSG_HOLDER:
    case MSG_RELEASE:
    case MSG_REFUSE:
    case MSG_ADOPTED: rx_for_image(n, from, m); break;
    case MSG_HOLDER_ACK:
        for (u32 i = 0; i < NODE_INS_MAX; i++) {
            if (!n->ins[i].used || m->image.node != from) continue;
            adopt_in_ack(&n->ins[i].m, &m->image, m->status);
            node_in_pump(n, &n->ins[i]);
        }
        break;
    case MSG_RELEASE_ACK:
        for (u32 i = 0; i < NODE_INS_MAX; i++) {
            if (!n->ins[i].used || m->image.node != from) continue;
            adopt_in_release_ack(&n->ins[i].m, &m->image);
            node_in_pump(n, &n->ins[i]);
        }
        break;
    default: n->counters.bad_msg++; break;
    }
    node_settle(n);
}

// WRITE_WITH_IMM: a directed entry, or a ring for a shard.
void cluster_node_rx_imm(struct cluster_node *n, u8 from, u32 imm, const struct dq_inbox *inbox) {
    u32 kind = (u32)FIELD_GET(DQ_IMM_KIND, imm);
    if (kind == DQ_IMM_LOOK) {
        u32 shard = (u32)FIELD_GET(DQ_IMM_SHARD, imm);
        if (shard >= NODES_MAX) {
            n->counters.bad_msg++;
            return;
        }
        if (node_have_room(n)) {
            n->seek.rung |= BIT(shard);
            n->work_wanted = true;
        } else {
            n->wake_wanted |= BIT(shard);
        }
    } else if (kind == DQ_IMM_TAKE) {
        u64 slot = inbox->entry[FIELD_GET(DQ_IMM_ENTRY, imm) % DQ_INBOX_ENTRIES];
        // Only its home sends a directed entry; anything else is a bad or stale hint.
        if (!(slot & SLOT_VALID) || slot_home(slot) != from || from == n->self)
            n->counters.bad_msg++;
        else
            node_in_begin(n, slot, NULL);
    } else {
        n->counters.bad_msg++;
    }
    node_settle(n);
}

// `node` has joined and its keys are here.
void cluster_node_peer_up(struct cluster_node *n, u8 node) {
    n->dq.members |= BIT(node);
    n->dq.inbox_next[node] = 0;
    for (u32 i = 0; i < NODE_OUTS_MAX; i++)
        if (n->outs[i].used) adopt_out_peer_up(&n->outs[i].m, node);
    cluster_node_work(n);
}

// `node` is gone: the host has destroyed its queue pairs and keys first and handed back
// all its chains, so no word here can change by its hand any more.
void cluster_node_peer_down(struct cluster_node *n, u8 node) {
    n->dq.members &= ~BIT(node);
    for (u32 i = 0; i < NODE_INS_MAX; i++) {
        if (!n->ins[i].used) continue;
        adopt_in_peer_down(&n->ins[i].m, node);
        node_in_pump(n, &n->ins[i]);
    }
    for (u32 i = 0; i < NODE_OUTS_MAX; i++) {
        struct node_out *out = &n->outs[i];
        if (!out->used || out->m.state == OUT_ENDED) continue;
        adopt_out_peer_down(&out->m, node, node_word_now(n, out->m.index));
        node_out_pump(n, out);
    }
    // It may have died between clearing a mark and ringing: everybody looks again.
    cluster_node_work(n);
}

u64 cluster_node_next_ns(const struct cluster_node *n) {
    const bool left = n->work_wanted || n->wake_wanted != 0 || !ring_empty(&n->self_ring);
    return n->outs_used != 0 || left ? n->sweep_at_ns : ~0ull;
}

// Looks at places that are QUEUED: the word may have changed, or the entry be missing
// (its putter died, a hint was overwritten); offers such a one again.
void cluster_node_tick(struct cluster_node *n, u64 now_ns) {
    if (now_ns < n->sweep_at_ns) return;
    n->sweep_at_ns = now_ns + NODE_SWEEP_NS;
    for (u32 i = 0; i < NODE_OUTS_MAX; i++) {
        struct node_out *out = &n->outs[i];
        if (!out->used || out->offering || out->offer_wanted) continue;
        node_out_look(n, out);
        if (!out->used || out->m.state != OUT_QUEUED || out->m.posted) continue;
        if (owner_state(out->m.word) != OWNER_QUEUED) continue;
        if (out->m.target == NODE_ANY && dqueue_has(&n->dq, out->m.slot)) continue;
        n->counters.offers_repeated++;
        out->offer_wanted = true;
        if (out->m.target != NODE_ANY && ++out->offers > NODE_OFFERS_MAX)
            adopt_out_cancel(&out->m, E_TIMEDOUT);
    }
    node_settle(n);
}
