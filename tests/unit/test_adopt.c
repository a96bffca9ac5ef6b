// links: proto/cluster/adopt.c
// The hand-over's machines with one giver (node 0), one taker (node 1), a third node, and
// the giver's owner word in a variable: the whole way, and each death of adopt.c's table.
#include <check.h>
#include <string.h>

#include "proto/cluster/adopt.h"
#include "tests/unit/suite_run.h"

#define PLACE 5

static u64 word, taker_word;
static struct adopt_out out;
static struct adopt_in in;
static u8 desc[16];

static void setup(void) {
    word = owner_word(OWNER_RUNNING, 0, 0xfffffe);   // the epoch wraps in every test
    taker_word = owner_word(OWNER_FREE, 1, 9);
    adopt_out_begin(&out, 0, PLACE, word, 1, 3);
}

static void card(struct chain *c) {
    for (u32 i = 0; i < c->count; i++) {
        struct chain_wr *wr = &c->wr[i];
        u64 *w = c->node == 0 ? &word : &taker_word;
        if (wr->op != CHAIN_CAS) continue;
        wr->result = *w;
        if (*w == wr->compare) *w = wr->operand;
    }
}

// Drives the giver up to the first thing that it wants of its host.
static enum adopt_next out_next(void) {
    enum adopt_next next;
    while ((next = adopt_out_next(&out)) == ADOPT_POST) {
        card(&out.chain);
        adopt_out_posted(&out);
    }
    return next;
}

static enum adopt_next in_next(void) {
    enum adopt_next next;
    while ((next = adopt_in_next(&in)) == ADOPT_POST) {
        card(&in.chain);
        adopt_in_posted(&in);
    }
    return next;
}

static void claim(void) {
    ck_assert_int_eq(out_next(), ADOPT_OFFER);
    ck_assert_uint_eq(word, owner_word(OWNER_QUEUED, 0, 0xffffff));
    ck_assert_uint_eq(slot_owner_word(out.slot), word);
    adopt_in_begin(&in, 1, out.slot, true, desc, sizeof desc);
    ck_assert_int_eq(in_next(), ADOPT_PREPARE);
    ck_assert_uint_eq(word, owner_word(OWNER_ADOPTING, 1, 0));
    adopt_out_look(&out, word);
}

static void run(const struct image_id *lender) {
    struct adopt_plan plan = {.index = 2, .own_word = taker_word, .lender_count = lender != NULL};
    if (lender != NULL) plan.lender[0] = *lender;
    adopt_in_prepared(&in, &plan);
    ck_assert_int_eq(in_next(), ADOPT_START);
    ck_assert_uint_eq(word, owner_word(OWNER_RUNNING, 1, 1));
    ck_assert_uint_eq(taker_word, owner_word(OWNER_RUNNING, 1, 10));
    adopt_out_look(&out, word);
    ck_assert_int_eq(out_next(), ADOPT_GIVEN);
}

START_TEST(test_whole_way) {
    claim();
    ck_assert_int_eq(out_next(), ADOPT_WAIT);
    run(NULL);
    ck_assert_int_eq(in_next(), ADOPT_WAIT);
    ck_assert(!adopt_out_release(&out, 1, 7, 7));       // another giving's epoch
    ck_assert(!adopt_out_release(&out, 2, 1, 7));       // not the holder
    adopt_in_drained(&in, 0);
    ck_assert_int_eq(in_next(), ADOPT_RELEASE);
    ck_assert_int_eq(in_next(), ADOPT_WAIT);
    adopt_in_release_ack(&in, &in.lender[0].image);
    ck_assert_int_eq(in_next(), ADOPT_ENDED);
    ck_assert(adopt_out_release(&out, 1, in.send_image.epoch, 7));
    ck_assert_int_eq(out_next(), ADOPT_FREE);
    ck_assert_uint_eq(word, owner_word(OWNER_FREE, 0, 2));   // before the frames are freed
    ck_assert(!adopt_out_release(&out, 1, 1, 7));       // once only
}
END_TEST

