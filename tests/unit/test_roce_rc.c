// RC over two joined devices: every operation at every MTU, PSN wrap, loss of each kind of
// packet, duplicates, reordering, corruption, atomics' replay, RNR, retries, flush.
// tidy: long, because its cases share one pair of devices and the helpers that forge packets
// links: proto/roce/icrc.c proto/roce/opcode.c proto/roce/packet.c proto/roce/rc_req.c
// links: proto/roce/rc_resp.c proto/roce/cm_mad.c proto/roce/cm.c
// links: drivers/rdma/verbs.c drivers/rdma/pd.c drivers/rdma/mr.c drivers/rdma/cq.c
// links: drivers/rdma/qp.c drivers/rdma/soft.c drivers/rdma/soft_rx.c drivers/rdma/soft_tx.c
// links: drivers/rdma/soft_neigh.c drivers/rdma/rdma_cm.c tests/unit/rc_pair.c
#include <check.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/string.h"
#include "base/units.h"
#include "proto/roce/packet.h"
#include "proto/roce/psn.h"
#include "rc_pair.h"
#include "tests/unit/suite_run.h"

const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0"; }   // see pair_free

static void post(struct pair *p, u32 side, const struct rdma_send_wr *wr) {
    ck_assert_int_eq(rdma_post_send(p->side[side].qp, wr), S_OK);
}

static void expect_ok(struct pair *p, u32 side, u32 count) {
    ck_assert_msg(pair_wait(p, side, count), "stalled with %u of %u completions",
                  p->side[side].wc_count, count);
    for (u32 i = 0; i < count; i++) ck_assert_int_eq(p->side[side].wc[i].status, RDMA_WC_SUCCESS);
}

static void expect_one(struct pair *p, u32 side, enum rdma_wc_status status) {
    ck_assert(pair_wait(p, side, 1));
    ck_assert_int_eq(p->side[side].wc[0].status, status);
}

// All operations once, with odd offsets and lengths around the MTU; contents compared.
static void all_ops(struct pair *p) {
    u32 mtu = 128u << p->mtu;
    u32 lens[] = {0, 1, 3, 8, 64, mtu - 1, mtu, mtu + 1, 3 * mtu + 5, 100001};
    struct pair_side *a = &p->side[0], *b = &p->side[1];
    for (u32 i = 0; i < ARRAY_COUNT(lens); i++) {
        u32 len = lens[i], la = 13 + i, ra = 200000 + 7 * i;
        pair_fill(p, 0, i + 1);
        pair_fill(p, 1, i + 1000);
        pair_drain(p);
        struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_RDMA_WRITE, la, ra, len);
        post(p, 0, &w);
        expect_ok(p, 0, 1);
        ck_assert_int_eq(memcmp(a->buf + la, b->buf + ra, len), 0);
        pair_drain(p);
        pair_fill(p, 0, i + 5);
        w = pair_wr(p, 0, RDMA_WR_RDMA_READ, la, ra, len);
        u8 before = a->buf[la + len];
        post(p, 0, &w);
        expect_ok(p, 0, 1);
        ck_assert_uint_eq(a->wc[0].byte_len, len);
        ck_assert_int_eq(memcmp(a->buf + la, b->buf + ra, len), 0);
        ck_assert_uint_eq(a->buf[la + len], before);
        pair_drain(p);
        pair_recv(p, 1, 500001, len + 1, 77);
        w = pair_wr(p, 0, RDMA_WR_SEND_WITH_IMM, la, 0, len);
        w.imm_data = 0x01020304;
        post(p, 0, &w);
        expect_ok(p, 0, 1);
        expect_ok(p, 1, 1);
        ck_assert_uint_eq(b->wc[0].byte_len, len);
        ck_assert_uint_eq(b->wc[0].imm_data, 0x01020304);
        ck_assert_int_eq(memcmp(a->buf + la, b->buf + 500001, len), 0);
        pair_drain(p);
        pair_recv(p, 1, 0, 0, 78);
        w = pair_wr(p, 0, RDMA_WR_RDMA_WRITE_WITH_IMM, la, ra + 3, len);
        post(p, 0, &w);
        expect_ok(p, 0, 1);
        expect_ok(p, 1, 1);
        ck_assert_uint_eq(b->wc[0].byte_len, len);
        ck_assert_int_eq(b->wc[0].opcode, RDMA_WC_RECV_RDMA_WITH_IMM);
        ck_assert_int_eq(memcmp(a->buf + la, b->buf + ra + 3, len), 0);
    }
    pair_drain(p);
    u64 *word = (u64 *)(void *)(b->buf + 4096), *got = (u64 *)(void *)(a->buf + 64);
    *word = 5;
    struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_ATOMIC_FETCH_AND_ADD, 64, 4096, 8);
    w.compare_add = 37;
    post(p, 0, &w);
    expect_ok(p, 0, 1);
    ck_assert_uint_eq(*got, 5);
    ck_assert_uint_eq(*word, 42);
    w = pair_wr(p, 0, RDMA_WR_ATOMIC_CMP_AND_SWP, 64, 4096, 8);
    w.compare_add = 42;
    w.swap = 99;
    pair_drain(p);
    post(p, 0, &w);
    expect_ok(p, 0, 1);
    ck_assert_uint_eq(*got, 42);
    ck_assert_uint_eq(*word, 99);
    pair_drain(p);
    post(p, 0, &w);
    expect_ok(p, 0, 1);
    ck_assert_uint_eq(*got, 99);
    ck_assert_uint_eq(*word, 99);
    pair_drain(p);
}

