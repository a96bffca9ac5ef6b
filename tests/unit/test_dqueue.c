// links: sched/dqueue.c
// The queue's machines on two nodes held in memory: local and remote put and take, stale
// and doubled entries, a full shard, ages, the idle protocol, deaths, E_INVAL chains.
#include <check.h>
#include <string.h>

#include "sched/dqueue.h"
#include "tests/unit/cpu_words.h"
#include "tests/unit/suite_run.h"

#define PLACES 128

struct node {
    struct dqueue dq;
    struct dq_shard shard;
    shared64_t owner[PLACES];
    struct dq_inbox inbox;
    u32 rings;
    u32 last_imm;
    bool dead;
};
static struct node node[2];

static void fill(void *ctx, void *to, size_t len) {
    static u64 x = 1;
    (void)ctx;
    for (size_t i = 0; i < len; i++)
        ((u8 *)to)[i] = (u8)((x = x * 6364136223846793005ull + 1) >> 56);
}
static const struct rng rng = {fill, NULL};

static void setup(void) {
    memset(node, 0, sizeof node);
    for (u8 i = 0; i < 2; i++) {
        node[i].dq = (struct dqueue){.self = i, .members = 3, .shard = &node[i].shard,
                                     .owner_base = (u8 *)node[i].owner, .owner_stride = 8,
                                     .desc_count = PLACES, .desc_bytes = 16, .words = &words,
                                     .rng = &rng};
        dqueue_init(&node[i].dq);
    }
}

// What the peer's card does with a chain.
static void card(u8 from, struct chain *c) {
    struct node *n = &node[c->node];
    if (n->dead) {
        c->status = E_HOSTUNREACH;
        return;
    }
    for (u32 i = 0; i < c->count; i++) {
        struct chain one;
        struct chain_wr *wr = &c->wr[i];
        if (wr->op == CHAIN_WRITE_IMM) {
            n->rings++;
            n->last_imm = wr->imm;
            if (wr->len_bytes) memcpy((u8 *)&n->inbox + wr->offset, wr->buf, wr->len_bytes);
        } else if (wr->region == REGION_DESC) {
            memset(wr->buf, 0x5a, wr->len_bytes);
        } else {
            chain_begin(&one, c->node);
            one.wr[one.count++] = *wr;
            dqueue_run_local(&n->dq, &one);
            wr->result = one.wr[0].result;
        }
    }
    (void)from;
}

static status_t run(u8 self, struct dq_op *op) {
    while (dqueue_step(&node[self].dq, op) == DQ_POST) card(self, &op->chain);
    return op->status;
}

static u64 queued(u8 home, u32 index, u8 preferred) {
    u64 w = owner_word(OWNER_QUEUED, home, 100 + index);
    memcpy(&node[home].owner[index], &w, 8);
    return slot_word(home, index, 100 + index, preferred, 2);
}

static struct dq_op op;
static u8 desc[16];

static status_t put(u8 self, u8 shard, u64 slot) {
    dqueue_put(&node[self].dq, &op, shard, slot);
    return run(self, &op);
}
static status_t take(u8 self, u8 shard) {
    dqueue_take(&node[self].dq, &op, shard, desc);
    return run(self, &op);
}
static u64 word(u8 n, u32 i) { return w_read(NULL, &node[n].owner[i]); }

START_TEST(test_local) {
    ck_assert_int_eq(take(0, 0), E_AGAIN);
    ck_assert_int_eq(put(0, 0, queued(0, 5, NODE_ANY)), S_OK);
    ck_assert_uint_eq(dqueue_depth(&node[0].dq), 1);
    ck_assert_int_eq(take(0, 0), S_OK);
    ck_assert_uint_eq(slot_index(op.slot), 5);
    ck_assert_uint_eq(word(0, 5), owner_word(OWNER_RUNNING, 0, 106));
    ck_assert_uint_eq(dqueue_depth(&node[0].dq), 0);
    ck_assert_int_eq(take(0, 0), E_AGAIN);
    ck_assert_uint_eq(node[0].dq.counters.takes_local, 1);
}
END_TEST

START_TEST(test_remote) {
    ck_assert_int_eq(put(0, 0, queued(0, 5, NODE_ANY)), S_OK);
    ck_assert_int_eq(take(1, 0), S_OK);
    ck_assert_uint_eq(word(0, 5), owner_word(OWNER_ADOPTING, 1, 106));
    ck_assert_uint_eq(desc[0], 0x5a);
    ck_assert_uint_eq(dqueue_depth(&node[0].dq), 0);
    // An entry of node 0 in node 1's shard, taken by either.
    ck_assert_int_eq(put(0, 1, queued(0, 6, NODE_ANY)), S_OK);
    ck_assert_uint_eq(dqueue_depth(&node[1].dq), 1);
    ck_assert_int_eq(take(0, 1), S_OK);
    ck_assert_uint_eq(word(0, 6), owner_word(OWNER_RUNNING, 0, 107));
    ck_assert_int_eq(put(0, 1, queued(0, 7, NODE_ANY)), S_OK);
    ck_assert_int_eq(take(1, 1), S_OK);
    ck_assert_uint_eq(word(0, 7), owner_word(OWNER_ADOPTING, 1, 108));
    ck_assert_uint_eq(dqueue_depth(&node[1].dq), 0);
}
END_TEST