// A third node lent pages: it is told, and the giver is released only after its ack.
START_TEST(test_lenders_first) {
    struct image_id third = {2, 8, 0x77};
    claim();
    run(&third);
    ck_assert(!adopt_in_settled(&in));
    ck_assert_int_eq(in_next(), ADOPT_TELL);
    ck_assert_uint_eq(in.send_image.node, 2);
    adopt_in_drained(&in, 0);
    ck_assert_int_eq(in_next(), ADOPT_WAIT);
    struct image_id other = {2, 8, 0x78};
    adopt_in_ack(&in, &other, S_OK);                    // of another giving
    ck_assert_int_eq(in_next(), ADOPT_WAIT);
    adopt_in_ack(&in, &third, S_OK);
    ck_assert(adopt_in_settled(&in));
    ck_assert_int_eq(in_next(), ADOPT_RELEASE);
    ck_assert_uint_eq(in.send_image.node, 0);
    ck_assert_int_eq(in_next(), ADOPT_WAIT);
    adopt_in_finish(&in);
    ck_assert_int_eq(in_next(), ADOPT_RELEASE);
    ck_assert_uint_eq(in.send_image.node, 2);
}
END_TEST

// Its descriptor, on its way to the next node, names the lender that the host finds drained
// only now: releasing it would have that next node told that pages are lost.
START_TEST(test_drained_while_away) {
    struct image_id third = {2, 8, 0x77};
    claim();
    run(&third);
    ck_assert_int_eq(in_next(), ADOPT_TELL);
    adopt_in_ack(&in, &third, S_OK);
    adopt_in_away(&in, true);
    adopt_in_drained(&in, 2);
    adopt_in_drained(&in, 0);
    ck_assert_int_eq(in_next(), ADOPT_WAIT);
    adopt_in_away(&in, false);                          // the move failed: it is here again
    ck_assert_int_eq(in_next(), ADOPT_RELEASE);
    ck_assert_int_eq(in_next(), ADOPT_RELEASE);
    adopt_in_release_ack(&in, &third);
    adopt_in_release_ack(&in, &in.lender[0].image);
    ck_assert_int_eq(in_next(), ADOPT_ENDED);
}
END_TEST

// Simulator, model transport, seed 13600: B had sent A its RELEASE, moved on to C and died
// before A had it. A, told of B's death, took the process for dead with B.
START_TEST(test_release_on_its_way) {
    claim();
    run(NULL);
    ck_assert_int_eq(in_next(), ADOPT_WAIT);
    adopt_in_drained(&in, 0);
    ck_assert(adopt_in_settled(&in));
    ck_assert_int_eq(in_next(), ADOPT_RELEASE);
    ck_assert(!adopt_in_settled(&in));                  // B may not give it on yet
    ck_assert_int_eq(in_next(), ADOPT_WAIT);
    const struct image_id image = in.lender[0].image;
    struct image_id other = image;
    other.epoch++;
    adopt_in_release_ack(&in, &other);
    ck_assert(!adopt_in_settled(&in));
    adopt_in_release_ack(&in, &image);
    ck_assert_int_eq(in_next(), ADOPT_ENDED);
    ck_assert(adopt_in_settled(&in));
}
END_TEST

START_TEST(test_release_to_the_dead) {   // its answer will not come, and nothing is lost
    claim();
    run(NULL);
    ck_assert_int_eq(in_next(), ADOPT_WAIT);
    adopt_in_drained(&in, 0);
    ck_assert_int_eq(in_next(), ADOPT_RELEASE);
    adopt_in_peer_down(&in, 0);
    ck_assert_int_eq(in_next(), ADOPT_ENDED);
}
END_TEST

START_TEST(test_cancel) {
    ck_assert_int_eq(out_next(), ADOPT_OFFER);
    adopt_out_cancel(&out, E_INTR);
    ck_assert_int_eq(out_next(), ADOPT_THAW);
    ck_assert_uint_eq(word, owner_word(OWNER_RUNNING, 0, 0));
    adopt_in_begin(&in, 1, out.slot, true, desc, sizeof desc);
    ck_assert_int_eq(in_next(), ADOPT_DROP);            // the entry is stale now
    ck_assert_int_eq(in.reason, E_ALREADY);
}
END_TEST