START_TEST(all_operations_at_every_mtu) {
    struct pair *p = pair_new();
    pair_connect(p, (enum rdma_mtu)_i, 100);
    all_ops(p);
    ck_assert_uint_eq(soft_counters(p->side[0].dev)->completer_retry_err, 0);
    pair_free(p);
}
END_TEST

START_TEST(psn_wraps) {
    struct pair *p = pair_new();
    pair_connect(p, RDMA_MTU_256, 0xfffff0);
    all_ops(p);
    pair_free(p);
}
END_TEST

// The first packet of an opcode is lost, and then one in `every` (not each k-th: that can
// hit the same packet of each repetition for ever).
struct drop { u8 opcode; u32 every, seen, dropped; };
static u32 drop_kind(struct pair *p, u32 dir, u8 *frame, u32 *len) {
    struct drop *d = p->user;
    (void)dir;
    (void)len;
    if (frame[ROCE_BTH_AT] != d->opcode) return 1;
    if (d->seen++ != 0 && pair_random(p) % d->every != 0) return 1;
    d->dropped++;
    return 0;
}

START_TEST(loss_of_each_kind) {
    struct pair *p = pair_new();
    struct drop d = {.opcode = (u8)_i, .every = 3};
    pair_connect(p, RDMA_MTU_1024, 0);
    p->filter = drop_kind;
    p->user = &d;
    all_ops(p);
    all_ops(p);
    bool never_sent = _i == RC_SEND_LAST || _i == RC_SEND_ONLY;
    if (!never_sent) ck_assert_uint_gt(d.dropped, 0);
    pair_free(p);
}
END_TEST

static u32 chaos(struct pair *p, u32 dir, u8 *frame, u32 *len) {
    (void)dir;
    u64 r = pair_random(p);
    if (r % 100 < 5) return 0;
    u8 bit = (u8)(1 << (r >> 60 & 7));
    if ((r >> 8) % 100 < 2) frame[ETH_LEN + (r >> 32) % (*len - ETH_LEN)] ^= bit;
    return (r >> 16) % 100 < 2 ? 2 : 1;
}

START_TEST(chaos_reads_and_writes_whole) {
    struct pair *p = pair_new();
    p->rng_state = (u64)_i + 1;
    pair_connect(p, _i & 1 ? RDMA_MTU_1024 : RDMA_MTU_4096, 0xffff00);
    p->filter = chaos;
    p->reorder = true;
    all_ops(p);
    all_ops(p);
    ck_assert_uint_gt(soft_counters(p->side[0].dev)->bad_icrc +
                      soft_counters(p->side[1].dev)->bad_icrc, 0);
    pair_free(p);
}
END_TEST

