// Glue between the machines of one node: queue operations, hand-overs out and in, and
// what messages, completions and ticks do to them. See node.h for who calls and locks.
// Includes sched/dqueue.h, which is as pure as this folder.
// tidy: long, because taking, giving and looking for work settle each other.
#include "proto/cluster/node.h"

#include "base/string.h"

#define OUT_PASS ~0u

static void settle(struct cluster_node *n);

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

static void post(struct cluster_node *n, struct chain *c) {
    n->host.post(n->host.ctx, c);
}

// Runs a chain to this node at once where that is possible. False: it was posted.
static bool run_or_post(struct cluster_node *n, struct chain *c) {
    if (c->node == n->self && n->dq.words->coherent) {
        dqueue_run_local(&n->dq, c);
        return true;
    }
    post(n, c);
    return false;
}

static u64 word_now(struct cluster_node *n, u32 index) {
    return word_read(n->dq.words, dqueue_owner(&n->dq, index));
}

static struct node_in *in_find(struct cluster_node *n, u32 index) {
    for (u32 i = 0; i < NODE_INS_MAX; i++) {
        struct node_in *in = &n->ins[i];
        if (in->used && in->m.state >= IN_FETCH && in->m.state <= IN_HELD && in->m.index == index)
            return in;
    }
    return NULL;
}

static struct node_out *out_find(struct cluster_node *n, u32 index) {
    for (u32 i = 0; i < NODE_OUTS_MAX; i++)
        if (n->outs[i].used && n->outs[i].m.state != OUT_ENDED && n->outs[i].m.index == index)
            return &n->outs[i];
    return NULL;
}

static void send_image(struct cluster_node *n, u8 to, enum cluster_msg_type type,
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
    send_image(n, image->node, MSG_ADOPTED, image, S_OK);
}

// Says `type` of ->send_image to its node; one that is no member will never answer.
static void in_say(struct cluster_node *n, struct node_in *in, enum cluster_msg_type type) {
    const struct image_id image = in->m.send_image;
    if (image.node == n->self || (n->dq.members & BIT(image.node)))
        send_image(n, image.node, type, &image,
                   type == MSG_HOLDER ? in->m.send_status : S_OK);
    else
        adopt_in_peer_down(&in->m, image.node);
}

