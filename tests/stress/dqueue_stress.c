// Many threads on one shard with CPU atomics: putters queue places again and again, takers
// take them; each time a place is queued it is taken exactly once, whoever gets it. Half
// of the threads act as the home node, half as another node that READs windows and posts
// chains (run here by the CPU as a coherent card would). Prints TAP.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "sched/dqueue.h"
#include "tests/unit/cpu_words.h"

#define PLACES 96
#define THREADS 8
#define GOOD 24
#define TAKES_TOTAL 200000u

static struct dq_shard shard;
static shared64_t owner[PLACES];
static u32 taken[PLACES], queued_count[PLACES];   // by the place's own taker or putter
static u32 takes;
static u32 wrong;

static void fill(void *ctx, void *to, size_t len) {
    u64 *x = ctx;
    for (size_t i = 0; i < len; i++)
        ((u8 *)to)[i] = (u8)((*x = *x * 6364136223846793005ull + 1) >> 56);
}

// The remote side: what the home's card does with each chain of the other node.
static void card(struct dqueue *home, struct chain *c) {
    for (u32 i = 0; i < c->count; i++) {
        struct chain one;
        if (c->wr[i].op == CHAIN_WRITE_IMM || c->wr[i].region == REGION_DESC) continue;
        chain_begin(&one, c->node);
        one.wr[one.count++] = c->wr[i];
        dqueue_run_local(home, &one);
        c->wr[i].result = one.wr[0].result;
    }
}

static status_t run(struct dqueue *dq, struct dqueue *home, struct dq_op *op) {
    while (dqueue_step(dq, op) == DQ_POST) card(home, &op->chain);
    return op->status;
}

// Queues the place, whose word is ours alone now (RUNNING or FREE).
static void requeue(struct dqueue *dq, struct dqueue *home, struct dq_op *op, u32 index) {
    u64 word = w_read(NULL, &owner[index]);
    u64 next = owner_next(word, OWNER_QUEUED, 0);
    __atomic_add_fetch(&queued_count[index], 1, __ATOMIC_SEQ_CST);
    if (w_cas(NULL, &owner[index], word, next) != word)
        __atomic_add_fetch(&wrong, 1, __ATOMIC_SEQ_CST);
    u64 slot = slot_word(0, index, owner_epoch(next), NODE_ANY, 0);
    // Doubles are harmless. At most GOOD entries are good, so that there is always room.
    for (u32 copies = index % 7 == 0 && dqueue_depth(dq) < 32 ? 2 : 1; copies > 0; copies--) {
        dqueue_put(dq, op, 0, slot);
        if (run(dq, home, op) != S_OK) __atomic_add_fetch(&wrong, 1, __ATOMIC_SEQ_CST);
    }
}

static void *hammer(void *arg) {
    u64 seed = (u64)(size_t)arg * 77 + 1;
    struct rng rng = {fill, &seed};
    struct dqueue dq = {.self = (size_t)arg % 2, .members = 3, .shard = &shard,
                        .owner_base = (u8 *)owner, .owner_stride = 8, .desc_count = PLACES,
                        .desc_bytes = 16, .words = &words, .rng = &rng};
    struct dqueue home = dq;
    static _Thread_local struct dq_op op;
    u8 desc[16];
    home.self = 0;
    while (__atomic_load_n(&takes, __ATOMIC_SEQ_CST) < TAKES_TOTAL) {
        dqueue_take(&dq, &op, 0, desc);
        if (run(&dq, &home, &op) != S_OK) continue;
        u32 index = slot_index(op.slot);
        // We alone own the place: as often taken as queued, and the word says who.
        u32 t = __atomic_add_fetch(&taken[index], 1, __ATOMIC_SEQ_CST);
        u64 word = w_read(NULL, &owner[index]);
        if (t != __atomic_load_n(&queued_count[index], __ATOMIC_SEQ_CST) ||
            owner_node(word) != dq.self || owner_state(word) == OWNER_QUEUED)
            __atomic_add_fetch(&wrong, 1, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&takes, 1, __ATOMIC_SEQ_CST);
        requeue(&dq, &home, &op, index);
    }
    return NULL;
}

int main(void) {
    u64 seed = 5;
    struct rng rng = {fill, &seed};
    struct dqueue dq = {.self = 0, .members = 3, .shard = &shard, .owner_base = (u8 *)owner,
                        .owner_stride = 8, .desc_count = PLACES, .words = &words, .rng = &rng};
    static struct dq_op op;
    pthread_t thread[THREADS];
    dqueue_init(&dq);
    for (u32 i = 0; i < GOOD; i++) requeue(&dq, &dq, &op, i);
    for (size_t i = 0; i < THREADS; i++) pthread_create(&thread[i], NULL, hammer, (void *)i);
    for (u32 i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    // None lost: every place still queued has an entry, and all of them can be taken.
    u32 left = 0;
    for (;;) {
        dqueue_take(&dq, &op, 0, NULL);
        if (run(&dq, &dq, &op) != S_OK) break;
        left++;
    }
    printf("# %u takes by %d threads, %u left in the queue\n", takes, THREADS, left);
    printf("%sok 1 - each entry ran exactly once\n", wrong == 0 ? "" : "not ");
    printf("%sok 2 - none was lost\n1..2\n", left == GOOD ? "" : "not ");
    return wrong != 0 || left != GOOD;
}
