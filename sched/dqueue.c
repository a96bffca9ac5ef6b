// The distributed run queue: put, take, mark-hungry, wake and direct, as machines over
// one shard (see dqueue.h). Callers: proto/cluster/node.c, tests. No locks here: every
// step touches shared words by compare-and-swap alone, and an op belongs to one caller.
//
// Why no wake-up is lost: who goes idle marks the hungry word first and reads the window
// after; who puts sets the slot first and reads the hungry word after (both in one
// chain, and RC runs a chain in order). So one of the two sees the other. A mark may be
// stale: a node that is rung and cannot take passes the ring on (dqueue_wake).
//
// Why directed entries may be overwritten: they are hints. The home of the descriptor
// sweeps and sends one again while the owner word still says QUEUED.
#include "sched/dqueue.h"

#include "base/string.h"

enum state {
    PUT_LOOK, PUT_LOOKED, PUT_SET,
    WAKE_LOOK, WAKE_LOOKED, WAKE_CLEARED, WAKE_RUNG,
    TAKE_LOOK, TAKE_LOOKED, TAKE_TRIED, TAKE_TRIED_HOME, TAKE_CLEARED, TAKE_STALE,
    MARK_SET, MARK_DONE,
    DIRECT_SEND, DIRECT_SENT,
};

#define AGE_URGENT 32      // stamps behind the newest: taken whatever it prefers
#define STAMP_MASK 127u

static u64 slot_offset(u32 i) { return offsetof(struct dq_shard, slot) + i * sizeof(shared64_t); }

// The owner word of place `index` of this node's table; the caller keeps index below
// desc_count.
shared64_t *dqueue_owner(const struct dqueue *dq, u32 index) {
    return (shared64_t *)(void *)(dq->owner_base + (size_t)index * dq->owner_stride);
}

// Empties the shard. Before any peer has a key; the only plain stores to shared words.
void dqueue_init(struct dqueue *dq) {
    memset(dq->shard, 0, sizeof *dq->shard);
    memset(dq->inbox_next, 0, sizeof dq->inbox_next);
    memset(&dq->counters, 0, sizeof dq->counters);
}

static shared64_t *local_word(struct dqueue *dq, const struct chain_wr *wr) {
    if (wr->region == REGION_OWNER)
        return wr->offset < dq->desc_count ? dqueue_owner(dq, (u32)wr->offset) : NULL;
    if (wr->region != REGION_SHARD || wr->offset % 8 != 0) return NULL;
    if (wr->offset > sizeof(struct dq_shard) - 8) return NULL;
    return (shared64_t *)(void *)((u8 *)dq->shard + wr->offset);
}

// Runs the chain on this node's own words, in order. Only where words->coherent. A word
// out of range makes the status E_INVAL; operations before it have taken place, as on
// a queue pair.
void dqueue_run_local(struct dqueue *dq, struct chain *c) {
    for (u32 i = 0; i < c->count; i++) {
        struct chain_wr *wr = &c->wr[i];
        u32 words = wr->op == CHAIN_READ ? wr->len_bytes / 8 : 1;
        for (u32 k = 0; k < words; k++) {
            struct chain_wr at = {.region = wr->region, .offset = wr->offset + k * 8};
            shared64_t *w = local_word(dq, &at);
            if (w == NULL || wr->op == CHAIN_WRITE_IMM) {
                c->status = E_INVAL;
                return;
            }
            if (wr->op == CHAIN_READ)
                ((u64 *)wr->buf)[k] = word_read(dq->words, w);
            else if (wr->op == CHAIN_CAS)
                wr->result = word_cas(dq->words, w, wr->compare, wr->operand);
            else
                wr->result = word_add(dq->words, w, wr->operand);
        }
    }
    c->status = S_OK;
}

static void op_begin(struct dq_op *op, enum dq_kind kind, u8 shard_node, enum state state) {
    memset(op, 0, sizeof *op);
    op->kind = kind;
    op->shard_node = shard_node;
    op->state = (u8)state;
}

// Puts `slot` (its owner word is QUEUED already) into the shard of shard_node and rings
// a hungry node. Result: S_OK; E_NOSPC full, nothing changed: keep it locally;
// E_HOSTUNREACH the shard's node died, the entry may or may not be there. wake_self:
// the hungry node is this one.
void dqueue_put(struct dqueue *dq, struct dq_op *op, u8 shard_node, u64 slot) {
    (void)dq;
    op_begin(op, DQ_PUT, shard_node, PUT_LOOK);
    op->slot = slot;
}

