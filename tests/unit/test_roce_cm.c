// The CM between two joined devices, ARP included: set-up with each message lost and
// doubled, private data both ways, refusals, disconnects, 1,100 connections in a row, the
// no-implied-RTU and DREQ-is-a-hint listeners, and the test services over it.
// links: proto/roce/icrc.c proto/roce/opcode.c proto/roce/packet.c proto/roce/rc_req.c
// links: proto/roce/rc_resp.c proto/roce/cm_mad.c proto/roce/cm.c
// links: drivers/rdma/verbs.c drivers/rdma/pd.c drivers/rdma/mr.c drivers/rdma/cq.c
// links: drivers/rdma/qp.c drivers/rdma/soft.c drivers/rdma/soft_rx.c drivers/rdma/soft_tx.c
// links: drivers/rdma/soft_neigh.c drivers/rdma/rdma_cm.c drivers/rdma/testsvc.c
// links: tests/unit/rc_pair.c
#include <check.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/string.h"
#include "base/units.h"
#include "drivers/rdma/testsvc.h"
#include "proto/roce/roce_wire.h"
#include "rc_pair.h"
#include "tests/unit/suite_run.h"

const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0"; }   // see pair_free

#define MAD_AT (ROCE_BTH_AT + BTH_LEN + 8)

struct peer {                       // what one side has seen
    struct pair *pair;
    u32 count[CM_EV_DISCONNECTED + 1];
    struct rdma_cm_id *id;
    u8 private_data[CM_PRIVATE_MAX];
    u16 reason;
    bool refuse, hold, no_establish;
};
static struct peer peers[2];
static struct testsvc *svc;

static const struct rdma_conn_param param_base = {
    .responder_resources = 16, .initiator_depth = 16, .retry_count = 7, .rnr_retry = 7,
    .min_rnr_timer = 1, .access_flags = 15};

static void on_event(const struct rdma_cm_event *ev) {
    struct peer *me = ev->context;
    struct pair *p = me->pair;
    u32 side = (u32)(me - peers);
    struct rdma_conn_param param = param_base;
    me->count[ev->kind]++;
    if (ev->private_data != NULL) memcpy(me->private_data, ev->private_data, ev->private_len);
    me->reason = ev->reason;
    if (ev->kind == CM_EV_REQUEST) {
        me->id = ev->id;
        param.private_data = "rep data";
        param.private_len = 8;
        if (me->refuse) ck_assert_int_eq(rdma_reject(ev->id, CM_REJ_CONSUMER, "no", 2), S_OK);
        else if (!me->hold)
            ck_assert_int_eq(rdma_accept(ev->id, p->side[side].qp, &param, on_event, me,
                                         p->now_ns), S_OK);
    }
    if (ev->kind == CM_EV_RESPONSE && !me->no_establish)
        ck_assert_int_eq(rdma_establish(ev->id, "rtu data", 8, p->now_ns), S_OK);
}

static struct pair *start(u32 listen_flags) {
    struct pair *p = pair_new();
    memset(peers, 0, sizeof peers);
    peers[0].pair = peers[1].pair = p;
    ck_assert_int_eq(rdma_listen(p->side[1].dev, 7000, listen_flags, on_event, &peers[1]), S_OK);
    return p;
}

static void connect_to(struct pair *p, u16 port) {
    struct rdma_conn_param param = param_base;
    param.private_data = "req data";
    param.private_len = 8;
    peers[0].id = rdma_connect(p->side[0].qp, PAIR_IP(1), port, &param, on_event, &peers[0],
                               p->now_ns);
    ck_assert_ptr_nonnull(peers[0].id);
}

static bool run_until(struct pair *p, const u32 *counter, u32 value) {
    for (u32 i = 0; i < 3000; i++) {
        pair_flush(p);
        if (svc != NULL) testsvc_poll(svc, p->now_ns);
        if (*counter >= value) return true;
        if (!pair_step(p)) break;
    }
    return *counter >= value;
}

static void write_and_check(struct pair *p, u32 side) {
    struct rdma_send_wr w = pair_wr(p, side, RDMA_WR_RDMA_WRITE, 0, 4096, 5000);
    pair_fill(p, side, side + 3);
    pair_drain(p);
    ck_assert_int_eq(rdma_post_send(p->side[side].qp, &w), S_OK);
    ck_assert(pair_wait(p, side, 1));
    ck_assert_int_eq(p->side[side].wc[0].status, RDMA_WC_SUCCESS);
    ck_assert_int_eq(memcmp(p->side[side].buf, p->side[1 - side].buf + 4096, 5000), 0);
}