static void in_pump(struct cluster_node *n, struct node_in *in) {
    for (;;) {   // ends: each machine has finitely many steps before WAIT
        bool prepared = in->m.own_word != 0;
        struct image_id image;
        switch (adopt_in_next(&in->m)) {
        case ADOPT_POST:
            if (!run_or_post(n, &in->m.chain)) return;
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
            send_image(n, image.node, MSG_REFUSE, &image, in->m.reason);
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
static bool in_begin(struct cluster_node *n, u64 slot, const void *desc) {
    struct node_in *in = in_alloc(n);
    if (in == NULL) return false;
    u8 *own = n->in_desc[in - n->ins];
    in->used = true;
    adopt_in_begin(&in->m, n->self, slot, desc == NULL, own, n->dq.desc_bytes);
    if (desc != NULL) memcpy(own, desc, n->dq.desc_bytes);
    in_pump(n, in);
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

static bool have_room(struct cluster_node *n) {
    u32 room = n->host.room(n->host.ctx);
    return room > ins_pending(n) && ins_free(n) > 0;
}

// --- giving ---------------------------------------------------------------------------

static void out_pump(struct cluster_node *n, struct node_out *out);

// While an offer of it is still under way the entry stays, as OUT_ENDED.
static void out_free_slot(struct node_out *out) {
    if (!out->offering) out->used = false;
}

static void put_done(struct cluster_node *n, struct node_put *put) {
    put->used = false;
    if (put->op.wake_self || put->op.no_wake) {   // nobody else was woken for it
        n->seek.rung |= BIT(n->self);             // passed on if our room is gone by then
        n->work_wanted = true;
    }
    if (put->out == OUT_PASS) return;
    struct node_out *out = &n->outs[put->out];
    out->offering = false;
    if (out->m.state == OUT_ENDED) {
        out->used = false;
        return;
    }
    // E_NOSPC: its shard is full. It stays QUEUED, and the sweep offers it again.
    adopt_out_look(&out->m, word_now(n, out->m.index));
    out_pump(n, out);
}

static void put_pump(struct cluster_node *n, struct node_put *put) {
    if (dqueue_step(&n->dq, &put->op) == DQ_POST)
        post(n, &put->op.chain);
    else
        put_done(n, put);
}

static struct node_put *put_alloc(struct cluster_node *n) {
    for (u32 i = 0; i < NODE_PUTS_MAX; i++)
        if (!n->puts[i].used) return &n->puts[i];
    return NULL;
}

static void offer_start(struct cluster_node *n, struct node_put *put, struct node_out *out) {
    put->used = true;
    put->out = (u32)(out - n->outs);
    out->offer_wanted = false;
    out->offering = true;
    n->counters.offers++;
    if (out->m.target != NODE_ANY) {
        dqueue_direct(&n->dq, &put->op, out->m.target, out->m.slot);
    } else {
        dqueue_put(&n->dq, &put->op, n->self, out->m.slot);
        put->op.no_wake = have_room(n);
    }
    put_pump(n, put);
}

// Starts what waits for a queue operation: offers, and rings to pass on. True: it did.
static bool puts_pump(struct cluster_node *n) {
    bool any = false;
    for (u32 i = 0; i < NODE_OUTS_MAX; i++) {
        if (!n->outs[i].used || !n->outs[i].offer_wanted || n->outs[i].offering) continue;
        struct node_put *put = put_alloc(n);
        if (put == NULL) return any;
        any = true;
        offer_start(n, put, &n->outs[i]);
    }
    for (u32 s = 0; s < NODES_MAX && n->wake_wanted != 0; s++) {
        if (!(n->wake_wanted & BIT(s))) continue;
        struct node_put *put = put_alloc(n);
        if (put == NULL) return any;
        n->wake_wanted &= ~BIT(s);
        if (!(n->dq.members & BIT(s))) continue;
        any = true;
        put->used = true;
        put->out = OUT_PASS;
        dqueue_wake(&n->dq, &put->op, (u8)s);
        put_pump(n, put);
    }
    return any;
}

static void out_given(struct cluster_node *n, struct node_out *out) {
    n->counters.given++;
    n->host.given(n->host.ctx, out->m.index, out->m.holder);
}

static void out_thaw(struct cluster_node *n, struct node_out *out) {
    struct node_in *in = in_find(n, out->m.index);
    n->counters.thawed++;
    if (in != NULL) adopt_in_away(&in->m, false);
    n->host.thaw(n->host.ctx, out->m.index, out->m.reason);
    if (in != NULL) in_pump(n, in);
}

// The holder died: what others lent us for this process is released for it.
static void out_lost(struct cluster_node *n, struct node_out *out) {
    struct node_in *in = in_find(n, out->m.index);
    n->counters.lost++;
    n->host.lost(n->host.ctx, out->m.index, out->m.holder);
    if (in == NULL) return;
    adopt_in_finish(&in->m);
    in_pump(n, in);
}

static void out_free_image(struct cluster_node *n, struct node_out *out) {
    struct node_in *in = in_find(n, out->m.index);
    if (in != NULL && out->m.rest_is_ours) {
        adopt_in_finish(&in->m);
        in_pump(n, in);
    } else if (in != NULL) {
        adopt_in_forget(&in->m);
        in->used = false;
    }
    n->host.image_free(n->host.ctx, out->m.index);
}

static void out_pump(struct cluster_node *n, struct node_out *out) {
    for (;;) {   // ends: each machine has finitely many steps before WAIT
        switch (adopt_out_next(&out->m)) {
        case ADOPT_POST:
            if (!run_or_post(n, &out->m.chain)) return;
            adopt_out_posted(&out->m);
            break;
        case ADOPT_OFFER:
            out->offer_wanted = true;
            if (++out->offers > NODE_OFFERS_MAX) adopt_out_cancel(&out->m, E_TIMEDOUT);
            return;
        case ADOPT_GIVEN: out_given(n, out); break;
        case ADOPT_LOST: out_lost(n, out); break;
        case ADOPT_THAW:
            out_free_slot(out);
            out_thaw(n, out);
            return;
        case ADOPT_FREE:
            out_free_slot(out);
            out_free_image(n, out);
            return;
        case ADOPT_ENDED: out_free_slot(out); return;
        default:
            if (out->m.state == OUT_ENDED) out_free_slot(out);
            return;
        }
    }
}

static void out_look(struct cluster_node *n, struct node_out *out) {
    adopt_out_look(&out->m, word_now(n, out->m.index));
    out_pump(n, out);
}

// Starts to give the process at index away. E_BUSY: a lender does not know us yet, or it
// is being given already; E_NFILE: too many images here; E_INVAL; E_HOSTUNREACH.
status_t cluster_node_give(struct cluster_node *n, u32 index, u8 target, u32 size_class) {
    if (index >= n->dq.desc_count || target == n->self) return E_INVAL;
    if (target != NODE_ANY && (target >= NODES_MAX || !(n->dq.members & BIT(target))))
        return E_HOSTUNREACH;
    if (out_find(n, index) != NULL || !cluster_node_settled(n, index)) return E_BUSY;
    for (u32 i = 0; i < NODE_OUTS_MAX; i++) {
        struct node_out *out = &n->outs[i];
        if (out->used) continue;
        *out = (struct node_out){.used = true};
        struct node_in *in = in_find(n, index);
        if (in != NULL) adopt_in_away(&in->m, true);
        adopt_out_begin(&out->m, n->self, index, word_now(n, index), target, size_class);
        out_pump(n, out);
        settle(n);
        return S_OK;
    }
    n->counters.no_out++;
    return E_NFILE;
}

// Asks to have a process back that has not been taken yet; it ends in thaw or given.
void cluster_node_cancel(struct cluster_node *n, u32 index, status_t reason) {
    struct node_out *out = out_find(n, index);
    if (out == NULL) return;
    adopt_out_cancel(&out->m, reason);
    out_look(n, out);
    settle(n);
}

// True where every lender of the process knows this node as its holder.
bool cluster_node_settled(const struct cluster_node *n, u32 index) {
    for (u32 i = 0; i < NODE_INS_MAX; i++) {
        const struct node_in *in = &n->ins[i];
        if (in->used && in->m.state >= IN_FETCH && in->m.index == index)
            return adopt_in_settled(&in->m);
    }
    return true;
}

// The host has no entry left that names lender's frames; its READs there are complete.
void cluster_node_drained(struct cluster_node *n, u32 index, u8 lender) {
    struct node_in *in = in_find(n, index);
    if (in == NULL) return;
    adopt_in_drained(&in->m, lender);
    in_pump(n, in);
    settle(n);
}

// The process has ended here (exit, or the host obeyed kill).
void cluster_node_exited(struct cluster_node *n, u32 index) {
    struct node_in *in = in_find(n, index);
    if (in != NULL) {
        adopt_in_finish(&in->m);
        in_pump(n, in);
    }
    cluster_node_work(n);
}

// Fills `to` with the images that still hold something of the process; for the lenders'
// list of its descriptor.
u32 cluster_node_lenders(const struct cluster_node *n, u32 index,
                         struct image_id to[ADOPT_LENDERS_MAX + 1]) {
    u32 count = 0;
    for (u32 i = 0; i < NODE_INS_MAX; i++) {
        const struct adopt_in *in = &n->ins[i].m;
        if (!n->ins[i].used || in->state < IN_FETCH || in->index != index) continue;
        for (u32 k = 0; k < in->lender_count; k++)
            if (in->lender[k].state < LENDER_RELEASED) to[count++] = in->lender[k].image;
    }
    return count;
}

// --- looking for work -----------------------------------------------------------------

static void seek_start(struct node_seek *seek, enum seek_state state, u64 shards) {
    seek->state = state;
    seek->left = shards;
    seek->found = false;
}

// The next shard of this round: our own first, then from a random start.
static bool seek_next_shard(struct cluster_node *n) {
    struct node_seek *seek = &n->seek;
    u64 left = seek->left & n->dq.members;
    if (left == 0) return false;
    u8 pick = n->self;
    if (!(left & BIT(n->self))) {
        u32 start = rng_u32(n->dq.rng) % NODES_MAX;
        for (u32 i = 0; i < NODES_MAX; i++) {
            pick = (u8)((start + i) % NODES_MAX);
            if (left & BIT(pick)) break;
        }
    }
    seek->left = left & ~BIT(pick);
    seek->shard = pick;
    return true;
}

// The window of the take that just won has other entries that were not tried.
static bool window_has_more(const struct dq_op *op) {
    for (u32 i = 0; i < DQ_SLOTS; i++)
        if (i != op->pick && op->window[i] != 0) return true;
    return false;
}

static void seek_taken(struct cluster_node *n) {
    struct node_seek *seek = &n->seek;
    u64 slot = seek->op.slot;
    bool more = window_has_more(&seek->op);
    if (slot_home(slot) == n->self) {
        struct node_out *out = out_find(n, slot_index(slot));
        if (out != NULL) out_look(n, out);
        struct node_in *in = in_find(n, slot_index(slot));
        if (in != NULL) adopt_in_away(&in->m, false);
        n->host.run(n->host.ctx, slot_index(slot));
        if (in != NULL) in_pump(n, in);
    } else {
        struct image_id image = adopt_image_of_slot(slot);
        // The places ran out while the take was under way: its home has it back.
        if (!in_begin(n, slot, n->desc))
            send_image(n, image.node, MSG_REFUSE, &image, E_NFILE);
    }
    seek->left |= BIT(seek->shard);   // there may be more in the same shard
    if (more && !have_room(n)) n->wake_wanted |= BIT(seek->shard);
}

static void seek_op_done(struct cluster_node *n) {
    struct node_seek *seek = &n->seek;
    status_t status = seek->op.status;
    if (seek->state == SEEK_TAKE && status == S_OK)
        seek_taken(n);
    else if (seek->state == SEEK_MARK && (status == S_OK || status == E_BUSY))
        seek->found = true;
}

// Comes to rest without room: rings that came meanwhile go to somebody else.
static void seek_full(struct cluster_node *n) {
    n->seek.state = SEEK_NONE;
    n->seek.again = false;
    n->wake_wanted |= n->seek.rung;
    n->seek.rung = 0;
}

// Begins the next operation of the search. False: it has come to rest.
static bool seek_advance(struct cluster_node *n) {
    struct node_seek *seek = &n->seek;
    if (!have_room(n)) {
        seek_full(n);
        return false;
    }
    if (seek->state == SEEK_NONE || seek->again) {
        seek->again = false;
        seek_start(seek, SEEK_TAKE, n->dq.members);
    }
    while (!seek_next_shard(n)) {   // ends: TAKE, MARK, and at most one TAKE again
        if (seek->state == SEEK_TAKE) {
            seek_start(seek, SEEK_MARK, n->dq.members);
        } else if (seek->found) {
            seek_start(seek, SEEK_TAKE, n->dq.members);
        } else {
            seek->state = SEEK_NONE;
            seek->rung = 0;
            n->host.idle(n->host.ctx);
            return false;
        }
    }
    if (seek->state == SEEK_TAKE)
        dqueue_take(&n->dq, &seek->op, seek->shard, n->desc);
    else
        dqueue_mark(&n->dq, &seek->op, seek->shard);
    return true;
}

#define SEEK_STEPS_MAX 1024   // operations that one call runs; the next tick goes on
#define SETTLE_STEPS_MAX 1024

static void seek_pump(struct cluster_node *n) {
    for (u32 i = 0; i < SEEK_STEPS_MAX; i++) {
        if (!seek_advance(n)) return;
        if (dqueue_step(&n->dq, &n->seek.op) == DQ_POST) {
            post(n, &n->seek.op.chain);
            return;
        }
        seek_op_done(n);
    }
    n->seek.state = SEEK_NONE;
    n->work_wanted = true;
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
static void settle(struct cluster_node *n) {
    if (n->settling) return;
    n->settling = true;
    for (u32 i = 0; i < SETTLE_STEPS_MAX; i++) {
        bool more = self_msg_take(n);
        more |= puts_pump(n);
        if (n->work_wanted && n->seek.state != SEEK_NONE) {
            n->work_wanted = false;
            n->seek.again = true;
        } else if (n->work_wanted) {
            n->work_wanted = false;
            seek_pump(n);
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
    settle(n);
}

// --- events ---------------------------------------------------------------------------

static bool put_posted(struct cluster_node *n, struct chain *c) {
    for (u32 i = 0; i < NODE_PUTS_MAX; i++) {
        if (!n->puts[i].used || c != &n->puts[i].op.chain) continue;
        put_pump(n, &n->puts[i]);
        return true;
    }
    return false;
}

static void hand_over_posted(struct cluster_node *n, struct chain *c) {
    for (u32 i = 0; i < NODE_INS_MAX; i++) {
        if (!n->ins[i].used || c != &n->ins[i].m.chain) continue;
        adopt_in_posted(&n->ins[i].m);
        in_pump(n, &n->ins[i]);
        return;
    }
    for (u32 i = 0; i < NODE_OUTS_MAX; i++) {
        if (!n->outs[i].used || c != &n->outs[i].m.chain) continue;
        adopt_out_posted(&n->outs[i].m);
        out_pump(n, &n->outs[i]);
        return;
    }
}

// A posted chain is back: its results are filled in, or its status says that the pair is
// dead. Every posted chain comes back exactly once.
void cluster_node_posted(struct cluster_node *n, struct chain *c) {
    if (c == &n->seek.op.chain) {
        if (dqueue_step(&n->dq, &n->seek.op) == DQ_POST) {
            post(n, c);
            return;
        }
        seek_op_done(n);
        seek_pump(n);
    } else if (!put_posted(n, c)) {
        hand_over_posted(n, c);
    }
    settle(n);
}

static void rx_for_image(struct cluster_node *n, u8 from, const struct cluster_msg *m) {
    struct node_out *out = m->image.node == n->self ? out_find(n, m->image.index) : NULL;
    bool fits = false;
    if (out != NULL) {
        adopt_out_look(&out->m, word_now(n, m->image.index));
        out_pump(n, out);
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
        send_image(n, from, MSG_HOLDER_ACK, &m->image, fits ? S_OK : E_NOENT);
    if (m->type == MSG_RELEASE) send_image(n, from, MSG_RELEASE_ACK, &m->image, S_OK);
    if (!fits && m->type != MSG_ADOPTED) n->counters.stray_msg++;
    if (out != NULL) out_pump(n, out);
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
            in_pump(n, &n->ins[i]);
        }
        break;
    case MSG_RELEASE_ACK:
        for (u32 i = 0; i < NODE_INS_MAX; i++) {
            if (!n->ins[i].used || m->image.node != from) continue;
            adopt_in_release_ack(&n->ins[i].m, &m->image);
            in_pump(n, &n->ins[i]);
        }
        break;
    default: n->counters.bad_msg++; break;
    }
    settle(n);
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
        if (have_room(n)) {
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
            in_begin(n, slot, NULL);
    } else {
        n->counters.bad_msg++;
    }
    settle(n);
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
        in_pump(n, &n->ins[i]);
    }
    for (u32 i = 0; i < NODE_OUTS_MAX; i++) {
        struct node_out *out = &n->outs[i];
        if (!out->used || out->m.state == OUT_ENDED) continue;
        adopt_out_peer_down(&out->m, node, word_now(n, out->m.index));
        out_pump(n, out);
    }
    // It may have died between clearing a mark and ringing: everybody looks again.
    cluster_node_work(n);
}

// Looks at places that are QUEUED: the word may have changed, or the entry be missing
// (its putter died, a hint was overwritten); offers such a one again.
void cluster_node_tick(struct cluster_node *n, u64 now_ns) {
    if (now_ns < n->sweep_at_ns) return;
    n->sweep_at_ns = now_ns + NODE_SWEEP_NS;
    for (u32 i = 0; i < NODE_OUTS_MAX; i++) {
        struct node_out *out = &n->outs[i];
        if (!out->used || out->offering || out->offer_wanted) continue;
        out_look(n, out);
        if (!out->used || out->m.state != OUT_QUEUED || out->m.posted) continue;
        if (owner_state(out->m.word) != OWNER_QUEUED) continue;
        if (out->m.target == NODE_ANY && dqueue_has(&n->dq, out->m.slot)) continue;
        n->counters.offers_repeated++;
        out->offer_wanted = true;
        if (out->m.target != NODE_ANY && ++out->offers > NODE_OFFERS_MAX)
            adopt_out_cancel(&out->m, E_TIMEDOUT);
    }
    settle(n);
}