// Lost atomic ACKs: the sum of what was added is exact, and each old value is seen once.
START_TEST(atomics_replayed_not_repeated) {
    struct pair *p = pair_new();
    struct drop d = {.opcode = RC_ATOMIC_ACK, .every = (u32)_i + 2};
    pair_connect(p, RDMA_MTU_1024, 7);
    p->filter = drop_kind;
    p->user = &d;
    u64 *word = (u64 *)(void *)(p->side[1].buf + 8192);
    *word = 0;
    static bool seen[1000];
    memset(seen, 0, sizeof seen);
    for (u32 round = 0; round < 10; round++) {
        pair_drain(p);
        for (u32 i = 0; i < 100; i++) {
            struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_ATOMIC_FETCH_AND_ADD, 8 * i, 8192, 8);
            w.compare_add = 1;
            post(p, 0, &w);
        }
        expect_ok(p, 0, 100);
        for (u32 i = 0; i < 100; i++) {
            u64 old = ((u64 *)(void *)p->side[0].buf)[i];
            ck_assert_uint_lt(old, 1000);
            ck_assert(!seen[old]);
            seen[old] = true;
        }
    }
    ck_assert_uint_eq(*word, 1000);
    ck_assert_uint_gt(d.dropped, 0);
    ck_assert_uint_gt(soft_counters(p->side[1].dev)->dup_atomic_replayed, 0);
    pair_free(p);
}
END_TEST

START_TEST(lost_read_response_asked_again_without_timer) {
    struct pair *p = pair_new();
    struct drop d = {.opcode = RC_READ_RESP_MIDDLE, .every = 10};
    pair_connect(p, RDMA_MTU_1024, 7);
    pair_fill(p, 1, 3);
    p->filter = drop_kind;
    p->user = &d;
    struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_RDMA_READ, 0, 64, 300000);
    post(p, 0, &w);
    pair_flush(p);                           // no clock moves here
    ck_assert(pair_wait(p, 0, 1));
    ck_assert_int_eq(memcmp(p->side[0].buf, p->side[1].buf + 64, 300000), 0);
    ck_assert_uint_gt(soft_counters(p->side[0].dev)->read_gap_asked, 0);
    ck_assert_uint_eq(soft_counters(p->side[0].dev)->completer_retry_err, 0);
    pair_free(p);
}
END_TEST

START_TEST(read_8_mib_through_small_ring) {
    struct pair *p = pair_new();
    pair_connect(p, RDMA_MTU_4096, 7);
    pair_fill_len(p, 1, 3, 8 << 20);
    p->side[1].ring_size = 32;
    struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_RDMA_READ, 0, 0, 8 << 20);
    post(p, 0, &w);
    expect_ok(p, 0, 1);
    ck_assert_int_eq(memcmp(p->side[0].buf, p->side[1].buf, 8 << 20), 0);
    ck_assert_uint_gt(soft_counters(p->side[1].dev)->tx_ring_full, 0);
    pair_free(p);
}
END_TEST

START_TEST(write_8_mib_keeps_window) {
    struct pair *p = pair_new();
    pair_connect(p, RDMA_MTU_1024, 7);
    pair_fill_len(p, 0, 3, 8 << 20);
    struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_RDMA_WRITE, 0, 0, 8 << 20);
    post(p, 0, &w);
    soft_tx(p->side[0].dev, p->now_ns);
    ck_assert_uint_eq(p->sent[0], SOFT_WINDOW_PSN);
    expect_ok(p, 0, 1);
    ck_assert_int_eq(memcmp(p->side[0].buf, p->side[1].buf, 8 << 20), 0);
    pair_free(p);
}
END_TEST

START_TEST(rnr_waits_as_told) {
    struct pair *p = pair_new();
    struct rdma_qp_attr a = pair_default_attr(RDMA_MTU_1024, 7);
    a.min_rnr_timer = 14;                    // 1.28 ms
    pair_connect_attr(p, &a);
    for (u32 i = 0; i < 100; i++) {
        pair_drain(p);
        struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_SEND, 0, 0, 100);
        post(p, 0, &w);
        pair_flush(p);
        u64 told = p->now_ns;
        ck_assert_uint_eq(soft_next_deadline(p->side[0].dev), told + 1280000);
        pair_recv(p, 1, 0, 100, i);
        expect_ok(p, 0, 1);
        ck_assert_uint_ge(p->now_ns, told + 1280000);
    }
    ck_assert_uint_eq(soft_counters(p->side[0].dev)->rcvd_rnr_err, 100);
    ck_assert_uint_eq(soft_counters(p->side[0].dev)->completer_retry_err, 0);
    pair_free(p);
}
END_TEST

