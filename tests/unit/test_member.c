// The join: every byte that the proof covers matters, under both labels; the policy of
// crossed calls; backoff and the rate of log lines.
// links: proto/cluster/member.c
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/cluster/member.h"
#include "tests/unit/keyed_sum.h"
#include "tests/unit/suite_run.h"

static u8 the_key[MEMBER_KEY], other_key[MEMBER_KEY];
static struct member_side active, passive;
static struct member_proof proof;

static void setup(void) {
    memset(the_key, 0x5a, sizeof the_key);
    memset(other_key, 0x5b, sizeof other_key);
    active = (struct member_side){0, 0x1122334455667788ull, {1, 2, 3}, 0x0a070001, 17, 4711,
                                  2, 0, 0};
    passive = (struct member_side){1, 0x99aabbccddeeff00ull, {9, 8, 7}, 0x0a070002, 18, 815,
                                   2, 1, 77};
    proof = (struct member_proof){the_key, keyed_sum, &active, &passive};
}

START_TEST(both_sides_agree) {
    u8 req[92] = {0}, rep[196] = {0}, rtu[224] = {0};
    struct member_side a = {.ipv4 = active.ipv4, .qpn = active.qpn, .start_psn = active.start_psn};
    struct member_side p = {.ipv4 = passive.ipv4, .qpn = passive.qpn,
                            .start_psn = passive.start_psn};
    member_req_pack(&active, req);
    ck_assert_int_eq(member_req_unpack(req, 56, &a), S_OK);
    ck_assert_mem_eq(&a, &active, sizeof a);
    struct member_proof at_passive = {the_key, keyed_sum, &a, &passive};
    member_rep_pack(&at_passive, rep);
    ck_assert_int_eq(member_rep_unpack(rep, sizeof rep, &p), S_OK);
    ck_assert_mem_eq(&p, &passive, sizeof p);
    struct member_proof at_active = {the_key, keyed_sum, &active, &p};
    ck_assert_int_eq(member_rep_check(&at_active, rep, sizeof rep), S_OK);
    member_rtu_pack(&at_active, rtu);
    ck_assert_int_eq(member_rtu_check(&at_passive, rtu, sizeof rtu), S_OK);
}
END_TEST

START_TEST(wrong_key_is_refused) {
    u8 rep[MEMBER_REP_BYTES], rtu[MEMBER_RTU_BYTES];
    struct member_proof theirs = proof;
    theirs.key = other_key;
    member_rep_pack(&theirs, rep);
    member_rtu_pack(&theirs, rtu);
    ck_assert_int_eq(member_rep_check(&proof, rep, sizeof rep), E_KEYREJECTED);
    ck_assert_int_eq(member_rtu_check(&proof, rtu, sizeof rtu), E_KEYREJECTED);
}
END_TEST

START_TEST(labels_differ) {
    u8 rep[MEMBER_REP_BYTES];
    member_rep_pack(&proof, rep);
    ck_assert_int_eq(member_rtu_check(&proof, rep + MEMBER_REQ_BYTES, MEMBER_MAC), E_KEYREJECTED);
}
END_TEST

// Each field of each side is covered: changing it at the checker makes the MAC wrong.
START_TEST(each_field_counts) {
    u8 rep[MEMBER_REP_BYTES], rtu[MEMBER_RTU_BYTES];
    member_rep_pack(&proof, rep);
    member_rtu_pack(&proof, rtu);
    struct member_side *sides[] = {&active, &passive};
    for (int s = 0; s < 2; s++) {
        struct member_side whole = *sides[s];
        for (int f = 0; f < 9; f++) {
            *sides[s] = whole;
            switch (f) {
            case 0: sides[s]->id ^= 2; break;
            case 1: sides[s]->incarnation ^= 1ull << 63; break;
            case 2: sides[s]->nonce[15] ^= 1; break;
            case 3: sides[s]->ipv4 ^= 1; break;
            case 4: sides[s]->qpn ^= 1 << 23; break;
            case 5: sides[s]->members ^= 1; break;
            case 6: sides[s]->lowest ^= 1; break;
            case 7: sides[s]->fenced ^= 1; break;
            default: sides[s]->start_psn ^= 1; break;
            }
            ck_assert_int_eq(member_rep_check(&proof, rep, sizeof rep), E_KEYREJECTED);
            ck_assert_int_eq(member_rtu_check(&proof, rtu, sizeof rtu), E_KEYREJECTED);
        }
        *sides[s] = whole;
    }
    struct member_side swap = active;    // reflected: the sides exchanged
    active = passive;
    passive = swap;
    ck_assert_int_eq(member_rep_check(&proof, rep, sizeof rep), E_KEYREJECTED);
}
END_TEST