START_TEST(test_cancel_too_late) {   // ADOPTING and alive: only a fence or a refusal helps
    claim();
    adopt_out_cancel(&out, E_INTR);
    ck_assert_int_eq(out_next(), ADOPT_WAIT);
    adopt_out_peer_down(&out, 2, word);                 // some other node's death
    ck_assert_int_eq(out_next(), ADOPT_WAIT);
    run(NULL);
}
END_TEST

START_TEST(test_refused) {
    claim();
    adopt_in_refused(&in, E_NOMEM);
    ck_assert_int_eq(in_next(), ADOPT_REFUSE);
    ck_assert_int_eq(in_next(), ADOPT_DROP);
    adopt_out_refuse(&out, 1, 0x123, E_NOMEM);          // of another entry
    ck_assert_int_eq(out_next(), ADOPT_WAIT);
    out.cancel = true;
    adopt_out_refuse(&out, 1, 0xffffff, E_NOMEM);
    ck_assert_int_eq(out_next(), ADOPT_THAW);
    ck_assert_int_eq(out.reason, E_NOMEM);
}
END_TEST

START_TEST(test_taker_dies_adopting) {
    claim();
    adopt_out_peer_down(&out, 1, word);
    ck_assert_int_eq(out_next(), ADOPT_THAW);
    ck_assert_int_eq(out.reason, E_HOSTUNREACH);
    ck_assert_uint_eq(word, owner_word(OWNER_RUNNING, 0, 1));
}
END_TEST

START_TEST(test_taker_of_queue_dies_adopting) {   // shared: offered again, nothing lost
    adopt_out_begin(&out, 0, PLACE, word, NODE_ANY, 3);
    claim();
    adopt_out_peer_down(&out, 1, word);
    ck_assert_int_eq(out_next(), ADOPT_OFFER);
    ck_assert_uint_eq(word, owner_word(OWNER_QUEUED, 0, 1));
    ck_assert_uint_eq(slot_owner_word(out.slot), word);
}
END_TEST

START_TEST(test_taker_dies_running) {
    claim();
    run(NULL);
    adopt_out_peer_down(&out, 1, word);
    ck_assert_int_eq(out_next(), ADOPT_LOST);
    ck_assert_int_eq(out_next(), ADOPT_FREE);
    ck_assert_uint_eq(owner_state(word), OWNER_FREE);
}
END_TEST

START_TEST(test_giver_dies) {   // no completion of RUNNING: no instruction runs
    claim();
    struct adopt_plan plan = {.index = 2, .own_word = taker_word};
    adopt_in_prepared(&in, &plan);
    ck_assert_int_eq(adopt_in_next(&in), ADOPT_POST);
    in.chain.status = E_HOSTUNREACH;
    adopt_in_posted(&in);
    adopt_in_peer_down(&in, 0);
    ck_assert_int_eq(in_next(), ADOPT_DROP);
}
END_TEST

START_TEST(test_lender_dies) {
    claim();
    run(NULL);
    adopt_in_peer_down(&in, 0);
    ck_assert_int_eq(in_next(), ADOPT_KILL);
    adopt_in_finish(&in);
    ck_assert_int_eq(in_next(), ADOPT_ENDED);
}
END_TEST

START_TEST(test_drained_lender_dies) {   // nothing of it is needed any more
    struct image_id third = {2, 8, 0x77};
    claim();
    run(&third);
    ck_assert_int_eq(in_next(), ADOPT_TELL);
    adopt_in_drained(&in, 2);
    adopt_in_peer_down(&in, 2);
    ck_assert_int_eq(in_next(), ADOPT_TELL);            // the giver, that it may live on
    ck_assert_uint_eq(in.send_image.node, 0);
    ck_assert_int_eq(in.send_status, E_HOSTUNREACH);
    ck_assert(!adopt_in_settled(&in));
    adopt_in_ack(&in, &in.lender[0].image, S_OK);
    ck_assert_int_eq(in_next(), ADOPT_WAIT);
    ck_assert(adopt_in_settled(&in));
}
END_TEST

START_TEST(test_drained_lender_dies_that_knew_us) {
    struct image_id third = {2, 8, 0x77};
    claim();
    run(&third);
    ck_assert_int_eq(in_next(), ADOPT_TELL);
    adopt_in_ack(&in, &third, S_OK);
    adopt_in_drained(&in, 2);
    ck_assert_int_eq(in_next(), ADOPT_RELEASE);
    adopt_in_peer_down(&in, 2);
    ck_assert_int_eq(in_next(), ADOPT_WAIT);
    ck_assert(adopt_in_settled(&in));
}
END_TEST