// Takes one entry from the shard of shard_node. `desc` (desc_bytes, registered) receives
// the descriptor where the home is another node. Result: S_OK, op->slot is ours: the
// owner word is RUNNING(self) where the home is this node, else ADOPTING(self), epoch
// one on; E_AGAIN nothing to take; E_HOSTUNREACH a node died meanwhile (where op->slot
// is set that entry's outcome is unknown, and its home settles it after fencing us).
void dqueue_take(struct dqueue *dq, struct dq_op *op, u8 shard_node, void *desc) {
    (void)dq;
    op_begin(op, DQ_TAKE, shard_node, TAKE_LOOK);
    op->desc = desc;
}

// Marks this node hungry in the shard of shard_node, then reads its window. Result:
// S_OK entries are there, take; E_AGAIN empty: may halt; E_HOSTUNREACH; E_BUSY the word
// would not settle: look again later, do not halt on this.
void dqueue_mark(struct dqueue *dq, struct dq_op *op, u8 shard_node) {
    (void)dq;
    op_begin(op, DQ_MARK, shard_node, MARK_SET);
}

// Passes a ring on: rings one hungry node other than this one, for the shard of
// shard_node. For a node that was rung and has no room.
void dqueue_wake(struct dqueue *dq, struct dq_op *op, u8 shard_node) {
    (void)dq;
    op_begin(op, DQ_WAKE, shard_node, WAKE_LOOK);
}

// Writes `slot` into our entry list in node's inbox and interrupts it.
void dqueue_direct(struct dqueue *dq, struct dq_op *op, u8 node, u64 slot) {
    (void)dq;
    op_begin(op, DQ_DIRECT, node, DIRECT_SEND);
    op->slot = slot;
}

static enum dq_next op_done(struct dq_op *op, status_t status) {
    op->status = status;
    return DQ_DONE;
}

static enum dq_next op_post(struct dq_op *op, enum state next) {
    op->state = (u8)next;
    return DQ_POST;
}

static enum dq_next look_window(struct dq_op *op, enum state next) {
    chain_begin(&op->chain, op->shard_node);
    chain_read(&op->chain, REGION_SHARD, slot_offset(0), op->window, sizeof op->window);
    op->tried = 0;
    return op_post(op, next);
}

// Newest and oldest stamp of the window by serial comparison. False: no entries.
static bool stamp_range(const u64 *window, u32 *newest, u32 *oldest) {
    bool any = false;
    for (u32 i = 0; i < DQ_SLOTS; i++) {
        if (window[i] == 0) continue;
        u32 s = (u32)FIELD_GET(SLOT_STAMP, window[i]);
        if (!any) *newest = *oldest = s;
        any = true;
        if (((s - *newest) & STAMP_MASK) <= DQ_STAMP_SPREAD) *newest = s;
        if (((*oldest - s) & STAMP_MASK) <= DQ_STAMP_SPREAD) *oldest = s;
    }
    return any;
}

// The stamp of a new entry: one on from the newest, unless the oldest would fall so far
// behind that it looked young.
static u32 stamp_next(const u64 *window) {
    u32 newest, oldest;
    if (!stamp_range(window, &newest, &oldest)) return 0;
    bool stretched = ((newest - oldest) & STAMP_MASK) >= DQ_STAMP_SPREAD;
    return stretched ? newest : (newest + 1) & STAMP_MASK;
}

static enum dq_next put_choose(struct dqueue *dq, struct dq_op *op) {
    u32 start = rng_u32(dq->rng) % DQ_SLOTS, i;
    for (i = 0; i < DQ_SLOTS; i++)
        if (op->window[(start + i) % DQ_SLOTS] == 0) break;
    if (i == DQ_SLOTS) {
        dq->counters.full++;
        return op_done(op, E_NOSPC);
    }
    op->pick = (u8)((start + i) % DQ_SLOTS);
    op->slot = (op->slot & ~SLOT_STAMP) | FIELD_PREP(SLOT_STAMP, stamp_next(op->window));
    chain_begin(&op->chain, op->shard_node);
    chain_cas(&op->chain, REGION_SHARD, slot_offset(op->pick), 0, op->slot);
    chain_read(&op->chain, REGION_SHARD, offsetof(struct dq_shard, hungry), &op->hungry, 8);
    return op_post(op, PUT_SET);
}

