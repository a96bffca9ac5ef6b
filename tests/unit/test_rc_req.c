// links: proto/roce/rc_req.c proto/roce/rc_resp.c
// The requester machine by itself: what the MSN of an answer to a READ says. An answer that was
// made after a later request had run is a doubt, and is counted; it is taken all the same. The
// reader of another node's drive (kernel/remote_drive.c) begins anew by that count.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "proto/roce/rc_req.h"
#include "proto/roce/rc_resp.h"
#include "tests/unit/suite_run.h"

#define START_PSN 0xfffffcu          // the numbers wrap within each test
#define SHIFT 10u                    // a packet is 1 KiB
#define SLOTS 16u
#define TIMEOUT_NS (4u << 20)

static struct rc_wqe wqes[SLOTS];
static struct rc_req_counters counters;
static struct rc_req q;
static u64 now_ns;

static void start(u32 sq_psn) {
    rc_req_start(&q, &(struct rc_req_attr){.sq_psn = sq_psn, .mtu_shift = SHIFT, .timeout = 10,
                                           .retry_cnt = 7, .rnr_retry = 7, .max_rd_atomic = 8});
}

static void setup(void) {
    counters = (struct rc_req_counters){0};
    now_ns = 1;
    rc_req_init(&q, wqes, SLOTS, &counters);
    start(START_PSN);
}

static u32 send_all(struct rc_tx *sent, u32 max) {
    u32 count = 0;
    for (struct rc_tx tx; count < max && rc_req_next(&q, now_ns, &tx); count++) {
        rc_req_sent(&q, &tx, now_ns);
        sent[count] = tx;
    }
    return count;
}

// Posts one request and sends what is due; its first PSN.
static u32 request(enum rc_op op, u32 len_bytes) {
    struct rc_tx sent[SLOTS];
    u32 index;
    struct rc_wqe *w = rc_req_slot(&q, &index);
    ck_assert_ptr_nonnull(w);
    *w = (struct rc_wqe){.op = op, .len = len_bytes};
    rc_req_post(&q);
    ck_assert_uint_ne(send_all(sent, SLOTS), 0);
    return w->first_psn;
}

static enum rc_req_verdict response(u32 flags, u32 psn, u32 msn, u32 len_bytes) {
    const struct roce_pkt pkt = {.flags = OPF_RESPONSE | flags, .psn = psn, .msn = msn,
                                 .syndrome = AETH_ACK, .payload_len = len_bytes};
    const enum rc_req_verdict v = rc_req_response(&q, &pkt, now_ns).verdict;
    for (u32 index; rc_req_pop(&q, &index);) {}
    return v;
}

// One packet of a READ's answer; `where`: OPF_FIRST, OPF_MIDDLE, OPF_LAST or OPF_ONLY.
static enum rc_req_verdict data(u32 where, u32 psn, u32 msn, u32 len_bytes) {
    return response(OPF_READ_RESP | where | (where == OPF_MIDDLE ? 0 : OPF_AETH), psn, msn,
                    len_bytes);
}

static enum rc_req_verdict atomic(u32 psn, u32 msn) {
    return response(OPF_AETH | OPF_ATOMIC_ACK_ETH, psn, msn, 0);
}

static void lost(void) {             // nothing comes until the timer has gone back
    struct rc_tx sent[SLOTS];
    now_ns = rc_req_deadline(&q);
    ck_assert_int_eq(rc_req_tick(&q, now_ns).verdict, RC_REQ_OK);
    ck_assert_uint_ne(send_all(sent, SLOTS), 0);
}

START_TEST(answers_in_order_are_no_doubt) {
    u32 psn[4];
    for (u32 i = 0; i < 4; i++) psn[i] = request(RC_OP_READ, 64);
    for (u32 i = 0; i < 4; i++)
        ck_assert_int_eq(data(OPF_ONLY, psn[i], i + 1, 64), RC_REQ_PLACE);
    ck_assert_uint_eq(q.doubts, 0);
}
END_TEST

// The hole of a one-sided read of a drive: [READ page, READ entry], the page's answer is of a
// copy that ran after the entry's READ, the entry's is the first one. Nothing was sent again.
START_TEST(a_page_younger_than_its_entry_is_a_doubt) {
    const u32 page = request(RC_OP_READ, 1024), entry = request(RC_OP_READ, 64);
    ck_assert_int_eq(data(OPF_ONLY, page, 2, 1024), RC_REQ_PLACE);
    ck_assert_uint_eq(q.doubts, 1);
    ck_assert_int_eq(data(OPF_ONLY, entry, 2, 64), RC_REQ_PLACE);
    ck_assert_uint_eq(q.doubts, 1);
    ck_assert_uint_eq(counters.completer_retry_err, 0);
}
END_TEST