START_TEST(rnr_retry_counts) {
    struct pair *p = pair_new();
    struct rdma_qp_attr a = pair_default_attr(RDMA_MTU_1024, 7);
    a.rnr_retry = 3;
    pair_connect_attr(p, &a);
    struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_SEND, 0, 0, 100);
    post(p, 0, &w);
    expect_one(p, 0, RDMA_WC_RNR_RETRY_EXC_ERR);
    ck_assert_uint_eq(soft_counters(p->side[1].dev)->send_rnr_err, 4);
    pair_free(p);
}
END_TEST

static u32 drop_all(struct pair *p, u32 dir, u8 *frame, u32 *len) {
    (void)p; (void)dir; (void)frame; (void)len;
    return 0;
}

START_TEST(retry_exceeded_after_seven_then_flush_once) {
    struct pair *p = pair_new();
    pair_connect(p, RDMA_MTU_1024, 7);
    p->filter = drop_all;
    for (u32 i = 0; i < 5; i++) {
        struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_RDMA_WRITE, i, 0, 8);
        post(p, 0, &w);
        pair_recv(p, 0, 0, 8, 100 + i);
    }
    ck_assert(pair_wait(p, 0, 10));
    ck_assert_uint_eq(p->sent[0], 5 * 8);    // once and seven times again
    ck_assert_int_eq(p->side[0].wc[0].status, RDMA_WC_RETRY_EXC_ERR);
    for (u32 i = 1; i < 10; i++) ck_assert_int_eq(p->side[0].wc[i].status, RDMA_WC_WR_FLUSH_ERR);
    ck_assert(!pair_wait(p, 0, 11));         // and no eleventh
    struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_RDMA_WRITE, 0, 0, 8);
    post(p, 0, &w);
    ck_assert(pair_wait(p, 0, 11));
    ck_assert_int_eq(p->side[0].wc[10].status, RDMA_WC_WR_FLUSH_ERR);
    pair_free(p);
}
END_TEST

START_TEST(bounds_and_keys_refused) {
    const u64 len = PAIR_BUF;
    for (u32 op = 0; op < 3; op++) {
        for (u32 i = 0; i < 9; i++) {
            struct pair *p = pair_new();
            pair_connect(p, RDMA_MTU_4096, 7);
            u64 base = (u64)(uintptr_t)p->side[1].buf;
            u64 vas[] = {0, ~0ull - 7, 1ull << 63, base - 8, base + len - 4096 + 8, base + len,
                         base - 4096, ~0ull - 4095, base};
            static const enum rdma_wr_opcode ops[] = {RDMA_WR_RDMA_WRITE, RDMA_WR_RDMA_READ,
                                                      RDMA_WR_ATOMIC_FETCH_AND_ADD};
            struct rdma_send_wr w = pair_wr(p, 0, ops[op], 0, 0, op == 2 ? 8 : 4096);
            w.remote_addr = vas[i];
            if (i == 8) w.rkey ^= 0x100;
            if (op == 2 && i == 4) w.remote_addr = base + len;
            memset(p->side[1].buf, 0x5a, len);
            post(p, 0, &w);
            expect_one(p, 0, RDMA_WC_REM_ACCESS_ERR);
            ck_assert_uint_eq(p->side[1].buf[0], 0x5a);
            ck_assert_int_eq(memcmp(p->side[1].buf, p->side[1].buf + 1, len - 1), 0);
            ck_assert_uint_eq(soft_counters(p->side[1].dev)->bad_key, 1);
            pair_free(p);
        }
    }
}
END_TEST

START_TEST(zero_length_ignores_key) {
    struct pair *p = pair_new();
    struct drop d = {.opcode = RC_READ_RESP_ONLY, .every = 2};
    pair_connect(p, RDMA_MTU_4096, 7);
    p->filter = drop_kind;
    p->user = &d;
    for (u32 i = 0; i < 4; i++) {
        pair_drain(p);
        struct rdma_send_wr w = pair_wr(p, 0, i & 1 ? RDMA_WR_RDMA_WRITE : RDMA_WR_RDMA_READ, 0,
                                        0, 0);
        w.rkey ^= 1;
        w.remote_addr = 3;
        post(p, 0, &w);
        expect_ok(p, 0, 1);
    }
    ck_assert_uint_gt(soft_counters(p->side[1].dev)->duplicate_request, 0);
    pair_free(p);
}
END_TEST

