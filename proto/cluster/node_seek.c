// Looking for work: takes from all shards while there is room, then marks this node hungry
// everywhere and comes to rest. Called by node.c; lock: the host's (node.h).
#include "proto/cluster/node_priv.h"

#define SEEK_STEPS_MAX 1024          // operations that one call runs; the next tick goes on

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
        struct node_out *out = node_out_find(n, slot_index(slot));
        if (out != NULL) node_out_look(n, out);
        struct node_in *in = node_in_find(n, slot_index(slot));
        if (in != NULL) adopt_in_away(&in->m, false);
        n->host.run(n->host.ctx, slot_index(slot));
        if (in != NULL) node_in_pump(n, in);
    } else {
        struct image_id image = adopt_image_of_slot(slot);
        // The places ran out while the take was under way: its home has it back.
        if (!node_in_begin(n, slot, n->desc))
            node_send_image(n, image.node, MSG_REFUSE, &image, E_NFILE);
    }
    seek->left |= BIT(seek->shard);   // there may be more in the same shard
    if (more && !node_have_room(n)) n->wake_wanted |= BIT(seek->shard);
}

// The search's operation has ended: what it found is taken.
void node_seek_op_done(struct cluster_node *n) {
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
    if (!node_have_room(n)) {
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

// Goes on with the search, until it waits for a chain or has come to rest.
void node_seek_pump(struct cluster_node *n) {
    for (u32 i = 0; i < SEEK_STEPS_MAX; i++) {
        if (!seek_advance(n)) return;
        if (dqueue_step(&n->dq, &n->seek.op) == DQ_POST) {
            node_post(n, &n->seek.op.chain);
            return;
        }
        node_seek_op_done(n);
    }
    n->seek.state = SEEK_NONE;
    n->work_wanted = true;
}
