// The cluster's clock: who adopts whose, rate and offset against a reference whose clock runs
// at another speed, answers late and in any order, and that a node's own line never goes back.
// links: proto/cluster/clock.c
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/units.h"
#include "proto/cluster/clock.h"
#include "tests/unit/suite_run.h"

#define NODES 3
#define YEAR_NS (365ull * 86400 * NS_PER_S)

// A world: true time, and each node's own clock over it.
static u64 true_ns;
static struct node {
    struct cluster_clock c;
    u64 born_ns;                     // true time of its boot
    i64 ppm;                         // its oscillator
    u64 shown_steps;                 // sum of the steps that its host hides
    u64 seen_ns;                     // the last it showed, steps taken out
} node[NODES];
static u64 up, seed;

static u64 draw(u64 below) {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (seed >> 33) % below;
}

static u64 local(const struct node *n) {
    const u64 age = true_ns - n->born_ns;
    return age + (u64)((i64)(age / 1000000) * n->ppm);
}

static u64 shows(const struct node *n) { return clock_at(&n->c.line, local(n)); }

// What a process of n sees: never back.
static void look(struct node *n) {
    const u64 now = shows(n) - n->shown_steps;
    ck_assert_uint_ge(now, n->seen_ns);
    n->seen_ns = now;
}

static void boot(u32 i, u64 wall_ns, i64 ppm) {
    node[i] = (struct node){.born_ns = true_ns, .ppm = ppm};
    clock_begin(&node[i].c, (u8)i, 1000 + draw(1000000), wall_ns, 0);
}

static void pass(u64 ns) {
    true_ns += ns;
    for (u32 i = 0; i < NODES; i++)
        if (up & BIT(i)) look(&node[i]);
}

// One question and its answer, `rtt` in all; then, where there is one more, that.
static void burst(struct node *n, u64 rtt_max) {
    for (bool more = true; more;) {
        const u64 there = draw(rtt_max), back = draw(rtt_max);
        struct node *peer = &node[n->c.peer];
        struct clock_step step;
        pass(there);
        clock_asked(&peer->c, n->c.self, n->c.id, local(peer));
        const struct clock_answer a = {n->c.asked_ns, peer->c.id, shows(peer), peer->c.wall_ns,
                                       clock_error_ns(&peer->c, local(peer))};
        pass(back);
        more = clock_answered(&n->c, peer->c.self, &a, up, local(n), &step);
        if (step.stepped) n->shown_steps += (u64)step.cluster_ns;
        look(n);
    }
}

// A tick of n: it does something exactly from the time on that was told.
static bool tick(struct node *n) {
    const struct cluster_clock was = n->c;
    const u64 due = clock_next_ns(&n->c, up);
    const bool asks = clock_tick(&n->c, up, local(n));
    const bool same = !asks && memcmp(&was.line, &n->c.line, sizeof was.line) == 0 &&
                      was.left == n->c.left && was.slew_until_ns == n->c.slew_until_ns &&
                      was.anchor_local_ns == n->c.anchor_local_ns;
    ck_assert_int_eq(same, local(n) < due);
    return asks;
}

static void run(u64 ns, u64 rtt_max) {
    for (const u64 end = true_ns + ns; true_ns < end; pass(100 * NS_PER_MS))
        for (u32 i = 0; i < NODES; i++)
            if ((up & BIT(i)) && tick(&node[i])) burst(&node[i], rtt_max);
}

static void join(u32 i) {
    for (u32 k = 0; k < NODES; k++) {
        if (!(up & BIT(k))) continue;
        clock_member_up(&node[k].c, (u8)i, local(&node[k]));
        clock_member_up(&node[i].c, (u8)k, local(&node[i]));
    }
    up |= BIT(i);
}

static u64 apart(u32 a, u32 b) {
    const u64 x = shows(&node[a]), y = shows(&node[b]);
    return x > y ? x - y : y - x;
}

static void setup(void) {
    memset(node, 0, sizeof node);
    true_ns = 77 * NS_PER_S;
    up = 0;
    seed = 5;
}

// The first to boot gives the clock, whatever its id, its RTC, or its speed.
START_TEST(the_oldest_clock_holds) {
    for (u64 s = 0; s < 200; s++) {
        setup();
        seed = s;
        boot(1, YEAR_NS * 31, 0);
        up = BIT(1);
        true_ns += NS_PER_S + draw(1000 * NS_PER_S);
        const u64 id = node[1].c.id;
        boot(0, YEAR_NS * 56, (i64)draw(20000) - 10000);
        boot(2, YEAR_NS * 2, (i64)draw(20000) - 10000);
        join(0);
        run(2 * NS_PER_S, 3 * NS_PER_MS);
        join(2);
        run(2 * NS_PER_S, 3 * NS_PER_MS);
        for (u32 i = 0; i < NODES; i++) {
            ck_assert_uint_eq(node[i].c.id, id);
            ck_assert_uint_eq(node[i].c.wall_ns, YEAR_NS * 31);
        }
        ck_assert_uint_lt(apart(0, 1) + apart(0, 2), 200 * NS_PER_MS);
    }
}
END_TEST