START_TEST(misaligned_atomic_is_invalid_request) {
    struct pair *p = pair_new();
    pair_connect(p, RDMA_MTU_4096, 7);
    struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_ATOMIC_FETCH_AND_ADD, 0, 4, 8);
    post(p, 0, &w);
    expect_one(p, 0, RDMA_WC_REM_INV_REQ_ERR);
    pair_free(p);
}
END_TEST

START_TEST(send_too_long_for_receive) {
    struct pair *p = pair_new();
    pair_connect(p, RDMA_MTU_256, 7);
    pair_recv(p, 1, 0, 300, 5);
    struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_SEND, 0, 0, 301);
    post(p, 0, &w);
    expect_one(p, 0, RDMA_WC_REM_INV_REQ_ERR);
    ck_assert_int_eq(p->side[1].wc[0].status, RDMA_WC_LOC_LEN_ERR);
    pair_free(p);
}
END_TEST

START_TEST(chain_in_order_and_reads_bounded) {
    struct pair *p = pair_new();
    struct rdma_qp_attr a = pair_default_attr(RDMA_MTU_1024, 7);
    a.max_rd_atomic = 2;
    a.max_dest_rd_atomic = 2;
    pair_connect_attr(p, &a);
    static struct rdma_send_wr w[100];
    u64 *word = (u64 *)(void *)p->side[1].buf;
    *word = 0;
    for (u32 i = 0; i < 100; i++) {
        w[i] = pair_wr(p, 0, i % 3 == 0 ? RDMA_WR_RDMA_READ : RDMA_WR_ATOMIC_CMP_AND_SWP,
                       64 + 8 * i, 0, 8);
        w[i].wr_id = i;
        w[i].compare_add = i - i / 3 - 1;    // succeeds only in order
        w[i].swap = w[i].compare_add + 1;
        w[i].next = i == 99 ? NULL : &w[i + 1];
    }
    post(p, 0, w);
    expect_ok(p, 0, 100);
    for (u32 i = 0; i < 100; i++) ck_assert_uint_eq(p->side[0].wc[i].wr_id, i);
    ck_assert_uint_eq(*word, 66);
    pair_free(p);
}
END_TEST

START_TEST(modify_and_destroy_while_reads_run) {
    for (u32 round = 0; round < 8; round++) {
        struct pair *p = pair_new();
        pair_connect(p, RDMA_MTU_1024, 7);
        for (u32 i = 0; i < 64; i++) {
            struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_RDMA_READ, 4096 * i, 0, 65536);
            post(p, 0, &w);
        }
        p->side[1].ring_size = 8 + round;
        p->side[1].ring_room = 8 + round;
        soft_tx(p->side[0].dev, p->now_ns);
        struct rdma_qp_attr a = {.max_dest_rd_atomic = 1, .qp_state = RDMA_QPS_ERR};
        struct rdma_qp *qp = p->side[round & 1].qp;
        ck_assert_int_eq(rdma_modify_qp(qp, &a, RDMA_QP_MAX_DEST_RD_ATOMIC), E_INVAL);
        while (p->head != p->tail && p->head < 20) {
            struct pair_frame *f = &p->queue[p->head % PAIR_QUEUE];
            soft_rx(p->side[1 - p->queue_dir[p->head++ % PAIR_QUEUE]].dev, f->bytes, f->len,
                    p->now_ns);
            soft_tx(p->side[1].dev, p->now_ns);
        }
        if (round & 2) rdma_modify_qp(qp, &a, RDMA_QP_STATE);
        if (round & 4 || !(round & 2)) rdma_destroy_qp(qp);
        ck_assert(pair_wait(p, 0, 64));
        pair_flush(p);
        ck_assert_uint_eq(p->side[0].wc_count, 64);
        pair_free(p);
    }
}
END_TEST

START_TEST(dereg_while_streaming_naks) {
    struct pair *p = pair_new();
    pair_connect(p, RDMA_MTU_1024, 7);
    p->side[1].ring_size = 4;
    struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_RDMA_READ, 0, 0, 1 << 20);
    post(p, 0, &w);
    soft_tx(p->side[0].dev, p->now_ns);
    struct pair_frame *f = &p->queue[0];
    p->head = 1;
    soft_rx(p->side[1].dev, f->bytes, f->len, p->now_ns);
    p->side[1].ring_room = 4;
    soft_tx(p->side[1].dev, p->now_ns);
    rdma_dereg_mr(p->side[1].mr);
    expect_one(p, 0, RDMA_WC_REM_ACCESS_ERR);
    pair_free(p);
}
END_TEST

