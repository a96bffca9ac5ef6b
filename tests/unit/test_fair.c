// links: sched/fair.c
// Fair sharing of a CPU, in simulated time: shares by weight, no starvation, sleepers that do
// not dominate, yields, steals, and the heap against a search of all.
#include <check.h>
#include <stdlib.h>

#include "sched/fair.h"
#include "tests/unit/suite_run.h"

#define COUNT_MAX 2000u

static struct fair_entity *room[2][COUNT_MAX];
static struct fair_entity e[COUNT_MAX];
static u64 ran_ns[COUNT_MAX];
static struct fair_queue q, other;
static u64 state;

static u32 below(u32 n) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (u32)((state >> 33) % n);
}

static void setup(void) {
    fair_init(&q, room[0], COUNT_MAX);
    fair_init(&other, room[1], COUNT_MAX);
    for (u32 i = 0; i < COUNT_MAX; i++) {
        e[i] = (struct fair_entity){.weight = FAIR_WEIGHT_0};
        ran_ns[i] = 0;
    }
    state = 1;
}

static u32 index_of(const struct fair_entity *x) { return (u32)(x - e); }

// One stay on the CPU: the next one runs for so long. Which it was; it is not put back.
static u32 run_next(u64 ns) {
    struct fair_entity *x = fair_take(&q);
    ck_assert_ptr_nonnull(x);
    fair_charge(&q, x, ns);
    ran_ns[index_of(x)] += ns;
    return index_of(x);
}

START_TEST(test_weights_fall_by_a_quarter) {
    ck_assert_uint_eq(fair_weight(0), FAIR_WEIGHT_0);
    for (i32 n = FAIR_NICE_MIN; n < FAIR_NICE_MAX; n++) {
        const double ratio = (double)fair_weight(n) / fair_weight(n + 1);
        ck_assert(ratio > 1.18 && ratio < 1.32);
    }
    ck_assert_uint_eq(fair_weight(-100), fair_weight(FAIR_NICE_MIN));
    ck_assert_uint_eq(fair_weight(100), fair_weight(FAIR_NICE_MAX));
    ck_assert_uint_gt(fair_weight(FAIR_NICE_MAX), FAIR_WEIGHT_IDLE);
}
END_TEST

// Each that is always ready gets its weight's share, but for a slice or two.
START_TEST(test_shares_follow_weights) {
    static const i32 nice[] = {0, 0, 5, -5, 10, 19};
    u64 weights = 0, all_ns = 0;
    for (u32 i = 0; i < 6; i++) {
        e[i].weight = fair_weight(nice[i]);
        weights += e[i].weight;
        fair_put(&q, &e[i]);
    }
    for (u32 turn = 0; turn < 20000; turn++) {
        const u64 ns = FAIR_SLICE_NS / 2 + below(FAIR_SLICE_NS / 2);
        all_ns += ns;
        fair_put(&q, &e[run_next(ns)]);
    }
    for (u32 i = 0; i < 6; i++) {
        const i64 due_ns = (i64)(all_ns / weights * e[i].weight);
        ck_assert_int_lt(llabs((i64)ran_ns[i] - due_ns), 2 * (i64)FAIR_SLICE_NS);
    }
}
END_TEST

// The lightest one among many of the heaviest runs in its turn: nobody waits for ever.
START_TEST(test_no_starvation) {
    e[0].weight = FAIR_WEIGHT_IDLE;
    for (u32 i = 0; i < 5; i++) {
        if (i) e[i].weight = fair_weight(0);
        fair_put(&q, &e[i]);
    }
    u64 waited_ns = 0, longest_ns = 0;
    for (u32 turn = 0; turn < 50000; turn++) {
        const u32 i = run_next(FAIR_SLICE_NS);
        fair_put(&q, &e[i]);
        waited_ns = i == 0 ? 0 : waited_ns + FAIR_SLICE_NS;
        longest_ns = waited_ns > longest_ns ? waited_ns : longest_ns;
    }
    ck_assert_uint_gt(ran_ns[0], 0);
    // One slice of its own lets the four run for a slice times the ratio of the weights.
    ck_assert_uint_le(longest_ns, FAIR_SLICE_NS * (4 * FAIR_WEIGHT_0 / FAIR_WEIGHT_IDLE + 8));
}
END_TEST