// Two that boot at once end with one clock too.
START_TEST(a_tie_is_settled) {
    for (u64 s = 0; s < 200; s++) {
        setup();
        seed = s;
        boot(0, YEAR_NS, 0);
        true_ns += draw(1000);
        boot(1, YEAR_NS * 3, 50);
        up = BIT(0);
        join(1);
        run(10 * NS_PER_S, 2 * NS_PER_MS);
        ck_assert_uint_eq(node[0].c.id, node[1].c.id);
        ck_assert_uint_eq(node[0].c.wall_ns, node[1].c.wall_ns);
        ck_assert_uint_lt(apart(0, 1), 20 * NS_PER_MS);
    }
}
END_TEST

// The bound that a node names is true, and small once it knows the rate.
START_TEST(rate_is_learnt_and_the_error_bound_holds) {
    for (u64 s = 0; s < 50; s++) {
        setup();
        seed = s;
        boot(0, YEAR_NS, (i64)draw(10000) - 5000);
        up = BIT(0);
        true_ns += NS_PER_S;
        boot(1, YEAR_NS * 3, (i64)draw(10000) - 5000);
        join(1);
        for (u32 k = 0; k < 60; k++) {
            run(NS_PER_S, NS_PER_MS);
            ck_assert_uint_le(apart(0, 1), clock_error_ns(&node[1].c, local(&node[1])) +
                                           clock_error_ns(&node[0].c, local(&node[0])) + 1000);
        }
        ck_assert_uint_lt(node[1].c.drift_ppm, 500);
        ck_assert_uint_lt(apart(0, 1), 3 * NS_PER_MS);
        ck_assert_uint_eq(node[1].c.steps, 0);
        const u64 span = clock_local_span(&node[1].c.line, NS_PER_S);
        const u64 then = clock_at(&node[1].c.line, node[1].c.line.local_ns + span);
        ck_assert_uint_ge(then - node[1].c.line.cluster_ns, NS_PER_S);
        ck_assert_uint_le(then - node[1].c.line.cluster_ns, NS_PER_S + 2);
    }
}
END_TEST

// What is known well is not thrown away for a worse answer.
START_TEST(a_slow_link_moves_nothing) {
    for (u64 s = 0; s < 50; s++) {
        setup();
        seed = s;
        boot(0, YEAR_NS, 2000);
        up = BIT(0);
        true_ns += NS_PER_S;
        boot(1, 0, -2000);
        join(1);
        run(20 * NS_PER_S, NS_PER_MS);
        const u64 hidden = node[1].shown_steps;
        for (u32 k = 0; k < 60; k++) {
            run(NS_PER_S, 800 * NS_PER_MS);
            ck_assert_uint_lt(apart(0, 1), 60 * NS_PER_MS);
            ck_assert_uint_le(apart(0, 1), clock_error_ns(&node[1].c, local(&node[1])));
        }
        ck_assert_uint_eq(node[1].shown_steps, hidden);
    }
}
END_TEST

// A bad beginning is mended by the first good answer.
START_TEST(a_slow_join_is_mended) {
    for (u64 s = 0; s < 50; s++) {
        setup();
        seed = s;
        boot(0, YEAR_NS, 9000);
        up = BIT(0);
        true_ns += 3 * NS_PER_S;
        boot(1, 0, -9000);
        join(1);
        run(3 * NS_PER_S, 900 * NS_PER_MS);
        for (u32 k = 0; k < 60; k++) {
            run(NS_PER_S, NS_PER_MS);
            ck_assert_uint_le(apart(0, 1), clock_error_ns(&node[1].c, local(&node[1])));
        }
        ck_assert_uint_eq(node[0].c.id, node[1].c.id);
        ck_assert_uint_lt(apart(0, 1), 3 * NS_PER_MS);
    }
}
END_TEST

