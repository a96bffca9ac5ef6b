// Every opcode with every body of 0 to 128 bytes and every pad, to a live and an absent QP,
// in every QP state, ICRC right: the answer must be what a model written from the tables of
// the specification says (IBTA 9.3.1, 9.6, 9.7.4), exactly one frame or none.
// links: proto/roce/icrc.c proto/roce/opcode.c proto/roce/packet.c proto/roce/rc_req.c
// links: proto/roce/rc_resp.c proto/roce/cm_mad.c proto/roce/cm.c
// links: drivers/rdma/verbs.c drivers/rdma/pd.c drivers/rdma/mr.c drivers/rdma/cq.c
// links: drivers/rdma/qp.c drivers/rdma/soft.c drivers/rdma/soft_rx.c drivers/rdma/soft_tx.c
// links: drivers/rdma/soft_neigh.c drivers/rdma/rdma_cm.c tests/unit/rc_pair.c
#include <check.h>
#include <stdlib.h>

#include "base/string.h"
#include "proto/roce/icrc.h"
#include "rc_pair.h"
#include "tests/unit/suite_run.h"

const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0"; }   // see pair_free

#define BODY_MAX 128u
#define PSN 0x123u
#define NO_ANSWER 0xffffu
#define ACK_WITH(syndrome) (0x1100u | (syndrome))

// The model: bytes of extended headers by opcode, -1 for what is not ours.
static int model_ext(u32 op) {
    static const signed char rc[] = {0, 0, 0, 4, 0, 4, 16, 0, 0, 4, 16, 20, 16, 4, 0, 4, 4, 4,
                                     12, 28, 28};
    if (op < sizeof rc) return rc[op];
    return op == 0x64 ? 8 : op == 0x65 ? 12 : op == 0x81 ? 16 : -1;
}

static u32 model_request(u32 op, u32 payload) {
    switch (op) {
    case 0x04: case 0x05: return ACK_WITH(0x1f);                  // SEND ONLY: fits
    case 0x0a: case 0x0b: return ACK_WITH(payload == 0 ? 0x1f : 0x61);   // RETH says 0 bytes
    case 0x0c: return 0x1000;                                     // empty READ: one response
    case 0x13: case 0x14: return ACK_WITH(0x62);                  // key 0 opens nothing
    default: return ACK_WITH(0x61);       // first without a full MTU; middle, last alone
    }
}

// The BTH opcode and syndrome of the one answer, or NO_ANSWER.
static u32 model(u32 op, u32 body, u32 pad, bool live, enum rdma_qp_state state) {
    int ext = model_ext(op);
    bool request = op <= 0x0c || op == 0x13 || op == 0x14;
    bool payload_allowed = op <= 0x0b;
    if (!request || !live || body < (u32)ext + pad) return NO_ANSWER;
    u32 payload = body - (u32)ext - pad;
    if ((payload + pad) % 4 != 0 || (!payload_allowed && body != (u32)ext)) return NO_ANSWER;
    if (state != RDMA_QPS_RTR && state != RDMA_QPS_RTS && state != RDMA_QPS_SQD)
        return NO_ANSWER;
    return model_request(op, payload);
}

static void set_state(struct pair *p, enum rdma_qp_state state) {
    struct rdma_qp *qp = p->side[1].qp;
    struct rdma_qp_attr a = pair_default_attr(RDMA_MTU_256, PSN);
    u32 rtr = RDMA_QP_AV | RDMA_QP_PATH_MTU | RDMA_QP_DEST_QPN | RDMA_QP_RQ_PSN |
              RDMA_QP_MAX_DEST_RD_ATOMIC | RDMA_QP_MIN_RNR_TIMER;
    u32 rts = RDMA_QP_TIMEOUT | RDMA_QP_RETRY_CNT | RDMA_QP_RNR_RETRY | RDMA_QP_SQ_PSN |
              RDMA_QP_MAX_QP_RD_ATOMIC;
    a.dest_ipv4 = PAIR_IP(0);
    a.dest_qp_num = 77;
    memcpy(a.dest_mac, p->side[0].net.mac, 6);
    static const enum rdma_qp_state path[] = {RDMA_QPS_RESET, RDMA_QPS_INIT, RDMA_QPS_RTR,
                                              RDMA_QPS_RTS, RDMA_QPS_SQD};
    u32 steps = state == RDMA_QPS_ERR ? 4 : (u32)state + 1;
    for (u32 i = 0; i < steps; i++) {
        a.qp_state = path[i];
        u32 more = i == 1 ? RDMA_QP_ACCESS_FLAGS : i == 2 ? rtr : i == 3 ? rts : 0u;
        u32 mask = RDMA_QP_STATE | more;
        ck_assert_int_eq(rdma_modify_qp(qp, &a, mask), S_OK);
        if (i == 1) pair_recv(p, 1, 0, 256, 0);
    }
    a.qp_state = RDMA_QPS_ERR;
    if (state == RDMA_QPS_ERR) rdma_modify_qp(qp, &a, RDMA_QP_STATE);
    pair_drain(p);
}