static enum dq_next wake_look(struct dq_op *op) {
    chain_begin(&op->chain, op->shard_node);
    chain_read(&op->chain, REGION_SHARD, offsetof(struct dq_shard, hungry), &op->hungry, 8);
    return op_post(op, WAKE_LOOKED);
}

static u8 wake_pick(struct dqueue *dq, const struct dq_op *op, u64 others) {
    u8 preferred = slot_preferred(op->slot);
    if (op->slot != 0 && preferred < NODES_MAX && (others & BIT(preferred))) return preferred;
    u32 start = rng_u32(dq->rng) % NODES_MAX;
    for (u32 i = 0; i < NODES_MAX; i++)
        if (others & BIT((start + i) % NODES_MAX)) return (u8)((start + i) % NODES_MAX);
    return dq->self;
}

// op->hungry holds the word: clear one bit of it, or be done where there is none.
static enum dq_next wake_choose(struct dqueue *dq, struct dq_op *op) {
    u64 others = op->hungry & ~BIT(dq->self);
    if (others == 0 && (op->kind == DQ_WAKE || op->hungry == 0)) return op_done(op, S_OK);
    op->ring = others != 0 ? wake_pick(dq, op, others) : dq->self;
    chain_begin(&op->chain, op->shard_node);
    chain_cas(&op->chain, REGION_SHARD, offsetof(struct dq_shard, hungry), op->hungry,
              op->hungry & ~BIT(op->ring));
    return op_post(op, WAKE_CLEARED);
}

static enum dq_next wake_ring(struct dqueue *dq, struct dq_op *op) {
    if (op->ring == dq->self) {
        op->wake_self = true;
        return op_done(op, S_OK);
    }
    if (!(dq->members & BIT(op->ring))) {   // a mark that a dead node left behind
        op->hungry &= ~BIT(op->ring);
        return wake_choose(dq, op);
    }
    chain_begin(&op->chain, op->ring);
    struct chain_wr *wr = chain_add(&op->chain, CHAIN_WRITE_IMM, REGION_INBOX, 0);
    wr->len_bytes = 0;
    wr->imm = (u32)(FIELD_PREP(DQ_IMM_KIND, DQ_IMM_LOOK) |
                    FIELD_PREP(DQ_IMM_SHARD, op->shard_node));
    dq->counters.rings++;
    return op_post(op, WAKE_RUNG);
}

static enum dq_next wake_cleared(struct dqueue *dq, struct dq_op *op) {
    if (op->chain.status != S_OK) return op_done(op, E_HOSTUNREACH);
    if (chain_cas_won(&op->chain, 0)) return wake_ring(dq, op);
    op->hungry = op->chain.wr[0].result;
    if (++op->tries <= DQ_TRIES_MAX) return wake_choose(dq, op);
    // Ring without clearing: one ring too many does no harm, one too few would.
    dq->counters.tries_exceeded++;
    if (op->hungry == 0) return op_done(op, S_OK);
    return wake_ring(dq, op);
}

static enum dq_next wake_rung(struct dqueue *dq, struct dq_op *op) {
    if (op->chain.status == S_OK) return op_done(op, S_OK);
    dq->counters.rings_failed++;
    if (++op->tries > DQ_TRIES_MAX) return op_done(op, E_HOSTUNREACH);
    return wake_look(op);   // the sleeper was dead: another one must hear of it
}

static enum dq_next put_set(struct dqueue *dq, struct dq_op *op) {
    if (op->chain.status != S_OK) return op_done(op, E_HOSTUNREACH);
    if (!chain_cas_won(&op->chain, 0)) {
        dq->counters.lost_race++;
        op->window[op->pick] = op->chain.wr[0].result;
        if (++op->tries <= DQ_TRIES_MAX) return put_choose(dq, op);
        dq->counters.tries_exceeded++;
        return op_done(op, E_NOSPC);
    }
    if (op->shard_node == dq->self)
        dq->counters.puts_local++;
    else
        dq->counters.puts_remote++;
    return op->no_wake ? op_done(op, S_OK) : wake_choose(dq, op);
}