START_TEST(local_key_gone_ends_in_error) {
    struct pair *p = pair_new();
    pair_connect(p, RDMA_MTU_1024, 7);
    struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_RDMA_READ, 0, 0, 100);
    struct rdma_send_wr w2 = pair_wr(p, 0, RDMA_WR_ATOMIC_FETCH_AND_ADD, 0, 0, 8);
    post(p, 0, &w2);
    post(p, 0, &w);
    soft_tx(p->side[0].dev, p->now_ns);
    rdma_dereg_mr(p->side[0].mr);
    ck_assert(pair_wait(p, 0, 2));
    ck_assert_int_eq(p->side[0].wc[0].status, RDMA_WC_LOC_PROT_ERR);
    ck_assert_int_eq(p->side[0].wc[1].status, RDMA_WC_WR_FLUSH_ERR);
    pair_free(p);
}
END_TEST

START_TEST(keys_and_numbers_are_random_beyond_65536) {
    struct pair *p = pair_new();
    u32 last = 0, steps = 0;
    for (u32 i = 0; i < 0x10010; i++) {
        struct rdma_mr *mr = rdma_reg_mr(p->side[0].pd, p->side[0].buf, 4096, 15);
        ck_assert_ptr_nonnull(mr);
        u32 key = rdma_mr_rkey(mr);
        steps += key - last < 0x1000;
        last = key;
        rdma_dereg_mr(mr);
    }
    ck_assert_uint_lt(steps, 10);
    pair_free(p);
}
END_TEST

START_TEST(duplicate_read_stays_inside_the_original) {
    struct pair *p = pair_new();
    pair_connect(p, RDMA_MTU_1024, 7);
    struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_RDMA_READ, 0, 4096, 3000);
    post(p, 0, &w);
    expect_ok(p, 0, 1);
    u64 va = w.remote_addr;
    struct { u64 va; u32 len, psn, rkey, frames; } tries[] = {
        {va, 3000, 7, w.rkey, 3}, {va + 1024, 1976, 8, w.rkey, 2}, {va, 1000, 7, w.rkey, 1},
        {va, 3001, 7, w.rkey, 0}, {va - 1, 3000, 7, w.rkey, 0}, {va + 1, 3000, 7, w.rkey, 0},
        {0, 3000, 7, w.rkey, 0}, {~0ull - 7, 3000, 7, w.rkey, 0}, {1ull << 63, 8, 7, w.rkey, 0},
        {va, ~0u, 7, w.rkey, 0}, {va, 1u << 31, 7, w.rkey, 0}, {va + 1024, 3000, 8, w.rkey, 0},
        {va, 3000, 7, w.rkey ^ 1, 0}, {va, 3000, 6, w.rkey, 0}};
    for (u32 i = 0; i < ARRAY_COUNT(tries); i++) {
        struct reth ext = {be64(tries[i].va), be32(tries[i].rkey), be32(tries[i].len)};
        u8 f[PAIR_FRAME];
        u32 len = pair_forge(p, 0, f, RC_READ_REQUEST, rdma_qp_num(p->side[1].qp), tries[i].psn,
                             &ext, sizeof ext, NULL, 0);
        u64 before = p->sent[1];
        soft_rx(p->side[1].dev, f, len, p->now_ns);
        pair_flush(p);
        ck_assert_msg(p->sent[1] - before == tries[i].frames, "try %u", i);
    }
    ck_assert_uint_eq(soft_counters(p->side[1].dev)->bad_icrc, 0);
    pair_free(p);
}
END_TEST

// A fenced WRITE waits for the READ before it, an unfenced one does not.
START_TEST(fence_waits_for_reads) {
    struct pair *p = pair_new();
    pair_connect(p, RDMA_MTU_1024, 7);
    for (u32 fenced = 0; fenced < 2; fenced++) {
        struct rdma_send_wr r = pair_wr(p, 0, RDMA_WR_RDMA_READ, 0, 0, 8);
        struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_RDMA_WRITE, 64, 64, 8);
        if (fenced) w.send_flags |= RDMA_SEND_FENCE;
        u64 before = p->sent[0];
        pair_drain(p);
        post(p, 0, &r);
        post(p, 0, &w);
        soft_tx(p->side[0].dev, p->now_ns);
        ck_assert_uint_eq(p->sent[0] - before, fenced ? 1 : 2);
        expect_ok(p, 0, 2);
    }
    pair_free(p);
}
END_TEST

