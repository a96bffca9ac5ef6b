// links: proto/cluster/where.c
// Where a process is: each window of a move as the giver, the taker, the birth node and a
// third node see it.
#include <check.h>

#include "proto/cluster/where.h"
#include "tests/unit/suite_run.h"

enum { BIRTH, TAKER, THIRD };

static struct where_seen seen;

static void at(u8 self) {
    seen = (struct where_seen){.self = self, .birth = BIRTH, .hint = WHERE_NONE};
}

static void want(enum where_kind kind, u8 node) {
    struct where_found found = where_decide(&seen);
    ck_assert_int_eq(found.kind, kind);
    ck_assert_uint_eq(found.node, node);
}

START_TEST(test_never_moved) {
    at(BIRTH);
    seen.lives = true;
    want(WHERE_HERE, BIRTH);
    at(BIRTH);                                   // ended, or never was
    want(WHERE_GONE, WHERE_NONE);
    at(THIRD);
    want(WHERE_GUESS, BIRTH);
    seen.birth = WHERE_NONE;                     // a pid that names no node
    want(WHERE_GONE, WHERE_NONE);
}
END_TEST

// The giver, from the freeze to the hint: never gone, never elsewhere while it has the image.
START_TEST(test_giver) {
    at(BIRTH);
    seen.frozen = true;
    seen.word = owner_word(OWNER_RUNNING, BIRTH, 5);      // frozen, not yet given
    want(WHERE_TRANSIT, BIRTH);
    seen.word = owner_word(OWNER_QUEUED, BIRTH, 6);
    want(WHERE_TRANSIT, BIRTH);
    seen.word = owner_word(OWNER_ADOPTING, TAKER, 7);
    want(WHERE_TRANSIT, TAKER);
    seen.word = owner_word(OWNER_RUNNING, TAKER, 8);      // won; the host does not know yet
    want(WHERE_TRANSIT, TAKER);
    seen.hint = BIRTH;                                    // of an earlier coming back
    want(WHERE_TRANSIT, TAKER);
    seen.frozen = false;                                  // the image is lent
    seen.hint = TAKER;
    want(WHERE_THERE, TAKER);
}
END_TEST

// The taker, from the claim to the first instruction; then it leaves, or ends.
START_TEST(test_taker) {
    at(TAKER);
    seen.arriving = true;
    want(WHERE_TRANSIT, TAKER);
    seen.hint = BIRTH;                                    // it was here before
    want(WHERE_TRANSIT, TAKER);
    seen.arriving = false;
    seen.lives = true;
    seen.hint = TAKER;
    want(WHERE_HERE, TAKER);
    seen.frozen = true;                                   // and an older image of it is here
    want(WHERE_HERE, TAKER);
    seen.frozen = seen.lives = false;                     // ended here
    want(WHERE_GONE, WHERE_NONE);
    seen.hint = THIRD;                                    // went on
    want(WHERE_THERE, THIRD);
}
END_TEST

// LOCATION of the first stay comes after that of the second: the third node keeps the second.
START_TEST(test_hints_grow) {
    const u64 round = 1ull << STAY_ROUND_SHIFT;
    ck_assert(where_newer(2, 1));
    ck_assert(where_newer(2, 2));
    ck_assert(!where_newer(1, 2));
    ck_assert(where_newer(round + 1, 70000));             // the pid's next process
}
END_TEST

int main(void) {
    Suite *s = suite_create("where");
    TCase *t = tcase_create("where");
    tcase_add_test(t, test_never_moved);
    tcase_add_test(t, test_giver);
    tcase_add_test(t, test_taker);
    tcase_add_test(t, test_hints_grow);
    suite_add_tcase(s, t);
    return suite_run(s);
}