START_TEST(bad_bytes_are_refused) {
    u8 rep[MEMBER_REP_BYTES];
    struct member_side s;
    member_rep_pack(&proof, rep);
    for (u32 len = 0; len < MEMBER_REP_BYTES; len++)
        ck_assert_int_eq(member_rep_unpack(rep, len, &s), E_PROTO);
    for (u32 len = 0; len < MEMBER_REQ_BYTES; len++)
        ck_assert_int_eq(member_req_unpack(rep, len, &s), E_PROTO);
    for (u32 len = 0; len < MEMBER_RTU_BYTES; len++)
        ck_assert_int_eq(member_rtu_check(&proof, rep, len), E_PROTO);
    rep[0] = MEMBER_VERSION + 1;
    ck_assert_int_eq(member_req_unpack(rep, sizeof rep, &s), E_PROTO);
    rep[0] = MEMBER_VERSION;
    rep[1] = 64;
    ck_assert_int_eq(member_req_unpack(rep, sizeof rep, &s), E_PROTO);
}
END_TEST

START_TEST(the_lower_ids_call_stays) {
    struct member_peer p;
    member_peer_init(&p, 5);
    ck_assert_int_eq(member_request(&p, 1, 0), MEMBER_ACCEPT);
    ck_assert(member_call_due(&p, 5));
    ck_assert(!member_call_due(&p, 5));
    ck_assert_int_eq(member_request(&p, 1, 0), MEMBER_ACCEPT_DROP_OWN);
    ck_assert_int_eq(member_request(&p, 1, 2), MEMBER_REJECT_CROSSED);
    p.state = MEMBER_ANSWERING;
    ck_assert_int_eq(member_request(&p, 1, 2), MEMBER_ACCEPT_DROP_OWN);
    p.state = MEMBER_UP;
    ck_assert_int_eq(member_request(&p, 1, 0), MEMBER_REJECT_PROBE);
}
END_TEST

START_TEST(calls_are_spread_out) {
    struct member_peer p;
    u64 now = 1000, last_wait = 0;
    member_peer_init(&p, now);
    for (int i = 0; i < 20; i++) {
        ck_assert(member_call_due(&p, now));
        member_failed(&p, now, (u32)i * 7919u);
        ck_assert_int_eq(p.state, MEMBER_DOWN);
        u64 wait = p.call_at_ns - now;
        ck_assert(wait >= MEMBER_CALL_MIN_NS && wait <= MEMBER_CALL_MAX_NS * 5 / 4);
        ck_assert(wait >= last_wait || last_wait >= MEMBER_CALL_MAX_NS);
        ck_assert_uint_eq(member_next_ns(&p), p.call_at_ns);
        ck_assert(!member_call_due(&p, p.call_at_ns - 1));
        last_wait = wait;
        now = p.call_at_ns;
    }
    ck_assert(last_wait >= MEMBER_CALL_MAX_NS);
    ck_assert(member_call_due(&p, now));
    ck_assert_uint_eq(member_next_ns(&p), ~0ull);      // it is out
    member_joined(&p);
    ck_assert_uint_eq(member_next_ns(&p), ~0ull);
    member_failed(&p, now, 0);
    ck_assert_uint_eq(p.call_at_ns - now, MEMBER_CALL_MIN_NS);
}
END_TEST

START_TEST(log_lines_are_few) {
    struct member_peer p;
    member_peer_init(&p, 0);
    ck_assert(member_may_log(&p, MEMBER_WRONG_KEY, 10));
    ck_assert(!member_may_log(&p, MEMBER_WRONG_KEY, 9 + MEMBER_LOG_NS));
    ck_assert(member_may_log(&p, MEMBER_STRANGER, 11));
    ck_assert(member_may_log(&p, MEMBER_WRONG_KEY, 10 + MEMBER_LOG_NS));
}
END_TEST

int main(void) {
    Suite *s = suite_create("member");
    TCase *t = tcase_create("join");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, both_sides_agree);
    tcase_add_test(t, wrong_key_is_refused);
    tcase_add_test(t, labels_differ);
    tcase_add_test(t, each_field_counts);
    tcase_add_test(t, bad_bytes_are_refused);
    tcase_add_test(t, the_lower_ids_call_stays);
    tcase_add_test(t, calls_are_spread_out);
    tcase_add_test(t, log_lines_are_few);
    suite_add_tcase(s, t);
    return suite_run(s);
}