// Of two answers to one READ the first that comes counts; the other is a ghost.
START_TEST(a_doubled_answer_is_no_doubt) {
    const u32 page = request(RC_OP_READ, 1024), entry = request(RC_OP_READ, 64);
    ck_assert_int_eq(data(OPF_ONLY, page, 1, 1024), RC_REQ_PLACE);
    ck_assert_int_eq(data(OPF_ONLY, page, 2, 1024), RC_REQ_IGNORE);
    ck_assert_int_eq(data(OPF_ONLY, entry, 2, 64), RC_REQ_PLACE);
    ck_assert_int_eq(data(OPF_ONLY, entry, 7, 64), RC_REQ_IGNORE);
    ck_assert_uint_eq(counters.ghost_response, 2);
    ck_assert_uint_eq(q.doubts, 0);
}
END_TEST

// Both were asked for again; the first answer, late, is as good as it was.
START_TEST(a_late_answer_counts_by_when_it_was_made) {
    u32 page = request(RC_OP_READ, 1024), entry = request(RC_OP_READ, 64);
    lost();
    ck_assert_int_eq(data(OPF_ONLY, page, 1, 1024), RC_REQ_PLACE);
    ck_assert_int_eq(data(OPF_ONLY, entry, 2, 64), RC_REQ_PLACE);
    ck_assert_uint_eq(q.doubts, 0);
    page = request(RC_OP_READ, 1024);
    entry = request(RC_OP_READ, 64);
    lost();
    ck_assert_int_eq(data(OPF_ONLY, page, 4, 1024), RC_REQ_PLACE);      // of the second asking
    ck_assert_int_eq(data(OPF_ONLY, entry, 4, 64), RC_REQ_PLACE);       // of the first
    ck_assert_uint_eq(q.doubts, 1);
    ck_assert_uint_eq(counters.completer_retry_err, 2);
}
END_TEST

// A gap: the answer behind the missing one is not taken, so neither is its MSN.
START_TEST(an_answer_that_is_not_taken_is_no_doubt) {
    const u32 page = request(RC_OP_READ, 1024), entry = request(RC_OP_READ, 64);
    struct rc_tx sent[SLOTS];
    data(OPF_ONLY, entry, 9, 64);
    ck_assert_uint_eq(counters.read_gap_asked, 1);
    ck_assert_uint_eq(q.doubts, 0);
    ck_assert_uint_eq(send_all(sent, SLOTS), 2);
    ck_assert_int_eq(data(OPF_ONLY, page, 2, 1024), RC_REQ_PLACE);
    ck_assert_int_eq(data(OPF_ONLY, entry, 2, 64), RC_REQ_PLACE);
    ck_assert_uint_eq(q.doubts, 1);
}
END_TEST

// Each packet with an MSN is looked at; those in the middle have none, whatever stands there.
START_TEST(first_and_last_packet_say_it) {
    static const u32 where[] = {OPF_FIRST, OPF_MIDDLE, OPF_MIDDLE, OPF_LAST};
    for (u32 late = 0; late < 4; late++) {
        const u32 read = request(RC_OP_READ, 4096), own = late + 1, before = q.doubts;
        for (u32 i = 0; i < 4; i++)
            ck_assert_int_eq(data(where[i], psn_add(read, i), i == late ? own + 1 : own, 1024),
                             RC_REQ_PLACE);
        ck_assert_uint_eq(q.doubts - before, where[late] != OPF_MIDDLE);
    }
}
END_TEST

// Every message counts as one, of however many packets, and atomics count too. What an atomic
// gave is kept by the responder, so an answer made late is the same: no doubt.
START_TEST(atomics_and_writes_count_as_requests) {
    const u32 first = request(RC_OP_READ, 64), add = request(RC_OP_FAA, 8),
              write = request(RC_OP_WRITE, 3000), cas = request(RC_OP_CAS, 8),
              second = request(RC_OP_READ, 64), third = request(RC_OP_READ, 64);
    ck_assert_int_eq(data(OPF_ONLY, first, 2, 64), RC_REQ_PLACE);       // after the atomic
    ck_assert_uint_eq(q.doubts, 1);
    ck_assert_int_eq(atomic(add, 6), RC_REQ_ATOMIC);
    ck_assert_int_eq(response(OPF_ACK | OPF_AETH, psn_add(write, 2), 6, 0), RC_REQ_OK);
    ck_assert_int_eq(atomic(cas, 4), RC_REQ_ATOMIC);
    ck_assert_uint_eq(q.doubts, 1);
    ck_assert_int_eq(data(OPF_ONLY, second, 5, 64), RC_REQ_PLACE);
    ck_assert_uint_eq(q.doubts, 1);
    ck_assert_int_eq(data(OPF_ONLY, third, 7, 64), RC_REQ_PLACE);
    ck_assert_uint_eq(q.doubts, 2);
}
END_TEST