// A CRC of one bit after another, written without the tables under test.
static u32 bitwise_crc(u32 crc, const u8 *data, u32 len) {
    while (len-- != 0) {
        crc ^= *data++;
        for (u32 i = 0; i < 8; i++) crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return crc;
}

START_TEST(crc_fits_bitwise_code_at_all_alignments) {
    static u8 src[600] __attribute__((aligned(8))), dst[600];
    for (u32 i = 0; i < 600; i++) src[i] = (u8)(i * 37 + (i >> 3));
    ck_assert_uint_eq(~crc32_update(~0u, "123456789", 9), 0xcbf43926u);
    u8 ones[8];
    memset(ones, 255, 8);
    ck_assert_uint_eq(bitwise_crc(~0u, ones, 8), ICRC_SEED);
    for (u32 off = 0; off < 9; off++) {
        for (u32 len = 0; len < 300; len++) {
            u32 want = bitwise_crc(0x1234, src + off, len);
            memset(dst, 0, sizeof dst);
            ck_assert_uint_eq(crc32_update(0x1234, src + off, len), want);
            ck_assert_uint_eq(crc32_copy(0x1234, dst + 3, src + off, len), want);
            ck_assert_int_eq(memcmp(dst + 3, src + off, len), 0);
            ck_assert_uint_eq(dst[3 + len], 0);
        }
    }
}
END_TEST

// The ICRC of a frame from the rule alone: mask, eight bytes of ones, invert.
static u32 independent_icrc(const u8 *frame, u32 len) {
    static u8 m[PAIR_FRAME];
    memset(m, 255, 8);
    memcpy(m + 8, frame + 14, len - 18);
    m[8 + 1] = m[8 + 8] = m[8 + 10] = m[8 + 11] = m[8 + 26] = m[8 + 27] = m[8 + 32] = 255;
    return ~bitwise_crc(~0u, m, 8 + len - 18);
}

static u32 check_icrc(struct pair *p, u32 dir, u8 *frame, u32 *len) {
    (void)dir;
    u32 icrc;
    memcpy(&icrc, frame + *len - 4, 4);
    ck_assert_uint_eq(independent_icrc(frame, *len), icrc);
    ++*(u32 *)p->user;
    return 1;
}

START_TEST(icrc_of_every_frame_fits_independent_code) {
    struct pair *p = pair_new();
    u32 seen = 0;
    pair_connect(p, RDMA_MTU_1024, 0);
    p->filter = check_icrc;
    p->user = &seen;
    all_ops(p);
    ck_assert_uint_gt(seen, 300);
    pair_free(p);
}
END_TEST

// A page-callback region: even pages stable (gathered), page 5 not allowed.
struct pages { u8 *base; u32 calls; bool gone; };
static void *find_page(void *ctx, u64 iova, u32 access, bool *stable, paddr_t *pa) {
    struct pages *g = ctx;
    (void)access;
    g->calls++;
    u64 page = (iova - 0x100000) >> 12;
    if (page == 5 || g->gone) return NULL;
    *stable = page % 2 == 0;
    *pa = paddr((u64)(uintptr_t)(g->base + (page << 12)));
    return g->base + (page << 12);
}

START_TEST(page_callback_region_gathers_and_refuses) {
    struct pair *p = pair_new();
    struct pages g = {p->side[1].buf, 0, false};
    pair_connect(p, RDMA_MTU_4096, 0);
    pair_fill(p, 1, 9);
    struct rdma_mr *mr = rdma_reg_mr_pages(p->side[1].pd, 0x100000, 16 * 4096,
                                           RDMA_ACCESS_REMOTE_READ,
                                           &(struct rdma_mr_pages){find_page, &g});
    struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_RDMA_READ, 0, 0, 4 * 4096);
    w.rkey = rdma_mr_rkey(mr);
    w.remote_addr = 0x100000;
    post(p, 0, &w);
    expect_ok(p, 0, 1);
    ck_assert_int_eq(memcmp(p->side[0].buf, p->side[1].buf, 4 * 4096), 0);
    ck_assert_uint_eq(soft_gather_issued(p->side[1].dev), 2);
    ck_assert_uint_eq(soft_gather_done(p->side[1].dev), 2);
    pair_drain(p);
    w.remote_addr = 0x100801;                 // crosses pages
    post(p, 0, &w);
    expect_ok(p, 0, 1);
    ck_assert_int_eq(memcmp(p->side[0].buf, p->side[1].buf + 0x801, 4 * 4096), 0);
    pair_drain(p);
    w.remote_addr = 0x104000;
    post(p, 0, &w);
    expect_one(p, 0, RDMA_WC_REM_ACCESS_ERR);
    pair_free(p);
}
END_TEST