// One that slept a long time does not catch up on what it has not used.
START_TEST(test_sleeper_catches_up_to_a_bound) {
    fair_put(&q, &e[0]);
    fair_put(&q, &e[1]);
    ck_assert_uint_eq(run_next(FAIR_SLICE_NS), 0);        // then it sleeps
    for (u32 turn = 0; turn < 1000; turn++) {
        ck_assert_uint_eq(run_next(FAIR_SLICE_NS), 1);
        fair_put(&q, &e[1]);
    }
    const u64 before_ns = ran_ns[0];
    fair_put(&q, &e[0]);
    for (u32 turn = 0; turn < 100; turn++) fair_put(&q, &e[run_next(FAIR_SLICE_NS)]);
    ck_assert_uint_le(ran_ns[0] - before_ns,
                      50 * FAIR_SLICE_NS + FAIR_CATCH_UP_NS + FAIR_SLICE_NS);
    ck_assert_uint_ge(ran_ns[0] - before_ns, 49 * FAIR_SLICE_NS);
}
END_TEST

// Who wakes a thousand times goes before who computes, and gets no more than its share.
START_TEST(test_woken_one_goes_first_but_does_not_dominate) {
    fair_put(&q, &e[0]);
    u64 preempted = 0;
    for (u32 turn = 0; turn < 1000; turn++) {
        struct fair_entity *hog = fair_take(&q);
        ck_assert_ptr_eq(hog, &e[0]);
        fair_put(&q, &e[1]);                     // wakes 5 ms later
        const bool first = fair_preempts(&e[1], hog, 5 * NS_PER_MS);
        preempted += first;
        const u64 ns = first ? 5 * NS_PER_MS : FAIR_SLICE_NS;
        fair_charge(&q, hog, ns);
        ran_ns[0] += ns;
        fair_put(&q, hog);
        // It uses 4 ms each time it wakes, as much as it can without waiting long.
        while (e[1].place) {
            const u32 i = run_next(4 * NS_PER_MS);
            if (i == 0) fair_put(&q, &e[0]);
        }
    }
    ck_assert_uint_gt(preempted, 300);
    ck_assert_uint_le(ran_ns[1], ran_ns[0] + 2 * FAIR_CATCH_UP_NS);
}
END_TEST

START_TEST(test_yield_lets_the_next_one_go_first) {
    fair_put(&q, &e[0]);
    fair_put(&q, &e[1]);
    ck_assert_uint_eq(run_next(1), 0);
    ck_assert_uint_eq(run_next(FAIR_SLICE_NS), 1);
    fair_put(&q, &e[1]);
    fair_put(&q, &e[0]);
    ck_assert_uint_eq(run_next(1), 0);
    e[0].yields = true;
    fair_put(&q, &e[0]);
    ck_assert_uint_eq(run_next(1), 1);
    ck_assert(!e[0].yields);
}
END_TEST

// What moves to another CPU's queue is as far ahead of the others there as it was here.
START_TEST(test_steal_keeps_the_lag) {
    for (u32 i = 0; i < 3; i++) fair_put(&q, &e[i]);
    fair_put(&other, &e[3]);
    for (u32 turn = 0; turn < 300; turn++) fair_put(&q, &e[run_next(FAIR_SLICE_NS)]);
    const u64 lag_ns = room[0][0]->virtual_ns - q.floor_ns;
    struct fair_entity *stolen = fair_steal(&other, &q);
    ck_assert_ptr_nonnull(stolen);
    ck_assert_ptr_eq(stolen->home, &other);
    ck_assert_uint_eq(q.count, 2);
    ck_assert_uint_le(stolen->virtual_ns, other.floor_ns + lag_ns);
    fair_charge(&other, stolen, FAIR_SLICE_NS);
    fair_put(&other, stolen);
    ck_assert_ptr_eq(fair_take(&other), &e[3]);
    ck_assert_ptr_null(fair_steal(&q, &(struct fair_queue){0}));
}
END_TEST

