// The words by which placement knows other nodes: how many CPU-bound processes each has
// room for and has, and its CPUs, in one READ; a unit is taken by one fetch-and-add on the
// same word (sched/place.h). Called by kernel/placement.c. Lock: net_lock. This node's own
// word: cluster_self.c. Spec: docs/ARCHITECTURE.md, "Joining".
#include "kernel/cluster_priv.h"
#include "kernel/placement.h"
#include "kernel/x86/cpu.h"
#include "mm/kmem.h"

#define WORDS_AT (offsetof(struct cluster_words, capacity) - offsetof(struct cluster_words, shard))
_Static_assert(offsetof(struct cluster_words, cpus) - offsetof(struct cluster_words, capacity) ==
               offsetof(struct cluster_load, cpus), "one READ fetches both");

struct load_op {
    struct chain chain;
    struct cluster_load found;       // READ lands here
    cluster_load_done done;          // NULL: free
    void *ctx;
    u64 posted_ns;
};
static struct load_op *ops;          // [LOAD_OPS_MAX], in registered memory

static struct load_op *op_alloc(u32 node, cluster_load_done done, void *ctx) {
    u32 i = 0;
    while (i < LOAD_OPS_MAX && ops[i].done) i++;
    if (i == LOAD_OPS_MAX) return NULL;
    ops[i].done = done;
    ops[i].ctx = ctx;
    ops[i].posted_ns = time_now_ns();
    (void)chain_begin(&ops[i].chain, (u8)node);
    return &ops[i];
}

status_t cluster_load_read(u32 node, cluster_load_done done, void *ctx) {
    struct peer *p = peer_up(node);
    struct load_op *op = p ? op_alloc(node, done, ctx) : NULL;
    if (!op) return p ? E_AGAIN : E_HOSTUNREACH;
    chain_read(&op->chain, REGION_SHARD, WORDS_AT, &op->found, sizeof op->found);
    chain_post(p, &op->chain);
    return S_OK;
}

status_t cluster_capacity_add(u32 node, u64 addend, cluster_load_done done, void *ctx) {
    struct peer *p = peer_up(node);
    struct load_op *op = p ? op_alloc(node, done, ctx) : NULL;
    if (!op) return p ? E_AGAIN : E_HOSTUNREACH;
    chain_add(&op->chain, CHAIN_ADD, REGION_SHARD, WORDS_AT)->operand = addend;
    chain_post(p, &op->chain);
    return S_OK;
}

bool load_posted(struct chain *c) {
    struct load_op *op = CONTAINER_OF(c, struct load_op, chain);
    if (!ops || op < ops || op >= ops + LOAD_OPS_MAX) return false;
    const struct chain_wr *wr = &c->wr[0];
    struct cluster_load found = op->found;
    if (wr->op == CHAIN_ADD) found.capacity = wr->result;
    const cluster_load_done done = op->done;
    op->done = NULL;
    if (c->status == S_OK) placement_price(PRICE_ROUND_TRIP, time_now_ns() - op->posted_ns);
    done(op->ctx, c->status, &found);
    return true;
}

void cluster_load_init(void) {
    ops = kmem_alloc(LOAD_OPS_MAX * sizeof *ops);
    ASSERT(ops);
    cluster.words->cpus = cpu_count;
}