static void put16(u8 *at, u32 v) { at[0] = (u8)(v >> 8); at[1] = (u8)v; }

static u32 make_frame(u8 *f, u32 base_len, u32 op, u32 body, u32 pad) {
    u32 udp_len = 8 + 12 + body + 4, sum = 0;
    memset(f + base_len - 4, 0, body + 4);
    put16(f + 16, 20 + udp_len);
    put16(f + 38, udp_len);
    put16(f + 24, 0);
    for (u32 i = 14; i < 34; i += 2) sum += (u32)f[i] << 8 | f[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    put16(f + 24, ~(sum + (sum >> 16)) & 0xffff);
    f[42] = (u8)op;
    f[43] = (u8)(0x40 | pad << 4);
    f[50] = 0x80;                                       // AckReq
    u32 len = 34 + udp_len;
    icrc_store(f + len - 4, icrc_compute(&crc_ops_table, f + 14, len - 18));
    return len;
}

static void one(struct pair *p, const u8 *f, u32 len, u32 want, enum rdma_qp_state state) {
    u8 *copy = malloc(len);
    memcpy(copy, f, len);
    p->head = p->tail;
    soft_rx(p->side[1].dev, copy, len, p->now_ns);
    free(copy);
    soft_tx(p->side[1].dev, p->now_ns);
    u32 answers = p->tail - p->head, got = NO_ANSWER;
    const u8 *r = p->queue[p->head % PAIR_QUEUE].bytes;
    if (answers == 1) got = (u32)r[42] << 8 | (r[42] == 0x11 ? r[54] : 0u);
    ck_assert_msg(answers <= 1 && got == want,
                  "opcode %02x pad %u frame of %u in state %d: %u answers, %04x, not %04x",
                  f[42], f[43] >> 4 & 3u, len, state, answers, got, want);
    if (answers == 1) ck_assert_uint_eq((u32)r[51] << 16 | (u32)r[52] << 8 | r[53], PSN);
    if (answers == 1) set_state(p, state);
}

START_TEST(answers_are_the_models) {
    static const enum rdma_qp_state states[] = {RDMA_QPS_RESET, RDMA_QPS_INIT, RDMA_QPS_RTR,
                                                RDMA_QPS_RTS, RDMA_QPS_SQD, RDMA_QPS_ERR};
    struct pair *p = pair_new();
    enum rdma_qp_state state = states[_i / 2];
    bool live = _i % 2 == 0;
    u8 f[PAIR_FRAME];
    set_state(p, state);
    u32 qpn = rdma_qp_num(p->side[1].qp);
    u32 base = pair_forge(p, 0, f, 0x04, live ? qpn : qpn ^ 0x800000, PSN, NULL, 0, NULL, 0);
    for (u32 op = 0; op < 256; op++)
        for (u32 body = 0; body <= BODY_MAX; body++)
            for (u32 pad = 0; pad < 4; pad++)
                one(p, f, make_frame(f, base, op, body, pad), model(op, body, pad, live, state),
                    state);
    pair_free(p);
}
END_TEST

// The packet that stopped Linux: unknown opcode, all-ones QP number, shorter than it says;
// and any frame cut anywhere. Nothing answers, nothing reads too far (sanitizer).
START_TEST(multicast_qpn_and_cut_frames) {
    struct pair *p = pair_new();
    u8 f[PAIR_FRAME];
    set_state(p, RDMA_QPS_RTS);
    u32 base = pair_forge(p, 0, f, 0x04, 0xffffff, PSN, NULL, 0, NULL, 0);
    for (u32 op = 0; op < 256; op++)
        one(p, f, make_frame(f, base, op, 0, op & 3), NO_ANSWER, RDMA_QPS_RTS);
    base = pair_forge(p, 0, f, 0x04, rdma_qp_num(p->side[1].qp), PSN, NULL, 0, NULL, 0);
    u32 len = make_frame(f, base, 0x0a, 64, 0);
    for (u32 cut = 0; cut < len; cut++) one(p, f, cut, NO_ANSWER, RDMA_QPS_RTS);
    pair_free(p);
}
END_TEST

int main(void) {
    Suite *s = suite_create("roce_matrix");
    TCase *t = tcase_create("matrix");
    tcase_set_timeout(t, 300);
    suite_add_tcase(s, t);
    tcase_add_loop_test(t, answers_are_the_models, 0, 12);
    tcase_add_test(t, multicast_qpn_and_cut_frames);
    return suite_run(s);
}