// The keeper leaves: the next goes on from where it is. It comes back as new: it adopts.
START_TEST(who_keeps_it_may_die) {
    setup();
    boot(0, YEAR_NS, 300);
    up = BIT(0);
    true_ns += NS_PER_S;
    boot(1, 0, -300);
    boot(2, 0, 4000);
    join(1);
    join(2);
    run(30 * NS_PER_S, NS_PER_MS);
    const u64 id = node[0].c.id;
    up &= ~BIT(0);
    clock_member_down(&node[1].c, 0);
    clock_member_down(&node[2].c, 0);
    run(30 * NS_PER_S, NS_PER_MS);
    ck_assert_uint_eq(clock_error_ns(&node[1].c, local(&node[1])), 0);
    ck_assert_uint_lt(apart(1, 2), 10 * NS_PER_MS);
    boot(0, YEAR_NS * 9, 300);
    join(0);
    run(30 * NS_PER_S, NS_PER_MS);
    for (u32 i = 0; i < NODES; i++) ck_assert_uint_eq(node[i].c.id, id);
    ck_assert_uint_lt(apart(0, 1) + apart(0, 2), 20 * NS_PER_MS);
}
END_TEST

// After a cut two halves of one clock may be far apart: a step, which processes do not see.
START_TEST(far_off_is_a_step) {
    setup();
    boot(0, YEAR_NS, 0);
    up = BIT(0);
    true_ns += NS_PER_S;
    boot(1, 0, 0);
    join(1);
    run(5 * NS_PER_S, NS_PER_MS);
    up = 0;
    node[1].c.line.cluster_ns += NS_PER_S;
    node[1].shown_steps += NS_PER_S;
    up = BIT(0);
    join(1);
    run(3 * NS_PER_S, NS_PER_MS);
    ck_assert_uint_eq(node[1].c.steps, 1);
    ck_assert_uint_lt(apart(0, 1), 5 * NS_PER_MS);
}
END_TEST

// The least that is shown moves with the line, and is none where the line goes back by more:
// once it became 2^64 less a second, and every sleep begun then ended at once.
START_TEST(a_step_back_leaves_no_floor) {
    struct clock_step step = {true, -(i64)NS_PER_S, 0};
    ck_assert_uint_eq(clock_floor_stepped(0, &step), 0);
    ck_assert_uint_eq(clock_floor_stepped(NS_PER_S - 1, &step), 0);
    ck_assert_uint_eq(clock_floor_stepped(3 * NS_PER_S, &step), 2 * NS_PER_S);
    step.cluster_ns = 5;
    ck_assert_uint_eq(clock_floor_stepped(3 * NS_PER_S, &step), 3 * NS_PER_S + 5);
}
END_TEST

// Answers to other questions, of other nodes, absurd ones: no harm.
START_TEST(strange_answers) {
    setup();
    boot(0, YEAR_NS, 0);
    boot(1, YEAR_NS, 0);
    up = BIT(0);
    join(1);
    struct clock_step step;
    struct node *n = &node[1];
    struct clock_answer a = {.asked_ns = 1, .id = 7, .cluster_ns = ~0ull};
    ck_assert(!clock_answered(&n->c, 0, &a, up, local(n), &step) && !step.stepped);
    pass(NS_PER_S);
    ck_assert(clock_tick(&n->c, up, local(n)));
    a.asked_ns = n->c.asked_ns + 1;
    ck_assert(!clock_answered(&n->c, 0, &a, up, local(n), &step) && !step.stepped);
    a.asked_ns = n->c.asked_ns;
    ck_assert(!clock_answered(&n->c, 2, &a, up, local(n), &step) && !step.stepped);
    ck_assert(!clock_tick(&n->c, up, local(n)));             // one burst at a time
    pass(2 * NS_PER_S);
    ck_assert(clock_tick(&n->c, up, local(n)));              // nobody answered: again
    for (u64 s = 0; s < 20000; s++) {                        // any bytes
        a = (struct clock_answer){n->c.asked_ns, draw(2) ? n->c.id : draw(9),
                                  draw(1ull << 31) << draw(34), draw(1ull << 31),
                                  draw(1ull << 31) << draw(34)};
        (void)clock_answered(&n->c, n->c.peer, &a, up, local(n), &step);
        if (step.stepped) n->shown_steps += (u64)step.cluster_ns;
        pass(draw(NS_PER_S));
        (void)clock_tick(&n->c, up, local(n));
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("clock");
    TCase *t = tcase_create("clock");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, the_oldest_clock_holds);
    tcase_add_test(t, a_tie_is_settled);
    tcase_add_test(t, rate_is_learnt_and_the_error_bound_holds);
    tcase_add_test(t, a_slow_link_moves_nothing);
    tcase_add_test(t, a_slow_join_is_mended);
    tcase_add_test(t, who_keeps_it_may_die);
    tcase_add_test(t, far_off_is_a_step);
    tcase_add_test(t, a_step_back_leaves_no_floor);
    tcase_add_test(t, strange_answers);
    suite_add_tcase(s, t);
    return suite_run(s);
}