struct mad_drop { u16 attr; u32 lose, times, seen; };
static u32 mad_filter(struct pair *p, u32 dir, u8 *frame, u32 *len) {
    struct mad_drop *d = p->user;
    (void)dir;
    if (*len < MAD_AT + 18 || frame[ROCE_BTH_AT] != UD_SEND_ONLY) return 1;
    if (frame[MAD_AT + 17] != d->attr) return 1;
    return d->seen++ < d->lose ? 0 : d->times;
}

// Each message of the set-up lost three times, or tripled.
START_TEST(set_up_under_loss_and_duplicates) {
    static const u16 attrs[] = {CM_REQ, CM_REP, CM_RTU};
    struct pair *p = start(0);
    struct mad_drop d = {attrs[_i % 3], _i < 3 ? 3 : 0, _i < 3 ? 1 : 3, 0};
    p->filter = mad_filter;
    p->user = &d;
    connect_to(p, 7000);
    ck_assert(run_until(p, &peers[1].count[CM_EV_ESTABLISHED], 1));
    pair_flush(p);
    ck_assert_uint_eq(peers[0].count[CM_EV_RESPONSE], 1);
    ck_assert_uint_eq(peers[1].count[CM_EV_REQUEST], 1);
    ck_assert_uint_eq(peers[1].count[CM_EV_ESTABLISHED], 1);
    ck_assert_int_eq(memcmp(peers[0].private_data, "rep data", 8), 0);
    ck_assert_int_eq(memcmp(peers[1].private_data, "rtu data", 8), 0);
    write_and_check(p, 0);
    write_and_check(p, 1);
    pair_free(p);
}
END_TEST

// What crossed the wire, read by IBTA's offsets and not by our codec: the starting PSN of
// REQ (12.6.5) and REP (12.6.8), and the PSN of each side's first RC request.
#define REQ_START_PSN (MAD_AT + 24 + 44)
#define REP_START_PSN (MAD_AT + 24 + 20)
struct psn_watch { u32 announced[2], begun[2]; bool seen[2]; };

static u32 be24_at(const u8 *at) { return (u32)at[0] << 16 | (u32)at[1] << 8 | at[2]; }

static u32 psn_filter(struct pair *p, u32 dir, u8 *frame, u32 *len) {
    struct psn_watch *w = p->user;
    if (*len < ROCE_BTH_AT + BTH_LEN) return 1;
    u8 opcode = frame[ROCE_BTH_AT];
    if (opcode == UD_SEND_ONLY && *len > REQ_START_PSN + 3) {
        if (frame[MAD_AT + 17] == CM_REQ) w->announced[dir] = be24_at(frame + REQ_START_PSN);
        if (frame[MAD_AT + 17] == CM_REP) w->announced[dir] = be24_at(frame + REP_START_PSN);
    } else if ((opcode == RC_WRITE_FIRST || opcode == RC_WRITE_ONLY) && !w->seen[dir]) {
        w->seen[dir] = true;
        w->begun[dir] = be24_at(frame + ROCE_BTH_AT + 9);
    }
    return 1;
}

// IBTA 12.7.31: the starting PSN that one side announces is where the *other* begins to
// send. Two ends of our own that both have it the wrong way round still talk.
START_TEST(starting_psn_is_where_the_other_side_begins) {
    struct pair *p = start(0);
    struct psn_watch w = {{~0u, ~0u}, {~0u, ~0u}, {false, false}};
    p->filter = psn_filter;
    p->user = &w;
    connect_to(p, 7000);
    ck_assert(run_until(p, &peers[1].count[CM_EV_ESTABLISHED], 1));
    write_and_check(p, 0);
    write_and_check(p, 1);
    ck_assert(w.seen[0] && w.seen[1]);
    ck_assert_uint_ne(w.announced[0], w.announced[1]);
    ck_assert_uint_eq(w.begun[0], w.announced[1]);
    ck_assert_uint_eq(w.begun[1], w.announced[0]);
    pair_free(p);
}
END_TEST