// A doubled entry and one of an old epoch are harmless, and are cleaned away.
START_TEST(test_stale) {
    u64 slot = queued(0, 5, NODE_ANY);
    put(0, 0, slot);
    put(0, 0, slot);
    put(0, 0, slot_word(0, 5, 3, NODE_ANY, 0));
    put(0, 0, slot_word(0, 9, 77, NODE_ANY, 0));
    ck_assert_uint_eq(dqueue_depth(&node[0].dq), 4);
    ck_assert_int_eq(take(1, 0), S_OK);
    u64 owner = word(0, 5);
    ck_assert_int_eq(take(1, 0), E_AGAIN);
    ck_assert_int_eq(take(0, 0), E_AGAIN);
    ck_assert_uint_eq(word(0, 5), owner);
    ck_assert_uint_eq(word(0, 9), 0);
    ck_assert_uint_eq(dqueue_depth(&node[0].dq), 0);
}
END_TEST

START_TEST(test_bad_slot) {   // an index out of range, a home that is no member
    put(0, 0, slot_word(0, 4000, 1, NODE_ANY, 0));
    put(0, 0, slot_word(60, 1, 1, NODE_ANY, 0));
    put(0, 0, slot_word(200, 1, 1, NODE_ANY, 0));
    ck_assert_int_eq(take(0, 0), E_AGAIN);
    ck_assert_uint_le(dqueue_depth(&node[0].dq), 1);
}
END_TEST

START_TEST(test_full) {
    for (u32 i = 0; i < DQ_SLOTS; i++) ck_assert_int_eq(put(0, 0, queued(0, i, NODE_ANY)), S_OK);
    ck_assert_int_eq(put(0, 0, queued(0, 100, NODE_ANY)), E_NOSPC);
    ck_assert_uint_eq(node[0].dq.counters.full, 1);
    for (u32 i = 0; i < DQ_SLOTS; i++) {   // and the oldest goes first
        ck_assert_int_eq(take(i % 2, 0), S_OK);
        ck_assert_uint_eq(slot_index(op.slot), i);
    }
    ck_assert_int_eq(take(0, 0), E_AGAIN);
}
END_TEST

START_TEST(test_preferred_and_age) {
    put(0, 0, queued(0, 1, 0));
    put(0, 0, queued(0, 2, NODE_ANY));
    put(0, 0, queued(0, 3, 1));
    ck_assert_int_eq(take(1, 0), S_OK);
    ck_assert_uint_eq(slot_index(op.slot), 3);
    ck_assert_int_eq(take(1, 0), S_OK);
    ck_assert_uint_eq(slot_index(op.slot), 2);
    // Whatever comes for node 1 by preference, the old one is not passed over for ever.
    bool taken = false;
    for (u32 i = 0; i < 600 && !taken; i++) {
        put(0, 0, queued(0, 10 + i % 100, 1));
        put(0, 0, queued(0, 10 + (i + 50) % 100, 1));
        ck_assert_int_eq(take(1, 0), S_OK);
        taken = slot_index(op.slot) == 1;
        if (dqueue_depth(&node[0].dq) > 40) take(1, 0);
        taken |= slot_index(op.slot) == 1;
    }
    ck_assert(taken);
}
END_TEST

START_TEST(test_idle) {
    dqueue_mark(&node[1].dq, &op, 0);
    ck_assert_int_eq(run(1, &op), E_AGAIN);   // empty: may halt
    ck_assert_int_eq(put(0, 0, queued(0, 1, NODE_ANY)), S_OK);
    ck_assert_uint_eq(node[1].rings, 1);
    ck_assert_uint_eq(FIELD_GET(DQ_IMM_KIND, node[1].last_imm), DQ_IMM_LOOK);
    ck_assert_int_eq(put(0, 0, queued(0, 2, NODE_ANY)), S_OK);
    ck_assert_uint_eq(node[1].rings, 1);      // one mark, one ring
    dqueue_mark(&node[1].dq, &op, 0);
    ck_assert_int_eq(run(1, &op), S_OK);      // marked, but there is work: do not halt
    dqueue_mark(&node[0].dq, &op, 0);
    run(0, &op);
    dqueue_wake(&node[1].dq, &op, 0);         // node 1 has no room: passes it on
    ck_assert_int_eq(run(1, &op), S_OK);
    ck_assert_uint_eq(node[0].rings, 1);
}
END_TEST

START_TEST(test_dead_sleeper) {   // the node rung is dead: nobody is told, the put stands
    dqueue_mark(&node[1].dq, &op, 0);
    run(1, &op);
    node[1].dead = true;
    ck_assert_int_eq(put(0, 0, queued(0, 1, NODE_ANY)), S_OK);
    ck_assert_uint_eq(node[0].dq.counters.rings_failed, 1);
    ck_assert_int_eq(take(0, 1), E_HOSTUNREACH);
    ck_assert_int_eq(put(0, 1, queued(0, 2, NODE_ANY)), E_HOSTUNREACH);
    ck_assert_int_eq(take(0, 0), S_OK);
}
END_TEST

START_TEST(test_direct) {
    u64 slot = queued(0, 9, 1);
    dqueue_direct(&node[0].dq, &op, 1, slot);
    ck_assert_int_eq(run(0, &op), S_OK);
    ck_assert_uint_eq(node[1].inbox.entry[FIELD_GET(DQ_IMM_ENTRY, node[1].last_imm)], slot);
    dqueue_direct(&node[0].dq, &op, 0, slot);
    ck_assert_int_eq(run(0, &op), E_INVAL);
}
END_TEST

int main(void) {
    Suite *s = suite_create("dqueue");
    TCase *t = tcase_create("queue");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, test_local);
    tcase_add_test(t, test_remote);
    tcase_add_test(t, test_stale);
    tcase_add_test(t, test_bad_slot);
    tcase_add_test(t, test_full);
    tcase_add_test(t, test_preferred_and_age);
    tcase_add_test(t, test_idle);
    tcase_add_test(t, test_dead_sleeper);
    tcase_add_test(t, test_direct);
    suite_add_tcase(s, t);
    return suite_run(s);
}