// 24 bits of MSN, and the ring's free-running index of 32 under it.
START_TEST(msn_wraps) {
    static const u32 ran[] = {0, 0x7ffff9, 0xfffff9, 0xfffffff9};
    for (u32 i = 0; i < ARRAY_COUNT(ran); i++) {
        setup();
        q.ring.head = q.ring.tail = 0xfffffff9;
        start(START_PSN);
        q.first_index -= ran[i];                     // so many have run
        for (u32 k = 0; k < 16; k += 2) {
            const u32 own = ran[i] + k + 1, read = request(RC_OP_READ, 64);
            ck_assert_int_eq(data(OPF_ONLY, read, own & PSN_MASK, 64), RC_REQ_PLACE);
            ck_assert_uint_eq(q.doubts, k / 2);
            const u32 late = request(RC_OP_READ, 64), msn = (own + 2 + k) & PSN_MASK;
            ck_assert_int_eq(data(OPF_ONLY, late, msn, 64), RC_REQ_PLACE);
            ck_assert_uint_eq(q.doubts, k / 2 + 1);
        }
    }
}
END_TEST

// A pair that is made ready again counts from one; doubts go on, their reader compares two.
START_TEST(a_new_start_counts_anew) {
    for (u32 i = 0; i < 3; i++) data(OPF_ONLY, request(RC_OP_READ, 64), i + 1, 64);
    start(77);
    ck_assert_int_eq(data(OPF_ONLY, request(RC_OP_READ, 64), 1, 64), RC_REQ_PLACE);
    ck_assert_uint_eq(q.doubts, 0);
    ck_assert_int_eq(data(OPF_ONLY, request(RC_OP_READ, 64), 3, 64), RC_REQ_PLACE);
    ck_assert_uint_eq(q.doubts, 1);
}
END_TEST

// --- with the responder machine, over a network that loses, doubles and holds back -------

#define WORLD_PACKETS 64u
#define WORLD_REQUESTS 400u
#define WORLD_STEPS_MAX 200000u

struct wire { struct roce_pkt pkt; u32 ran; bool used; };

static struct {
    u64 random;
    struct rc_resp resp;
    struct wire to[WORLD_PACKETS], back[WORLD_PACKETS];
    u32 ran;                         // requests that the responder has run
    u32 posted, done, doubts, reads;
} world;

