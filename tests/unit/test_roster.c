// Nodes without a line in cluster.conf: which id they get and from whom, whose word holds,
// the request and its answer under the key, and how an address is claimed.
// links: proto/cluster/roster.c proto/cluster/ask.c proto/cluster/claim.c
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "proto/cluster/ask.h"
#include "proto/cluster/claim.h"
#include "proto/cluster/roster.h"
#include "proto/roce/roce_wire.h"
#include "tests/unit/keyed_sum.h"
#include "tests/unit/suite_run.h"

static struct roster_row rows[NODES_MAX];
static const u8 mac_a[6] = {2, 0, 0, 0, 0, 0xa}, mac_b[6] = {2, 0, 0, 0, 0, 0xb},
                mac_c[6] = {2, 0, 0, 0, 0, 0xc};

static void setup(void) {            // 0 and 3 have lines
    memset(rows, 0, sizeof rows);
    rows[0] = (struct roster_row){.listed = true, .mac = {2, 0, 0, 0, 0, 1}, .ipv4 = 0x0a070001};
    rows[3] = (struct roster_row){.listed = true, .mac = {2, 0, 0, 0, 0, 4}, .ipv4 = 0x0a070004};
}

START_TEST(next_free_id_and_the_old_one_again) {
    u8 id = 99;
    ck_assert_int_eq(roster_assign(rows, 0, mac_a, 0x0a070041, &id), S_OK);
    ck_assert_uint_eq(id, 1);
    ck_assert_int_eq(roster_assign(rows, 0, mac_b, 0x0a070042, &id), S_OK);
    ck_assert_uint_eq(id, 2);
    ck_assert_int_eq(roster_assign(rows, 0, mac_c, 0x0a070043, &id), S_OK);
    ck_assert_uint_eq(id, 4);
    ck_assert_int_eq(roster_assign(rows, 3, mac_a, 0x0a070050, &id), S_OK);   // elsewhere now
    ck_assert_uint_eq(id, 1);
    ck_assert_uint_eq(rows[1].ipv4, 0x0a070050);
    ck_assert_uint_eq(rows[1].by, 0);
    ck_assert_int_eq(roster_assign(rows, 0, mac_b, 0x0a070004, &id), E_ADDRINUSE);
    ck_assert_int_eq(roster_assign(rows, 0, rows[3].mac, 0x0a070060, &id), E_EXIST);
}
END_TEST

START_TEST(no_id_is_left) {
    u8 id, mac[6] = {2};
    for (u32 i = 0; i < NODES_MAX - 2; i++) {
        mac[1] = (u8)i;
        ck_assert_int_eq(roster_assign(rows, 0, mac, 0x0a070100 + i, &id), S_OK);
        for (u32 k = 0; k < NODES_MAX; k++)
            ck_assert(k == id || !roster_taken(&rows[k]) || rows[k].ipv4 != rows[id].ipv4);
    }
    ck_assert_int_eq(roster_assign(rows, 0, mac_a, 0x0a080000, &id), E_NOSPC);
}
END_TEST

START_TEST(the_lowest_listed_that_is_up_gives) {
    ck_assert_uint_eq(roster_assigner(rows, BIT(0) | BIT(3) | BIT(1)), 0);
    ck_assert_uint_eq(roster_assigner(rows, BIT(3) | BIT(1)), 3);
    rows[1].assigned = true;
    ck_assert_uint_eq(roster_assigner(rows, BIT(1)), NODES_MAX);
}
END_TEST

// Both sides of a cut gave id 1: after they met, all tables say the same.
START_TEST(the_lower_givers_word_holds) {
    struct roster_row other[NODES_MAX], by0, by3;
    u8 id;
    memcpy(other, rows, sizeof rows);
    roster_assign(rows, 0, mac_a, 0x0a070041, &id);
    roster_assign(other, 3, mac_b, 0x0a070042, &id);
    by0 = rows[1];
    by3 = other[1];
    ck_assert_int_eq(roster_learn(rows, 1, &by3), E_EXIST);
    ck_assert_int_eq(roster_learn(other, 1, &by0), S_OK);
    ck_assert_mem_eq(other[1].mac, mac_a, 6);
    ck_assert_mem_eq(&rows[1], &other[1], sizeof rows[1]);
    ck_assert_int_eq(roster_learn(other, 1, &by0), E_ALREADY);
    ck_assert_int_eq(roster_learn(rows, 3, &by0), E_EXIST);     // listed: never replaced
    ck_assert_int_eq(roster_learn(rows, 2, &by0), E_EXIST);     // one MAC, one id
}
END_TEST

// --- the request -------------------------------------------------------------------------