START_TEST(first_data_establishes_unless_forbidden) {
    struct pair *p = start(_i == 0 ? 0 : CM_LISTEN_NO_IMPLIED_RTU);
    struct mad_drop d = {CM_RTU, 2, 1, 0};
    p->filter = mad_filter;
    p->user = &d;
    connect_to(p, 7000);
    ck_assert(run_until(p, &peers[0].count[CM_EV_RESPONSE], 1));
    struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_RDMA_WRITE, 0, 4096, 8);
    ck_assert_int_eq(rdma_post_send(p->side[0].qp, &w), S_OK);
    p->side[0].buf[0] = 77;
    pair_flush(p);
    ck_assert_uint_eq(peers[1].count[CM_EV_ESTABLISHED], _i == 0);
    ck_assert_uint_eq(p->side[1].buf[4096], _i == 0 ? 77 : 0);
    ck_assert(run_until(p, &peers[1].count[CM_EV_ESTABLISHED], 1));
    if (_i == 1) {
        ck_assert_int_eq(memcmp(peers[1].private_data, "rtu data", 8), 0);
        ck_assert_int_eq(rdma_establish(peers[1].id, NULL, 0, p->now_ns), S_OK);
        ck_assert(pair_wait(p, 0, 1));
        ck_assert_uint_eq(p->side[1].buf[4096], 77);
    }
    pair_free(p);
}
END_TEST

START_TEST(refusals) {
    struct pair *p = start(0);
    peers[1].refuse = true;
    connect_to(p, 7000);
    ck_assert(run_until(p, &peers[0].count[CM_EV_REJECTED], 1));
    ck_assert_uint_eq(peers[0].reason, CM_REJ_CONSUMER);
    ck_assert_int_eq(memcmp(peers[0].private_data, "no", 2), 0);
    rdma_destroy_id(peers[0].id);
    rdma_destroy_qp(p->side[0].qp);
    p->side[0].qp = pair_make_qp(p, 0);
    connect_to(p, 7001);
    ck_assert(run_until(p, &peers[0].count[CM_EV_REJECTED], 2));
    ck_assert_uint_eq(peers[0].reason, CM_REJ_INVALID_SERVICE_ID);
    pair_free(p);
}
END_TEST

START_TEST(nobody_answers) {
    struct pair *p = start(0);
    struct mad_drop d = {CM_REQ, 1000, 1, 0};
    p->filter = mad_filter;
    p->user = &d;
    connect_to(p, 7000);
    ck_assert(run_until(p, &peers[0].count[CM_EV_UNREACHABLE], 1));
    ck_assert_uint_eq(d.seen, CM_TRIES_MAX);
    pair_free(p);
}
END_TEST

START_TEST(deferred_answer_is_given_time) {
    struct pair *p = start(0);
    peers[1].hold = true;
    connect_to(p, 7000);
    for (u32 i = 0; i < 2; i++) pair_step(p);
    ck_assert_uint_eq(peers[1].count[CM_EV_REQUEST], 1);
    ck_assert_int_eq(memcmp(peers[1].private_data, "req data", 8), 0);
    ck_assert_int_eq(rdma_accept(peers[1].id, p->side[1].qp, &param_base, on_event, &peers[1],
                                 p->now_ns), S_OK);
    ck_assert(run_until(p, &peers[1].count[CM_EV_ESTABLISHED], 1));
    pair_free(p);
}
END_TEST

START_TEST(disconnects_cross_and_are_lost) {
    struct pair *p = start(0);
    struct mad_drop d = {_i & 1 ? CM_DREQ : CM_DREP, _i & 2 ? 2 : 0, 2, 0};
    connect_to(p, 7000);
    ck_assert(run_until(p, &peers[1].count[CM_EV_ESTABLISHED], 1));
    p->filter = mad_filter;
    p->user = &d;
    ck_assert_int_eq(rdma_disconnect(peers[0].id, p->now_ns), S_OK);
    if (_i & 4) ck_assert_int_eq(rdma_disconnect(peers[1].id, p->now_ns), S_OK);
    ck_assert(run_until(p, &peers[0].count[CM_EV_DISCONNECTED], 1));
    ck_assert(run_until(p, &peers[1].count[CM_EV_DISCONNECTED], 1));
    pair_flush(p);
    ck_assert_uint_eq(peers[0].count[CM_EV_DISCONNECTED], 1);
    ck_assert_uint_eq(peers[1].count[CM_EV_DISCONNECTED], 1);
    pair_free(p);
}
END_TEST

START_TEST(dreq_is_a_hint_where_asked) {
    struct pair *p = start(CM_LISTEN_DREQ_IS_HINT);
    connect_to(p, 7000);
    ck_assert(run_until(p, &peers[1].count[CM_EV_ESTABLISHED], 1));
    cm_disconnect(soft_cm(p->side[0].dev), soft_cm(p->side[0].dev)->conns, p->now_ns);
    pair_flush(p);
    ck_assert_uint_ge(peers[1].count[CM_EV_DISCONNECTED], 1);
    write_and_check(p, 1);              // still up
    pair_free(p);
}
END_TEST

static void *test_alloc(void *ctx, u64 len) {
    (void)ctx;
    void *m = aligned_alloc(4096, ALIGN_UP(len, 4096ull));
    memset(m, 0, len);
    return m;
}