// Puts, takes and removes at random: what is taken is always the least of all that are there.
// Two that hand each other what is left of a turn, again and again, beside one that only runs: each
// has a third, as if every switch had gone by the queue.
START_TEST(test_turns_handed_over_are_charged) {
    const u64 piece_ns = FAIR_SLICE_NS / 50;
    u64 all_ns = 0;
    u32 waits = 1;                               // of 0 and 1, the one in no queue
    fair_put(&q, &e[0]);
    fair_put(&q, &e[2]);
    while (all_ns < 300 * FAIR_SLICE_NS) {
        struct fair_entity *x = fair_take(&q);
        for (u64 left = FAIR_SLICE_NS; left != 0; left -= piece_ns, all_ns += piece_ns) {
            fair_charge(&q, x, piece_ns);
            ran_ns[index_of(x)] += piece_ns;
            if (x == &e[2]) continue;
            struct fair_entity *next = &e[waits];
            waits = index_of(x);
            if (next->home != &q) fair_join(&q, next, FAIR_WEIGHT_0);
            x = next;
        }
        fair_put(&q, x);
    }
    for (u32 i = 0; i < 3; i++) {
        ck_assert_uint_gt(ran_ns[i], 97 * FAIR_SLICE_NS);
        ck_assert_uint_lt(ran_ns[i], 103 * FAIR_SLICE_NS);
    }
}
END_TEST

START_TEST(test_heap_gives_the_least) {
    u64 floor_ns = 0;
    for (u32 step = 0; step < 40000; step++) {
        struct fair_entity *x = &e[below(COUNT_MAX)];
        if (!x->place) {
            x->weight = fair_weight((i32)below(40) - 20);
            fair_charge(&q, x, x->home ? below(FAIR_SLICE_NS) : 0);
            fair_put(&q, x);
        } else if (below(3) == 0) {
            fair_remove(&q, x);
            ck_assert_uint_eq(x->place, 0);
        } else if (step % 64 == 0) {
            u64 least = ~0ull;
            for (u32 i = 0; i < COUNT_MAX; i++)
                if (e[i].place && e[i].virtual_ns < least) least = e[i].virtual_ns;
            ck_assert_uint_eq(fair_take(&q)->virtual_ns, least);
        }
        ck_assert_uint_ge(q.floor_ns, floor_ns);
        floor_ns = q.floor_ns;
    }
    u64 last = 0;
    for (struct fair_entity *x = fair_take(&q); x; x = fair_take(&q)) {
        ck_assert_uint_ge(x->virtual_ns, last);
        last = x->virtual_ns;
    }
    ck_assert_uint_eq(q.count, 0);
}
END_TEST

int main(void) {
    Suite *s = suite_create("fair");
    TCase *t = tcase_create("fair");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, test_weights_fall_by_a_quarter);
    tcase_add_test(t, test_shares_follow_weights);
    tcase_add_test(t, test_no_starvation);
    tcase_add_test(t, test_sleeper_catches_up_to_a_bound);
    tcase_add_test(t, test_woken_one_goes_first_but_does_not_dominate);
    tcase_add_test(t, test_yield_lets_the_next_one_go_first);
    tcase_add_test(t, test_steal_keeps_the_lag);
    tcase_add_test(t, test_turns_handed_over_are_charged);
    tcase_add_test(t, test_heap_gives_the_least);
    suite_add_tcase(s, t);
    return suite_run(s);
}
