// The heartbeat as its readers see it, the bound, and which side of a cut joins as new.
// links: proto/cluster/pulse.c proto/cluster/member.c
#include <check.h>
#include <stdlib.h>

#include "proto/cluster/member.h"
#include "proto/cluster/pulse.h"
#include "tests/unit/suite_run.h"

#define FLOOR (3 * NS_PER_S)

START_TEST(bound_is_of_the_round_trip_with_a_floor) {
    struct pulse p = {.rtt_ns = 1000};
    ck_assert_uint_eq(pulse_bound_ns(&p, 1000, FLOOR), FLOOR);
    p.rtt_ns = 10 * NS_PER_MS;
    ck_assert_uint_eq(pulse_bound_ns(&p, 1000, FLOOR), 10 * NS_PER_S);
    p.rtt_ns = 10 * NS_PER_S;
    ck_assert_uint_eq(pulse_bound_ns(&p, 1000, FLOOR), PULSE_BOUND_MAX_NS);
}
END_TEST

// A pair that gets no answer breaks before the floor is over, and not much before half of it.
START_TEST(pairs_break_within_the_floor) {
    for (u64 s = 1; s <= 30; s++) {
        const u64 silent_ns = 8 * (4096ull << pulse_timeout_code(s * NS_PER_S));
        ck_assert_uint_le(silent_ns, s * NS_PER_S);
        ck_assert_uint_gt(2 * silent_ns, s * NS_PER_S);
    }
    ck_assert_uint_eq(pulse_timeout_code(FLOOR), 16);
}
END_TEST

// Answers come, the word moves: alive for ever, three questions a bound at least.
START_TEST(a_peer_that_moves_lives) {
    struct pulse p;
    u64 now = 5, asked = 0;
    pulse_begin(&p, now);
    for (u64 i = 0; i < 1000; i++, now += 100 * NS_PER_MS) {
        ck_assert_int_eq(pulse_verdict(&p, now, FLOOR, now), PULSE_ALIVE);
        if (!pulse_due(&p, now)) continue;
        pulse_asked(&p, FLOOR, now);
        ck_assert(!pulse_due(&p, now + 100 * NS_PER_S));
        pulse_answered(&p, i, now + NS_PER_MS);
        asked++;
    }
    ck_assert_uint_ge(asked, 95);
    ck_assert_uint_eq(p.rtt_ns, NS_PER_MS);
}
END_TEST

START_TEST(silence_counts_from_the_question) {
    struct pulse p;
    pulse_begin(&p, 0);
    pulse_asked(&p, FLOOR, 100);
    pulse_answered(&p, 1, 200);
    const u64 later = 50 * NS_PER_S;     // nobody asked meanwhile: a busy poll, say
    pulse_asked(&p, FLOOR, later);
    ck_assert_int_eq(pulse_verdict(&p, 200, FLOOR, later + FLOOR), PULSE_ALIVE);
    ck_assert_int_eq(pulse_verdict(&p, 200, FLOOR, later + FLOOR + 1), PULSE_SILENT);
    ck_assert_int_eq(pulse_verdict(&p, later + 9, FLOOR, later + FLOOR + 1), PULSE_ALIVE);
}
END_TEST

START_TEST(a_word_that_stands_still_is_a_death) {
    struct pulse p;
    u64 now = 0;
    pulse_begin(&p, now);
    enum pulse_verdict v = PULSE_ALIVE;
    for (; v == PULSE_ALIVE && now < 100 * NS_PER_S; now += 100 * NS_PER_MS) {
        if (pulse_due(&p, now)) {
            pulse_asked(&p, FLOOR, now);
            pulse_answered(&p, 7, now);
        }
        v = pulse_verdict(&p, now, FLOOR, now);
    }
    ck_assert_int_eq(v, PULSE_STUCK);
    ck_assert_uint_le(now, FLOOR + 2 * PULSE_PERIOD_MAX_NS);
    pulse_asked(&p, FLOOR, now);
    pulse_answered(&p, 8 | PULSE_DEAD, now);
    ck_assert_int_eq(pulse_verdict(&p, now, FLOOR, now), PULSE_PANICKED);
}
END_TEST

// Whatever both sides see, exactly one of them joins as new, and not the larger.
START_TEST(one_side_of_a_cut_is_the_smaller) {
    for (u32 i = 0; i < 1000; i++) {
        struct member_side a = {.id = (u8)(i % 7), .members = (u8)(1 + i % 3),
                                .lowest = (u8)(i % 2)};
        struct member_side b = {.id = (u8)((i % 7) + 1 + i % 5), .members = (u8)(1 + i % 4),
                                .lowest = (u8)(i % 5)};
        ck_assert(member_is_smaller(&a, &b) != member_is_smaller(&b, &a));
        if (a.members > b.members) ck_assert(member_is_smaller(&b, &a));
        if (a.members == b.members && a.lowest < b.lowest) ck_assert(member_is_smaller(&b, &a));
    }
    struct member_side a = {.incarnation = 11}, b = {.incarnation = 22};
    ck_assert(!member_healed(&a, &b));
    b.fenced = 11;                       // b has fenced a, which did not notice
    ck_assert(member_healed(&a, &b) && member_healed(&b, &a));
    a.incarnation = 12;
    ck_assert(!member_healed(&a, &b));
}
END_TEST

int main(void) {
    Suite *s = suite_create("pulse");
    TCase *t = tcase_create("pulse");
    tcase_add_test(t, bound_is_of_the_round_trip_with_a_floor);
    tcase_add_test(t, pairs_break_within_the_floor);
    tcase_add_test(t, a_peer_that_moves_lives);
    tcase_add_test(t, silence_counts_from_the_question);
    tcase_add_test(t, a_word_that_stands_still_is_a_death);
    tcase_add_test(t, one_side_of_a_cut_is_the_smaller);
    suite_add_tcase(s, t);
    return suite_run(s);
}