START_TEST(scratch_1100_connections_in_a_row) {
    struct pair *p = start(0);
    svc = testsvc_create(p->side[1].dev, test_alloc, NULL);
    ck_assert_ptr_nonnull(svc);
    for (u32 i = 1; i <= 1100; i++) {
        connect_to(p, TESTSVC_SCRATCH_PORT);
        ck_assert_msg(run_until(p, &peers[0].count[CM_EV_RESPONSE], i), "connection %u", i);
        struct { be64_t addr; be32_t rkey, len; } __attribute__((packed)) info;
        memcpy(&info, peers[0].private_data, sizeof info);
        ck_assert_uint_eq(be32_get(info.len), TESTSVC_SCRATCH_BYTES);
        struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_RDMA_WRITE, 0, 0, 3);
        w.remote_addr = be64_get(info.addr) + (1 << 20) - 3;
        w.rkey = be32_get(info.rkey);
        pair_drain(p);
        ck_assert_int_eq(rdma_post_send(p->side[0].qp, &w), S_OK);
        ck_assert(pair_wait(p, 0, 1));
        ck_assert_int_eq(p->side[0].wc[0].status, RDMA_WC_SUCCESS);
        rdma_disconnect(peers[0].id, p->now_ns);
        ck_assert(run_until(p, &peers[0].count[CM_EV_DISCONNECTED], i));
        rdma_destroy_id(peers[0].id);
        rdma_destroy_qp(p->side[0].qp);
        p->side[0].qp = pair_make_qp(p, 0);
    }
    ck_assert_uint_eq(testsvc_counters(svc)->disconnects, 1100);
    ck_assert_uint_eq(testsvc_counters(svc)->refused, 0);
    svc = NULL;
    pair_free(p);
}
END_TEST

START_TEST(scratch_finds_a_vanished_peer) {
    struct pair *p = start(0);
    svc = testsvc_create(p->side[1].dev, test_alloc, NULL);
    connect_to(p, TESTSVC_SCRATCH_PORT);
    ck_assert(run_until(p, &peers[0].count[CM_EV_RESPONSE], 1));
    rdma_destroy_id(peers[0].id);           // not a word to the other side
    rdma_destroy_qp(p->side[0].qp);
    p->now_ns += 6 * NS_PER_S;
    for (u32 i = 0; i < 100 && testsvc_counters(svc)->disconnects == 0; i++) {
        testsvc_poll(svc, p->now_ns);
        pair_step(p);
    }
    ck_assert_uint_eq(testsvc_counters(svc)->disconnects, 1);
    svc = NULL;
    pair_free(p);
}
END_TEST

// The other side's REQs are all that ever comes of it, as from a flood.
static u32 only_req_filter(struct pair *p, u32 dir, u8 *frame, u32 *len) {
    bool mad = *len > MAD_AT + 18 && frame[ROCE_BTH_AT] == UD_SEND_ONLY;
    return dir == 0 && mad && p->user == NULL && frame[MAD_AT + 17] != CM_REQ ? 0 : 1;
}

START_TEST(half_open_connections_give_way) {
    struct pair *p = start(0);
    svc = testsvc_create(p->side[1].dev, test_alloc, NULL);
    p->filter = only_req_filter;
    u16 port = _i == 0 ? TESTSVC_RPING_PORT : TESTSVC_SCRATCH_PORT;
    for (u32 i = 1; i <= 20; i++) {
        if (i == 20) p->user = p;                   // and one who means it
        connect_to(p, port);
        ck_assert_msg(run_until(p, &peers[0].count[CM_EV_RESPONSE], i), "connection %u", i);
        if (i == 20) break;
        rdma_destroy_id(peers[0].id);               // not a word to the other side
        rdma_destroy_qp(p->side[0].qp);
        p->side[0].qp = pair_make_qp(p, 0);
    }
    pair_flush(p);
    ck_assert_uint_eq(testsvc_counters(svc)->connects, 1);
    ck_assert_uint_eq(testsvc_counters(svc)->refused, 0);
    svc = NULL;
    pair_free(p);
}
END_TEST

static void send_info(struct pair *p, u32 off, u32 size) {
    struct { be64_t addr; be32_t rkey, size; } __attribute__((packed)) info = {
        be64((u64)(uintptr_t)(p->side[0].buf + off)), be32(rdma_mr_rkey(p->side[0].mr)),
        be32(size)};
    memcpy(p->side[0].buf + 900000, &info, sizeof info);
    struct rdma_send_wr w = pair_wr(p, 0, RDMA_WR_SEND, 900000, 0, 16);
    ck_assert_int_eq(rdma_post_send(p->side[0].qp, &w), S_OK);
}