START_TEST(request_and_answer) {
    static u8 one[MEMBER_KEY] = {1}, two[MEMBER_KEY] = {2};
    const struct ask_key key = {one, keyed_sum}, wrong = {two, keyed_sum};
    struct ask a = {.ipv4 = 0x0a070041, .nonce = {7}}, got = {.ipv4 = a.ipv4};
    u8 req[56] = {0}, answer[148] = {0};
    memcpy(a.mac, mac_a, 6);
    ask_req_pack(&key, &a, req);
    ck_assert(ask_is(req, sizeof req));
    ck_assert_int_eq(ask_req_unpack(&key, req, sizeof req, &got), S_OK);
    ck_assert_mem_eq(&got, &a, sizeof a);
    ck_assert_int_eq(ask_req_unpack(&wrong, req, sizeof req, &got), E_KEYREJECTED);
    got.ipv4 ^= 1;                       // sent on from elsewhere
    ck_assert_int_eq(ask_req_unpack(&key, req, sizeof req, &got), E_KEYREJECTED);
    for (u32 len = 0; len < ASK_REQ_BYTES; len++)
        ck_assert_int_eq(ask_req_unpack(&key, req, len, &got), E_PROTO);
    struct ask_answer said = {ASK_GIVEN, 5, 3}, heard;
    ask_answer_pack(&key, &a, &said, answer);
    ck_assert_int_eq(ask_answer_unpack(&key, &a, answer, sizeof answer, &heard), S_OK);
    ck_assert_int_eq(heard.result, ASK_GIVEN);
    ck_assert_uint_eq(heard.id, 5);
    ck_assert_uint_eq(heard.by, 3);
    ck_assert_int_eq(ask_answer_unpack(&wrong, &a, answer, sizeof answer, &heard),
                     E_KEYREJECTED);
    for (u32 at = 1; at < ASK_ANSWER_BYTES; at++) {      // each byte counts
        answer[at] ^= 1;
        ck_assert_int_ne(ask_answer_unpack(&key, &a, answer, sizeof answer, &heard), S_OK);
        answer[at] ^= 1;
    }
    a.nonce[15] ^= 1;                    // an answer to another request
    ck_assert_int_eq(ask_answer_unpack(&key, &a, answer, sizeof answer, &heard), E_KEYREJECTED);
    for (u32 len = 0; len < ASK_ANSWER_BYTES; len++)
        ck_assert_int_eq(ask_answer_unpack(&key, &a, answer, len, &heard), E_PROTO);
}
END_TEST

// --- the address -------------------------------------------------------------------------

static u32 run_alone(struct claim *c) {      // how many frames until it is settled
    u8 frame[CLAIM_FRAME_BYTES];
    u32 frames = 0;
    for (u64 now = 1; c->state == CLAIM_PROBING && frames < 1000; now += CLAIM_WAIT_NS)
        frames += claim_tick(c, now, frame);
    return frames;
}

static void answer_to(const u8 frame[CLAIM_FRAME_BYTES], const u8 mac[6], u8 out[60]) {
    memcpy(out, frame, 60);
    struct arp_pkt *arp = (void *)(out + ETH_LEN);
    arp->op = be16(ARP_OP_REPLY);
    arp->sender_ip = arp->target_ip;
    memcpy(arp->sender_mac, mac, 6);
}

START_TEST(a_free_address_is_taken_after_three_probes) {
    struct claim c, again;
    claim_init(&c, mac_a, 0x0a070001, 0, 0);
    ck_assert_uint_eq(run_alone(&c), CLAIM_PROBES);
    ck_assert_int_eq(c.state, CLAIM_DONE);
    ck_assert_uint_eq(c.ipv4 >> 8, 0x0a0700);
    ck_assert((c.ipv4 & 255) >= CLAIM_HOST_FIRST && (c.ipv4 & 255) <= CLAIM_HOST_LAST);
    claim_init(&again, mac_a, 0x0a070001, 0, 0);
    ck_assert_uint_eq(again.ipv4, c.ipv4);
    claim_init(&again, mac_a, 0x0a070001, BIT((c.ipv4 & 255) - CLAIM_HOST_FIRST), 0);
    ck_assert_uint_ne(again.ipv4, c.ipv4);
    claim_init(&again, mac_a, 0x0a070001, 0, 0xc0a80001);
    ck_assert_uint_eq(again.ipv4, 0xc0a80001);
}
END_TEST

START_TEST(an_address_in_use_is_left) {
    struct claim c, d;
    u8 frame[CLAIM_FRAME_BYTES], answer[60];
    claim_init(&c, mac_a, 0x0a070001, 0, 0);
    d = c;
    memcpy(d.mac, mac_b, 6);
    const u32 first = c.ipv4;
    ck_assert(claim_tick(&c, 1, frame));
    claim_rx(&c, frame, sizeof frame);               // its own, come back
    ck_assert_uint_eq(c.ipv4, first);
    claim_rx(&d, frame, sizeof frame);               // another one probes the same
    ck_assert_uint_ne(d.ipv4, first);
    for (u32 i = 1; i < CLAIM_HOSTS; i++) {          // all are in use
        const u32 was = c.ipv4;
        answer_to(frame, mac_c, answer);
        claim_rx(&c, answer, 20);                    // cut short
        ck_assert_uint_eq(c.ipv4, was);
        claim_rx(&c, answer, sizeof answer);
        ck_assert_uint_ne(c.ipv4, was);
        ck_assert(claim_tick(&c, 2 + i, frame));
    }
    answer_to(frame, mac_c, answer);
    claim_rx(&c, answer, sizeof answer);
    run_alone(&c);
    ck_assert_int_eq(c.state, CLAIM_NONE_FREE);
    claim_init(&c, mac_a, 0x0a070001, 0, first);     // ip=: no other one
    ck_assert(claim_tick(&c, 1, frame));
    answer_to(frame, mac_c, answer);
    claim_rx(&c, answer, sizeof answer);
    ck_assert_int_eq(c.state, CLAIM_NONE_FREE);
}
END_TEST

int main(void) {
    Suite *s = suite_create("roster");
    TCase *t = tcase_create("roster");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, next_free_id_and_the_old_one_again);
    tcase_add_test(t, no_id_is_left);
    tcase_add_test(t, the_lowest_listed_that_is_up_gives);
    tcase_add_test(t, the_lower_givers_word_holds);
    tcase_add_test(t, request_and_answer);
    tcase_add_test(t, a_free_address_is_taken_after_three_probes);
    tcase_add_test(t, an_address_in_use_is_left);
    suite_add_tcase(s, t);
    return suite_run(s);
}