// Simulator, over soft RoCE, seed 1242: A gave to B, B to C, and a cut lay between A and C
// alone. C could not tell A that it had the process, so A kept its image for B for ever.
START_TEST(test_lender_out_of_reach) {
    struct image_id third = {2, 8, 0x77};
    claim();
    run(&third);
    ck_assert_int_eq(in_next(), ADOPT_TELL);
    adopt_in_peer_down(&in, 2);                         // before its ack
    ck_assert_int_eq(in_next(), ADOPT_KILL);
    adopt_in_finish(&in);
    ck_assert_int_eq(in_next(), ADOPT_TELL);
    ck_assert_uint_eq(in.send_image.node, 0);
    ck_assert_int_eq(in.send_status, E_HOSTUNREACH);
    ck_assert_int_eq(in_next(), ADOPT_WAIT);            // no RELEASE before it knows
    ck_assert(!adopt_out_unreached(&out, 7));           // another giving's epoch
    ck_assert(adopt_out_unreached(&out, in.send_image.epoch));
    ck_assert(out.rest_is_ours && out.holder == 1);
    adopt_in_ack(&in, &in.lender[0].image, S_OK);
    ck_assert_int_eq(in_next(), ADOPT_RELEASE);
    adopt_in_peer_down(&in, 2);
    ck_assert_int_eq(in_next(), ADOPT_WAIT);
    adopt_in_release_ack(&in, &in.lender[0].image);
    ck_assert_int_eq(in_next(), ADOPT_ENDED);
}
END_TEST

// A to B to C: the holder changes; B may release for C once C is gone.
START_TEST(test_holder_moves) {
    claim();
    run(NULL);
    ck_assert(adopt_out_holder(&out, 2, 1));
    ck_assert(!adopt_out_release(&out, 1, 1, 7));
    ck_assert(adopt_out_release(&out, 1, 1, 3));
    ck_assert_int_eq(out_next(), ADOPT_FREE);
    ck_assert(!adopt_out_holder(&out, 2, 1));
}
END_TEST

// Atomics that are not the CPU's: messages overtake the answer to our own CAS.
START_TEST(test_release_while_taking_back) {
    ck_assert_int_eq(out_next(), ADOPT_OFFER);
    adopt_out_cancel(&out, E_INTR);
    ck_assert_int_eq(adopt_out_next(&out), ADOPT_POST);
    word = owner_word(OWNER_RUNNING, 1, 1);             // the taker was faster
    adopt_out_look(&out, word);
    ck_assert(adopt_out_release(&out, 1, 1, 7));
    card(&out.chain);
    adopt_out_posted(&out);
    ck_assert_int_eq(out_next(), ADOPT_GIVEN);
    ck_assert_int_eq(out_next(), ADOPT_FREE);
}
END_TEST

int main(void) {
    Suite *s = suite_create("adopt");
    TCase *t = tcase_create("hand-over");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, test_whole_way);
    tcase_add_test(t, test_lenders_first);
    tcase_add_test(t, test_drained_while_away);
    tcase_add_test(t, test_release_on_its_way);
    tcase_add_test(t, test_release_to_the_dead);
    tcase_add_test(t, test_cancel);
    tcase_add_test(t, test_cancel_too_late);
    tcase_add_test(t, test_refused);
    tcase_add_test(t, test_taker_dies_adopting);
    tcase_add_test(t, test_taker_of_queue_dies_adopting);
    tcase_add_test(t, test_taker_dies_running);
    tcase_add_test(t, test_giver_dies);
    tcase_add_test(t, test_lender_dies);
    tcase_add_test(t, test_drained_lender_dies);
    tcase_add_test(t, test_drained_lender_dies_that_knew_us);
    tcase_add_test(t, test_lender_out_of_reach);
    tcase_add_test(t, test_holder_moves);
    tcase_add_test(t, test_release_while_taking_back);
    suite_add_tcase(s, t);
    return suite_run(s);
}
