// links: proto/roce/rc_resp.c
// The responder machine by itself, fed with parsed packets: what a duplicate is answered.
#include <check.h>
#include <stdlib.h>

#include "proto/roce/rc_resp.h"
#include "tests/unit/suite_run.h"

#define START_PSN 0xfffffdu      // the numbers wrap within each test

static struct rc_resp r;
static struct rc_resp_act act;

static void setup(void) {
    rc_resp_start(&r, &(struct rc_resp_attr){.rq_psn = START_PSN, .mtu_shift = 10,
                                             .max_dest_rd_atomic = 4, .allow_write = true,
                                             .allow_read = true, .allow_atomic = true});
}

static enum rc_resp_verdict ask(u32 flags, u32 psn, u32 len_bytes) {
    struct roce_pkt pkt = {.flags = OPF_REQUEST | OPF_ONLY | flags, .psn = psn_add(START_PSN, psn),
                           .va = 64, .rkey = 5, .dma_len = len_bytes};
    if (flags & OPF_WRITE) pkt.payload_len = len_bytes;
    rc_resp_check(&r, &pkt, true, 0, &act);
    if (act.verdict == RESP_WRITE || act.verdict == RESP_READ || act.verdict == RESP_ATOMIC)
        rc_resp_commit(&r, &pkt, &act);
    return act.verdict;
}

// The newest of a run of WRITEs is acknowledged for all of them.
START_TEST(test_duplicate_write) {
    for (u32 i = 0; i < 4; i++) ck_assert_int_eq(ask(OPF_WRITE, i, 8), RESP_WRITE);
    ck_assert_int_eq(ask(OPF_WRITE, 1, 8), RESP_DUP_ACK);
    ck_assert_uint_eq(act.psn, psn_add(START_PSN, 3));
}
END_TEST

// Seen with Linux's rxe on a bad link (tests/interop/chaos.py, 5,000 operations, seed 3): the
// atomic's answer was lost, a late copy of the WRITE before it came, and the ACK of "the newest
// executed" completed the atomic without its result.
START_TEST(test_duplicate_write_behind_an_atomic) {
    ck_assert_int_eq(ask(OPF_WRITE, 0, 8), RESP_WRITE);
    ck_assert_int_eq(ask(OPF_WRITE, 1, 8), RESP_WRITE);
    ck_assert_int_eq(ask(OPF_ATOMIC, 2, 8), RESP_ATOMIC);
    ck_assert_int_eq(ask(OPF_WRITE, 1, 8), RESP_DUP_ACK);
    ck_assert_uint_eq(act.psn, psn_add(START_PSN, 1));
    ck_assert_int_eq(ask(OPF_WRITE, 0, 8), RESP_DUP_ACK);
    ck_assert_uint_eq(act.psn, START_PSN);
    ck_assert_int_eq(ask(OPF_WRITE, 3, 8), RESP_WRITE);
    ck_assert_int_eq(ask(OPF_WRITE, 4, 8), RESP_WRITE);
    ck_assert_int_eq(ask(OPF_WRITE, 3, 8), RESP_DUP_ACK);      // behind it: the newest again
    ck_assert_uint_eq(act.psn, psn_add(START_PSN, 4));
    ck_assert_int_eq(ask(OPF_WRITE, 1, 8), RESP_DUP_ACK);
    ck_assert_uint_eq(act.psn, psn_add(START_PSN, 1));
}
END_TEST

START_TEST(test_duplicate_write_behind_a_read) {   // of three packets
    ck_assert_int_eq(ask(OPF_WRITE, 0, 8), RESP_WRITE);
    ck_assert_int_eq(ask(OPF_READ, 1, 3000), RESP_READ);
    ck_assert_int_eq(ask(OPF_WRITE, 0, 8), RESP_DUP_ACK);
    ck_assert_uint_eq(act.psn, START_PSN);
    ck_assert_int_eq(ask(OPF_WRITE, 4, 8), RESP_WRITE);
    ck_assert_int_eq(ask(OPF_WRITE, 4, 8), RESP_DUP_ACK);
    ck_assert_uint_eq(act.psn, psn_add(START_PSN, 4));
}
END_TEST

int main(void) {
    Suite *s = suite_create("rc_resp");
    TCase *t = tcase_create("duplicates");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, test_duplicate_write);
    tcase_add_test(t, test_duplicate_write_behind_an_atomic);
    tcase_add_test(t, test_duplicate_write_behind_a_read);
    suite_add_tcase(s, t);
    return suite_run(s);
}