static u32 draw(u32 below) {         // splitmix64
    u64 z = (world.random += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (u32)((z ^ (z >> 31)) >> 33) % below;
}

// In one of eight cases lost, in one twice; the order is that of the draws.
static void put(struct wire *wires, const struct roce_pkt *pkt) {
    static const u32 times[] = {0, 2, 1, 1, 1, 1, 1, 1};
    for (u32 left = times[draw(ARRAY_COUNT(times))]; left != 0; left--) {
        u32 at = 0;
        while (at < WORLD_PACKETS && wires[at].used) at++;
        if (at < WORLD_PACKETS) wires[at] = (struct wire){*pkt, world.ran, true};
    }
}

static void send_some(void) {
    struct rc_tx tx;
    while (rc_req_next(&q, now_ns, &tx)) {
        const struct rc_wqe *w = &wqes[tx.wqe];
        const u32 kind = w->op == RC_OP_READ ? OPF_READ
                         : w->op == RC_OP_FAA ? OPF_ATOMIC : OPF_WRITE;
        const struct roce_pkt pkt = {.flags = OPF_REQUEST | OPF_ONLY | kind, .psn = tx.psn,
                                     .va = tx.va, .dma_len = tx.dma_len, .payload_len = tx.len};
        rc_req_sent(&q, &tx, now_ns);
        put(world.to, &pkt);
    }
}

static void read_answer(const struct rc_resp_act *act) {
    const u32 count = psn_count(act->len, SHIFT);
    for (u32 i = 0; i < count; i++) {
        const u32 where = (i == 0 ? OPF_FIRST : 0) | (i == count - 1 ? OPF_LAST : 0);
        const struct roce_pkt pkt = {
            .flags = OPF_RESPONSE | OPF_READ_RESP | where | (where ? OPF_AETH : OPF_MIDDLE),
            .psn = psn_add(act->psn, i), .msn = where ? world.resp.msn : PSN_MASK >> 1,
            .syndrome = AETH_ACK, .payload_len = MIN(1u << SHIFT, act->len - (i << SHIFT))};
        put(world.back, &pkt);
    }
}

static void respond(const struct roce_pkt *request_pkt) {
    struct rc_resp_act act;
    rc_resp_check(&world.resp, request_pkt, true, 0, &act);
    const enum rc_resp_verdict v = act.verdict;
    if (v == RESP_DROP) return;
    if (v == RESP_READ || v == RESP_WRITE || v == RESP_ATOMIC) {
        rc_resp_commit(&world.resp, request_pkt, &act);
        world.ran++;
    }
    struct roce_pkt pkt = {.flags = OPF_RESPONSE | OPF_AETH, .psn = act.psn,
                           .msn = world.resp.msn, .syndrome = AETH_ACK};
    if (v == RESP_NAK) pkt.syndrome = act.syndrome;
    if (v == RESP_READ || v == RESP_DUP_READ) {
        read_answer(&act);
        return;
    }
    pkt.flags |= v == RESP_ATOMIC || v == RESP_DUP_ATOMIC ? OPF_ATOMIC_ACK_ETH : OPF_ACK;
    put(world.back, &pkt);
}

// The oracle knows how many had run when the answer was made, and whose READ it is.
static void receive(const struct wire *w) {
    const struct rc_req_result r = rc_req_response(&q, &w->pkt, now_ns);
    ck_assert_int_ne(r.verdict, RC_REQ_FAILED);
    if (r.verdict == RC_REQ_PLACE && (w->pkt.flags & OPF_AETH)) {
        u32 own = world.done;                        // of the oldest, which is the one in doubt
        while ((own & (SLOTS - 1)) != r.wqe) own++;
        world.doubts += w->ran > own + 1;
        world.reads++;
    }
    for (u32 index; rc_req_pop(&q, &index);) world.done++;
}

static bool world_take(struct wire *wires, struct wire *w) {
    const u32 first = draw(WORLD_PACKETS);
    for (u32 i = 0; i < WORLD_PACKETS; i++) {
        struct wire *at = &wires[draw(3) ? i : (first + i) % WORLD_PACKETS];
        if (!at->used) continue;
        *w = *at;
        at->used = false;
        return true;
    }
    return false;
}

static void world_post(void) {
    static const struct { enum rc_op op; u32 len_bytes; } kinds[] = {
        {RC_OP_READ, 64}, {RC_OP_READ, 1024}, {RC_OP_READ, 4000}, {RC_OP_FAA, 8}, {RC_OP_WRITE, 9}};
    u32 index;
    struct rc_wqe *w = world.posted < WORLD_REQUESTS ? rc_req_slot(&q, &index) : NULL;
    if (w == NULL) return;
    const u32 kind = draw(ARRAY_COUNT(kinds));
    *w = (struct rc_wqe){.op = kinds[kind].op, .len = kinds[kind].len_bytes};
    rc_req_post(&q);
    world.posted++;
}

// 400 requests; the count of doubts is the oracle's after every answer.
START_TEST(doubts_are_those_of_an_oracle) {
    memset(&world, 0, sizeof world);
    world.random = (u64)_i;
    rc_resp_start(&world.resp, &(struct rc_resp_attr){
        .rq_psn = START_PSN, .mtu_shift = SHIFT, .max_dest_rd_atomic = 16, .allow_write = true,
        .allow_read = true, .allow_atomic = true});
    for (u32 step = 0; world.done < WORLD_REQUESTS; step++) {
        struct wire w;
        ck_assert_uint_lt(step, WORLD_STEPS_MAX);
        if (draw(2)) world_post();
        send_some();
        if (draw(2) && world_take(world.to, &w)) respond(&w.pkt);
        if (draw(2) && world_take(world.back, &w)) receive(&w);
        ck_assert_uint_eq(q.doubts, world.doubts);
        now_ns += TIMEOUT_NS / 64;
        ck_assert_int_eq(rc_req_tick(&q, now_ns).verdict, RC_REQ_OK);
    }
    ck_assert_uint_gt(world.doubts, 0);              // both kinds of answer were met
    ck_assert_uint_gt(world.reads, world.doubts);
}
END_TEST

int main(void) {
    Suite *s = suite_create("rc_req");
    TCase *t = tcase_create("msn");
    tcase_add_checked_fixture(t, setup, NULL);
    suite_add_tcase(s, t);
    tcase_add_test(t, answers_in_order_are_no_doubt);
    tcase_add_test(t, a_page_younger_than_its_entry_is_a_doubt);
    tcase_add_test(t, a_doubled_answer_is_no_doubt);
    tcase_add_test(t, a_late_answer_counts_by_when_it_was_made);
    tcase_add_test(t, an_answer_that_is_not_taken_is_no_doubt);
    tcase_add_test(t, first_and_last_packet_say_it);
    tcase_add_test(t, atomics_and_writes_count_as_requests);
    tcase_add_test(t, msn_wraps);
    tcase_add_test(t, a_new_start_counts_anew);
    tcase_add_loop_test(t, doubts_are_those_of_an_oracle, 0, 8);
    return suite_run(s);
}
