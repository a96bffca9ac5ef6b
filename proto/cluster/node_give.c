// Giving: processes of this node on their way into the queue or to another node, and the images
// that are kept of them. Called by the host and by node.c; lock: the host's (node.h).
#include "proto/cluster/node_priv.h"

#define OUT_PASS ~0u                 // of a queue operation: a ring that is passed on

// While an offer of it is still under way the entry stays, as OUT_ENDED.
static void out_free_slot(struct cluster_node *n, struct node_out *out) {
    if (out->offering || !out->used) return;
    out->used = false;
    n->outs_used--;
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
        out_free_slot(n, out);
        return;
    }
    // E_NOSPC: its shard is full. It stays QUEUED, and the sweep offers it again.
    adopt_out_look(&out->m, node_word_now(n, out->m.index));
    node_out_pump(n, out);
}

// Steps a queue operation that was posted, or begins it.
void node_put_pump(struct cluster_node *n, struct node_put *put) {
    if (dqueue_step(&n->dq, &put->op) == DQ_POST)
        node_post(n, &put->op.chain);
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
        put->op.no_wake = node_have_room(n);
    }
    node_put_pump(n, put);
}

// Starts what waits for a queue operation: offers, and rings to pass on. True: it did.
bool node_puts_pump(struct cluster_node *n) {
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
        node_put_pump(n, put);
    }
    return any;
}

static void out_given(struct cluster_node *n, struct node_out *out) {
    n->counters.given++;
    n->host.given(n->host.ctx, out->m.index, out->m.holder);
}

static void out_thaw(struct cluster_node *n, struct node_out *out) {
    struct node_in *in = node_in_find(n, out->m.index);
    n->counters.thawed++;
    if (in != NULL) adopt_in_away(&in->m, false);
    n->host.thaw(n->host.ctx, out->m.index, out->m.reason);
    if (in != NULL) node_in_pump(n, in);
}

// The holder died: what others lent us for this process is released for it.
static void out_lost(struct cluster_node *n, struct node_out *out) {
    struct node_in *in = node_in_find(n, out->m.index);
    n->counters.lost++;
    n->host.lost(n->host.ctx, out->m.index, out->m.holder);
    if (in == NULL) return;
    adopt_in_finish(&in->m);
    node_in_pump(n, in);
}

static void out_free_image(struct cluster_node *n, struct node_out *out) {
    struct node_in *in = node_in_find(n, out->m.index);
    if (in != NULL && out->m.rest_is_ours) {
        adopt_in_finish(&in->m);
        node_in_pump(n, in);
    } else if (in != NULL) {
        adopt_in_forget(&in->m);
        in->used = false;
    }
    n->host.image_free(n->host.ctx, out->m.index);
}

// Steps a given process as far as it goes.
void node_out_pump(struct cluster_node *n, struct node_out *out) {
    for (;;) {   // ends: each machine has finitely many steps before WAIT
        switch (adopt_out_next(&out->m)) {
        case ADOPT_POST:
            if (!node_run_or_post(n, &out->m.chain)) return;
            adopt_out_posted(&out->m);
            break;
        case ADOPT_OFFER:
            out->offer_wanted = true;
            if (++out->offers > NODE_OFFERS_MAX) adopt_out_cancel(&out->m, E_TIMEDOUT);
            return;
        case ADOPT_GIVEN: out_given(n, out); break;
        case ADOPT_LOST: out_lost(n, out); break;
        case ADOPT_THAW:
            out_free_slot(n, out);
            out_thaw(n, out);
            return;
        case ADOPT_FREE:
            out_free_slot(n, out);
            out_free_image(n, out);
            return;
        case ADOPT_ENDED: out_free_slot(n, out); return;
        default:
            if (out->m.state == OUT_ENDED) out_free_slot(n, out);
            return;
        }
    }
}

// The same after a look at its owner word.
void node_out_look(struct cluster_node *n, struct node_out *out) {
    adopt_out_look(&out->m, node_word_now(n, out->m.index));
    node_out_pump(n, out);
}

// Starts to give the process at index away. E_BUSY: a lender does not know us yet, or it
// is being given already; E_NFILE: too many images here; E_INVAL; E_HOSTUNREACH.
status_t cluster_node_give(struct cluster_node *n, u32 index, u8 target, u32 size_class) {
    if (index >= n->dq.desc_count || target == n->self) return E_INVAL;
    if (target != NODE_ANY && (target >= NODES_MAX || !(n->dq.members & BIT(target))))
        return E_HOSTUNREACH;
    if (node_out_find(n, index) != NULL || !cluster_node_settled(n, index)) return E_BUSY;
    for (u32 i = 0; i < NODE_OUTS_MAX; i++) {
        struct node_out *out = &n->outs[i];
        if (out->used) continue;
        *out = (struct node_out){.used = true};
        n->outs_used++;
        struct node_in *in = node_in_find(n, index);
        if (in != NULL) adopt_in_away(&in->m, true);
        adopt_out_begin(&out->m, n->self, index, node_word_now(n, index), target, size_class);
        node_out_pump(n, out);
        node_settle(n);
        return S_OK;
    }
    n->counters.no_out++;
    return E_NFILE;
}

// Asks to have a process back that has not been taken yet; it ends in thaw or given.
void cluster_node_cancel(struct cluster_node *n, u32 index, status_t reason) {
    struct node_out *out = node_out_find(n, index);
    if (out == NULL) return;
    adopt_out_cancel(&out->m, reason);
    node_out_look(n, out);
    node_settle(n);
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
    struct node_in *in = node_in_find(n, index);
    if (in == NULL) return;
    adopt_in_drained(&in->m, lender);
    node_in_pump(n, in);
    node_settle(n);
}

// The process has ended here (exit, or the host obeyed kill).
void cluster_node_exited(struct cluster_node *n, u32 index) {
    struct node_in *in = node_in_find(n, index);
    if (in != NULL) {
        adopt_in_finish(&in->m);
        node_in_pump(n, in);
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