// Order of choice: entries that prefer this node or have waited long, then those
// without a preference, then the rest; within a rank the oldest. DQ_SLOTS: none left.
static u32 take_pick(const struct dqueue *dq, const struct dq_op *op) {
    u32 newest = 0, oldest = 0, best = DQ_SLOTS, best_key = 0;
    stamp_range(op->window, &newest, &oldest);
    for (u32 i = 0; i < DQ_SLOTS; i++) {
        u64 s = op->window[i];
        if (s == 0 || (op->tried & BIT(i))) continue;
        u32 age = (newest - (u32)FIELD_GET(SLOT_STAMP, s)) & STAMP_MASK;
        u8 preferred = slot_preferred(s);
        u32 rank = preferred == dq->self || age >= AGE_URGENT ? 2 : preferred == NODE_ANY;
        u32 key = rank * (STAMP_MASK + 1) + age;
        if (best == DQ_SLOTS || key > best_key) {
            best = i;
            best_key = key;
        }
    }
    return best;
}

static void clear_slot(struct dq_op *op) {
    chain_cas(&op->chain, REGION_SHARD, slot_offset(op->pick), op->slot, 0);
}

static enum dq_next take_choose(struct dqueue *dq, struct dq_op *op) {
    u32 pick = op->tries <= DQ_TRIES_MAX ? take_pick(dq, op) : DQ_SLOTS;
    if (pick == DQ_SLOTS) {
        op->slot = 0;
        dq->counters.empty++;
        return op_done(op, E_AGAIN);
    }
    op->pick = (u8)pick;
    op->slot = op->window[pick];
    op->tried |= BIT(pick);
    op->tries++;
    u8 home = slot_home(op->slot);
    chain_begin(&op->chain, home);
    if (!(op->slot & SLOT_VALID) || home >= NODES_MAX || !(dq->members & BIT(home))) {
        chain_begin(&op->chain, op->shard_node);   // names a node that is gone
        clear_slot(op);
        dq->counters.stale++;
        return op_post(op, TAKE_STALE);
    }
    u64 expected = slot_owner_word(op->slot);
    u64 desired = owner_next(expected, home == dq->self ? OWNER_RUNNING : OWNER_ADOPTING,
                             dq->self);
    chain_cas(&op->chain, REGION_OWNER, slot_index(op->slot), expected, desired);
    if (home != dq->self)
        chain_read(&op->chain, REGION_DESC, slot_index(op->slot), op->desc, dq->desc_bytes);
    if (home != op->shard_node) return op_post(op, TAKE_TRIED_HOME);
    clear_slot(op);
    return op_post(op, TAKE_TRIED);
}

static enum dq_next take_won(struct dqueue *dq, struct dq_op *op) {
    if (slot_home(op->slot) == dq->self)
        dq->counters.takes_local++;
    else
        dq->counters.takes_remote++;
    return op_done(op, S_OK);
}

// Entry and descriptor on one node: owner, descriptor and slot went in one chain.
static enum dq_next take_tried(struct dqueue *dq, struct dq_op *op) {
    if (op->chain.status == E_HOSTUNREACH) return op_done(op, E_HOSTUNREACH);
    if (chain_cas_won(&op->chain, 0)) return take_won(dq, op);
    struct chain_wr *slot_cas = &op->chain.wr[op->chain.count - 1];
    dq->counters.lost_race++;
    op->window[op->pick] = 0;
    if (op->chain.status == S_OK && slot_cas->result != slot_cas->compare) {
        op->window[op->pick] = slot_cas->result;   // another entry since: a candidate too
        op->tried &= ~BIT(op->pick);
    }
    return take_choose(dq, op);
}

// Entry in one shard, descriptor at another node: the slot is cleared in a second chain.
static enum dq_next take_tried_home(struct dqueue *dq, struct dq_op *op) {
    bool won = chain_cas_won(&op->chain, 0);
    chain_begin(&op->chain, op->shard_node);
    clear_slot(op);
    if (won) return op_post(op, TAKE_CLEARED);
    dq->counters.stale++;
    return op_post(op, TAKE_STALE);
}

static enum dq_next take_stale(struct dqueue *dq, struct dq_op *op) {
    if (op->chain.status != S_OK) {
        op->slot = 0;
        return op_done(op, E_HOSTUNREACH);
    }
    return take_choose(dq, op);
}

static enum dq_next mark_set(struct dqueue *dq, struct dq_op *op) {
    chain_begin(&op->chain, op->shard_node);
    chain_cas(&op->chain, REGION_SHARD, offsetof(struct dq_shard, hungry), op->hungry,
              op->hungry | BIT(dq->self));
    chain_read(&op->chain, REGION_SHARD, slot_offset(0), op->window, sizeof op->window);
    return op_post(op, MARK_DONE);
}