START_TEST(rping_rounds) {
    struct pair *p = start(0);
    svc = testsvc_create(p->side[1].dev, test_alloc, NULL);
    connect_to(p, TESTSVC_RPING_PORT);
    ck_assert(run_until(p, &peers[0].count[CM_EV_RESPONSE], 1));
    for (u32 round = 0; round < 50; round++) {
        u32 size = round == 49 ? 65536 : 1 + round * 777;
        pair_fill(p, 0, round);
        for (u32 half = 0; half < 2; half++) {
            pair_drain(p);
            pair_recv(p, 0, 910000, 16, 1);
            send_info(p, half == 0 ? 0 : 200000, size);
            for (u32 i = 0; i < 100 && p->side[0].wc_count < 2; i++) {
                testsvc_poll(svc, p->now_ns);
                pair_wait(p, 0, p->side[0].wc_count);
            }
            ck_assert_uint_eq(p->side[0].wc_count, 2);
        }
        ck_assert_int_eq(memcmp(p->side[0].buf, p->side[0].buf + 200000, size), 0);
    }
    testsvc_poll(svc, p->now_ns);
    ck_assert_uint_eq(testsvc_counters(svc)->rping_rounds, 50);
    svc = NULL;
    pair_free(p);
}
END_TEST

START_TEST(members_macs_are_not_overridden_by_arp) {
    struct pair *p = start(0);
    ck_assert_int_eq(soft_set_member(p->side[0].dev, PAIR_IP(1), p->side[1].net.mac), S_OK);
    struct { struct eth_hdr eth; struct arp_pkt arp; } __attribute__((packed)) lie = {
        .eth.type = be16(ETH_TYPE_ARP),
        .arp = {be16(1), be16(ETH_TYPE_IPV4), 6, 4, be16(ARP_OP_REPLY), {2, 6, 6, 6, 6, 6},
                be32(PAIR_IP(1)), {0}, be32(PAIR_IP(0))}};
    soft_rx(p->side[0].dev, (const u8 *)&lie, sizeof lie, p->now_ns);
    ck_assert_uint_eq(soft_counters(p->side[0].dev)->arp_ignored, 1);
    connect_to(p, 7000);
    soft_tx(p->side[0].dev, p->now_ns);
    ck_assert_int_eq(memcmp(p->queue[p->tail - 1].bytes, p->side[1].net.mac, 6), 0);
    pair_free(p);
}
END_TEST

// A host that answers no ARP delays nobody else, and its own connection fails in time.
START_TEST(silent_host_blocks_nobody) {
    struct pair *p = start(0);
    struct rdma_qp *other = pair_make_qp(p, 0);
    ck_assert_ptr_nonnull(rdma_connect(other, 0x0a070063, 7000, &param_base, on_event, &peers[0],
                                       p->now_ns));
    connect_to(p, 7000);
    u64 begun = p->now_ns;
    ck_assert(run_until(p, &peers[1].count[CM_EV_ESTABLISHED], 1));
    ck_assert_uint_eq(p->now_ns, begun);        // no clock had to move
    ck_assert(run_until(p, &peers[0].count[CM_EV_UNREACHABLE], 1));
    ck_assert_uint_gt(soft_counters(p->side[0].dev)->arp_failed, 0);
    pair_free(p);
}
END_TEST

int main(void) {
    Suite *s = suite_create("roce_cm");
    TCase *t = tcase_create("cm");
    tcase_set_timeout(t, 120);
    suite_add_tcase(s, t);
    tcase_add_loop_test(t, set_up_under_loss_and_duplicates, 0, 6);
    tcase_add_test(t, starting_psn_is_where_the_other_side_begins);
    tcase_add_loop_test(t, first_data_establishes_unless_forbidden, 0, 2);
    tcase_add_test(t, refusals);
    tcase_add_test(t, nobody_answers);
    tcase_add_test(t, deferred_answer_is_given_time);
    tcase_add_loop_test(t, disconnects_cross_and_are_lost, 0, 8);
    tcase_add_test(t, dreq_is_a_hint_where_asked);
    tcase_add_test(t, scratch_1100_connections_in_a_row);
    tcase_add_test(t, scratch_finds_a_vanished_peer);
    tcase_add_loop_test(t, half_open_connections_give_way, 0, 2);
    tcase_add_test(t, rping_rounds);
    tcase_add_test(t, members_macs_are_not_overridden_by_arp);
    tcase_add_test(t, silent_host_blocks_nobody);
    return suite_run(s);
}