// A READ was answered and its page given back; then a late copy of the request comes. It
// gets nothing, and the pair stays well.
START_TEST(duplicate_read_of_a_page_that_is_gone) {
    struct pair *p = pair_new();
    struct pages g = {p->side[1].buf, 0, false};
    pair_connect(p, RDMA_MTU_1024, 7);
    struct rdma_mr *mr = rdma_reg_mr_pages(p->side[1].pd, 0x100000, 16 * 4096,
                                           RDMA_ACCESS_REMOTE_READ,
                                           &(struct rdma_mr_pages){find_page, &g});
    struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_RDMA_READ, 0, 0, 4096);
    w.rkey = rdma_mr_rkey(mr);
    w.remote_addr = 0x100000;
    post(p, 0, &w);
    expect_ok(p, 0, 1);
    pair_drain(p);
    g.gone = true;
    struct reth ext = {be64(w.remote_addr), be32(w.rkey), be32(4096)};
    u8 f[PAIR_FRAME];
    u32 len = pair_forge(p, 0, f, RC_READ_REQUEST, rdma_qp_num(p->side[1].qp), 7, &ext,
                         sizeof ext, NULL, 0);
    u64 before = p->sent[1];
    soft_rx(p->side[1].dev, f, len, p->now_ns);
    pair_flush(p);
    ck_assert_uint_eq(p->sent[1], before);
    w = pair_wr(p, 0, RDMA_WR_RDMA_READ, 0, 4096, 3000);
    post(p, 0, &w);
    expect_ok(p, 0, 1);
    pair_free(p);
}
END_TEST

int main(void) {
    Suite *s = suite_create("roce_rc");
    TCase *t = tcase_create("rc");
    tcase_set_timeout(t, 120);
    suite_add_tcase(s, t);
    tcase_add_test(t, crc_fits_bitwise_code_at_all_alignments);
    tcase_add_test(t, icrc_of_every_frame_fits_independent_code);
    tcase_add_loop_test(t, all_operations_at_every_mtu, RDMA_MTU_256, RDMA_MTU_4096 + 1);
    tcase_add_test(t, psn_wraps);
    tcase_add_loop_test(t, loss_of_each_kind, RC_SEND_FIRST, RC_FETCH_ADD + 1);
    tcase_add_loop_test(t, chaos_reads_and_writes_whole, 0, 6);
    tcase_add_loop_test(t, atomics_replayed_not_repeated, 0, 4);
    tcase_add_test(t, lost_read_response_asked_again_without_timer);
    tcase_add_test(t, read_8_mib_through_small_ring);
    tcase_add_test(t, write_8_mib_keeps_window);
    tcase_add_test(t, rnr_waits_as_told);
    tcase_add_test(t, rnr_retry_counts);
    tcase_add_test(t, retry_exceeded_after_seven_then_flush_once);
    tcase_add_test(t, bounds_and_keys_refused);
    tcase_add_test(t, zero_length_ignores_key);
    tcase_add_test(t, misaligned_atomic_is_invalid_request);
    tcase_add_test(t, send_too_long_for_receive);
    tcase_add_test(t, chain_in_order_and_reads_bounded);
    tcase_add_test(t, modify_and_destroy_while_reads_run);
    tcase_add_test(t, dereg_while_streaming_naks);
    tcase_add_test(t, local_key_gone_ends_in_error);
    tcase_add_test(t, duplicate_read_stays_inside_the_original);
    tcase_add_test(t, duplicate_read_of_a_page_that_is_gone);
    tcase_add_test(t, fence_waits_for_reads);
    tcase_add_test(t, keys_and_numbers_are_random_beyond_65536);
    tcase_add_test(t, page_callback_region_gathers_and_refuses);
    return suite_run(s);
}