static enum dq_next mark_done(struct dqueue *dq, struct dq_op *op) {
    if (op->chain.status != S_OK) return op_done(op, E_HOSTUNREACH);
    op->hungry = op->chain.wr[0].result;
    if (!chain_cas_won(&op->chain, 0) && !(op->hungry & BIT(dq->self))) {
        if (++op->tries <= DQ_TRIES_MAX) return mark_set(dq, op);
        dq->counters.tries_exceeded++;
        return op_done(op, E_BUSY);
    }
    dq->counters.marks++;
    for (u32 i = 0; i < DQ_SLOTS; i++)
        if (op->window[i] != 0) return op_done(op, S_OK);
    return op_done(op, E_AGAIN);
}

static enum dq_next direct_send(struct dqueue *dq, struct dq_op *op) {
    if (op->shard_node == dq->self || op->shard_node >= NODES_MAX) return op_done(op, E_INVAL);
    u32 entry = dq->inbox_next[op->shard_node]++ % DQ_INBOX_ENTRIES;
    chain_begin(&op->chain, op->shard_node);
    struct chain_wr *wr = chain_add(&op->chain, CHAIN_WRITE_IMM, REGION_INBOX,
                                    entry * sizeof(u64));
    wr->buf = &op->slot;
    wr->imm = (u32)(FIELD_PREP(DQ_IMM_KIND, DQ_IMM_TAKE) | FIELD_PREP(DQ_IMM_ENTRY, entry));
    return op_post(op, DIRECT_SENT);
}

static enum dq_next step_once(struct dqueue *dq, struct dq_op *op) {
    switch ((enum state)op->state) {
    case PUT_LOOK: return look_window(op, PUT_LOOKED);
    case PUT_LOOKED:
        if (op->chain.status != S_OK) return op_done(op, E_HOSTUNREACH);
        return put_choose(dq, op);
    case PUT_SET: return put_set(dq, op);
    case WAKE_LOOK: return wake_look(op);
    case WAKE_LOOKED:
        if (op->chain.status != S_OK) return op_done(op, E_HOSTUNREACH);
        return wake_choose(dq, op);
    case WAKE_CLEARED: return wake_cleared(dq, op);
    case WAKE_RUNG: return wake_rung(dq, op);
    case TAKE_LOOK: return look_window(op, TAKE_LOOKED);
    case TAKE_LOOKED:
        if (op->chain.status != S_OK) return op_done(op, E_HOSTUNREACH);
        return take_choose(dq, op);
    case TAKE_TRIED: return take_tried(dq, op);
    case TAKE_TRIED_HOME: return take_tried_home(dq, op);
    case TAKE_CLEARED: return take_won(dq, op);
    case TAKE_STALE: return take_stale(dq, op);
    case MARK_SET: return mark_set(dq, op);
    case MARK_DONE: return mark_done(dq, op);
    case DIRECT_SEND: return direct_send(dq, op);
    case DIRECT_SENT: return op_done(op, op->chain.status);
    }
    return op_done(op, E_INVAL);
}

// Goes on with an operation: at its start, and after its chain came back. POST: the
// host posts op->chain and calls again when it has filled it. Chains to this node are
// run here where the words are coherent, and never come out.
enum dq_next dqueue_step(struct dqueue *dq, struct dq_op *op) {
    for (;;) {   // ends: every path through the states is bounded by DQ_TRIES_MAX
        enum dq_next next = step_once(dq, op);
        if (next == DQ_DONE || op->chain.node != dq->self || !dq->words->coherent) return next;
        dqueue_run_local(dq, &op->chain);
    }
}

// How many entries this node's shard holds now.
u32 dqueue_depth(const struct dqueue *dq) {
    u32 n = 0;
    for (u32 i = 0; i < DQ_SLOTS; i++) n += word_read(dq->words, &dq->shard->slot[i]) != 0;
    return n;
}

// Is the entry in this node's own shard? The stamp may differ.
bool dqueue_has(const struct dqueue *dq, u64 slot) {
    for (u32 i = 0; i < DQ_SLOTS; i++)
        if (((word_read(dq->words, &dq->shard->slot[i]) ^ slot) & ~SLOT_STAMP) == 0) return true;
    return false;
}
