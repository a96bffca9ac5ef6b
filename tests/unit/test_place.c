// links: sched/place.c sched/place_exec.c sched/place_why.c
// Placement by example: the rule, cap, ties, advice, loads, more nodes than places, prices
// that change, refusals, profiles, exec, the capacity word, the text of `why`.
#include <check.h>
#include <string.h>

#include "sched/place.h"
#include "tests/unit/suite_run.h"

#define D 64
#define ALL 0xfull

static void fill(void *ctx, void *to, size_t len) {
    u64 *x = ctx;
    for (size_t i = 0; i < len; i++)
        ((u8 *)to)[i] = (u8)((*x = *x * 6364136223846793005ull + 1442695040888963407ull) >> 56);
}
static u64 rng_state;
static const struct rng rng = {fill, &rng_state};

static struct place p;
static struct place_world world;
static struct place_why why;
static u64 ties;

static void setup(void) {
    rng_state = 1;
    place_init(&p, 0, D);
    world = (struct place_world){.now_ns = 1000, .members = ALL, .backoff_ns = 100, .rng = &rng};
}

static enum place_verdict decide(void) { return place_decide(&p, &world, &ties, &why); }

static void use(u8 node, u32 times) {
    for (u32 i = 0; i < times; i++) place_access(&p, world.members, node, 1);
}

// D uses more than at home pay for a move from a fresh start, 2D from where it belongs.
START_TEST(test_pays_for_the_move) {
    use(2, 2 * D - 1);
    ck_assert_int_eq(decide(), PLACE_STAY);
    ck_assert_uint_eq(why.reason, PLACE_R_BELOW);
    use(2, 1);
    ck_assert_int_eq(decide(), PLACE_MOVE);
    ck_assert_uint_eq(ties, 1 << 2);
    ck_assert_uint_eq(why.target, 2);
    place_moved(&p, 2);
    ck_assert_int_eq(decide(), PLACE_STAY);
    use(0, 2 * D - 1);
    ck_assert_int_eq(decide(), PLACE_STAY);
    use(0, 1);
    ck_assert_int_eq(decide(), PLACE_MOVE);
    ck_assert_uint_eq(why.target, 0);
}
END_TEST

// However long it belonged here, the cap forgets all but D of it.
START_TEST(test_cap_forgets) {
    use(0, 100000);
    ck_assert_uint_eq(place_value(&p, 1), D);
    use(1, 2 * D);
    ck_assert_int_eq(decide(), PLACE_MOVE);
}
END_TEST

START_TEST(test_alternation_never_moves) {
    for (u32 i = 0; i < 10000; i++) {
        use((u8)(i & 1), 16);
        ck_assert_int_eq(decide(), PLACE_STAY);
    }
}
END_TEST

// Loads make ties; the last requester wins them, and without one the draw does.
START_TEST(test_tie_last_requester) {
    struct place_cost here = {0, 2 * D};
    use(3, 1);
    p.w[0] = p.rest = 0;
    for (u32 i = 0; i < p.touched; i++) p.w[i] = 0;
    place_load(&p, ALL, &here, 1);
    ck_assert_int_eq(decide(), PLACE_MOVE);
    ck_assert_uint_eq(ties, 1 << 3);
    p.last = 0;
    u32 seen = 0;
    for (u32 i = 0; i < 100; i++) {
        ck_assert_int_eq(decide(), PLACE_MOVE);
        ck_assert_uint_eq(ties, 0xe);
        seen |= 1u << why.target;
    }
    ck_assert_uint_eq(seen, 0xe);
}
END_TEST

START_TEST(test_load_is_a_cost) {
    struct place_cost busy[] = {{0, 8}, {1, 8}, {2, 1}, {3, 8}};
    u32 steps = 0;
    while (decide() == PLACE_STAY && steps < 1000) {
        place_load(&p, ALL, busy, 4);
        steps++;
    }
    ck_assert_uint_eq(why.target, 2);
    ck_assert_uint_eq(steps, 19);   // 2D / 7 rounded up
    place_moved(&p, 2);
    for (u32 i = 0; i < 1000; i++) place_load(&p, ALL, busy, 4);
    ck_assert_int_eq(decide(), PLACE_STAY);
}
END_TEST

START_TEST(test_advice_halves_the_threshold) {
    p.advice = 1;
    use(1, D + D / 2 - 1);
    ck_assert_int_eq(decide(), PLACE_STAY);
    use(1, 1);
    ck_assert_int_eq(decide(), PLACE_MOVE);
    ck_assert_uint_eq(why.reason, PLACE_R_ADVISED);
    p.advice = 2;   // disagrees: no effect
    ck_assert_int_eq(decide(), PLACE_STAY);
}
END_TEST

START_TEST(test_not_allowed_and_gone) {
    p.allowed = 0x3;
    use(2, 1000);
    ck_assert_int_eq(decide(), PLACE_STAY);
    use(1, 2 * D);
    ck_assert_int_eq(decide(), PLACE_MOVE);
    world.members = 0x1;
    ck_assert_int_eq(decide(), PLACE_STAY);
    ck_assert_uint_eq(why.reason, PLACE_R_NO_NODE);
    place_node_gone(&p, 1);
    ck_assert_uint_eq(place_value(&p, 1), p.rest);
    place_access(&p, world.members, 200, 1);   // no such node
    place_access(&p, world.members, 1, 1);     // not a member
    ck_assert_uint_le(p.touched, 1);
}
END_TEST

START_TEST(test_price_changes) {
    use(1, D + D / 2);
    ck_assert_uint_eq(place_value(&p, 0), D / 2);
    place_set_price(&p, D / 2);
    ck_assert_int_eq(decide(), PLACE_MOVE);
    place_set_price(&p, 4 * D);
    ck_assert_int_eq(decide(), PLACE_STAY);
    place_set_price(&p, 0);
    ck_assert_uint_eq(p.price_move_ns, 1);
    place_set_price(&p, UINT64_MAX);
    for (u32 i = 0; i < 100; i++) place_access(&p, ALL, 1, UINT64_MAX);
    ck_assert_uint_eq(place_value(&p, 1), 0);
    ck_assert_uint_eq(place_value(&p, 0), PLACE_PRICE_MAX);
}
END_TEST

// More nodes than places in the table: the values of those in it stay those of a dense
// vector, and what was forgotten counts as one of the rest.
START_TEST(test_many_nodes) {
    world.members = ~0ull;
    for (u32 i = 0; i < 100000; i++) {
        u8 node = (u8)(rng_u32(&rng) % NODES_MAX);
        place_access(&p, world.members, node, rng_u32(&rng) % 100);
        bool sound = p.touched <= PLACE_TOUCHED_MAX;
        u64 min = p.rest;
        for (u32 k = 0; k < p.touched; k++) {
            sound = sound && p.w[k] <= D;
            if (p.w[k] < min) min = p.w[k];
        }
        if (!sound || min != 0) ck_abort_msg("step %u", i);
    }
    use(40, 2 * D);
    ck_assert_int_eq(decide(), PLACE_MOVE);
    ck_assert_uint_eq(why.target, 40);
}
END_TEST

// Against a dense vector, with random accesses, loads and sets of members' nodes.
START_TEST(test_sparse_equals_dense) {
    enum { N = 8 };
    for (u32 round = 0; round < 200; round++) {
        u64 dense[N];
        place_init(&p, 0, D);
        for (u32 i = 0; i < N; i++) dense[i] = i ? D : 0;
        for (u32 step = 0; step < 500; step++) {
            u32 cost = rng_u32(&rng) % 40, node = rng_u32(&rng) % (round % N + 1);
            bool access = rng_u32(&rng) % 2;
            struct place_cost load = {(u8)node, cost};
            u64 min = UINT64_MAX;
            for (u32 i = 0; i < N; i++) {
                if ((i == node) != access) dense[i] += cost;
                if (dense[i] < min) min = dense[i];
            }
            for (u32 i = 0; i < N; i++)
                dense[i] = dense[i] - min < D ? dense[i] - min : D;
            if (access) place_access(&p, 0xff, (u8)node, cost);
            else place_load(&p, 0xff, &load, 1);
            for (u32 i = 0; i < N; i++)
                if (place_value(&p, (u8)i) != dense[i]) ck_abort_msg("%u %u", round, step);
        }
    }
}
END_TEST

START_TEST(test_one_move_and_backoff) {
    use(1, 2 * D);
    p.moving = true;
    ck_assert_int_eq(decide(), PLACE_STAY);
    ck_assert_uint_eq(why.reason, PLACE_R_MOVING);
    place_not_moved(&p, &world);
    ck_assert_int_eq(decide(), PLACE_STAY);
    ck_assert_uint_eq(why.reason, PLACE_R_BACKOFF);
    ck_assert_uint_ge(p.not_before_ns, 1100);
    ck_assert_uint_lt(p.not_before_ns, 1200);
    world.now_ns = 1200;
    ck_assert_int_eq(decide(), PLACE_MOVE);
    p.pinned = true;
    ck_assert_int_eq(decide(), PLACE_STAY);
    ck_assert_uint_eq(why.reason, PLACE_R_PINNED);
}
END_TEST

START_TEST(test_prices) {
    struct place_prices prices = {.round_trip_ns = 100, .message_ns = 300, .kib_ns = 8,
                                  .move_fixed_ns = 5000, .page_ns = 120};
    struct place_use u = {.node = 1, .round_trips = 3, .messages = 2, .bytes = 4096 + 512};
    ck_assert_uint_eq(place_price_use(&prices, &u), 300 + 600 + 32 + 4);
    ck_assert_uint_eq(place_price_move(&prices, 10), 6200);
    ck_assert_uint_eq(place_price_load(3, 50), 200);
    u.bytes = UINT64_MAX;
    prices.kib_ns = UINT64_MAX;
    ck_assert_uint_eq(place_price_use(&prices, &u), PLACE_PRICE_MAX);
    ck_assert_uint_eq(place_price_move(&prices, UINT64_MAX), PLACE_PRICE_MAX);
    ck_assert_uint_eq(place_price_load(~0u, UINT64_MAX), PLACE_PRICE_MAX);
}
END_TEST

static struct place_profiles table;

START_TEST(test_profiles) {
    memset(&table, 0, sizeof table);
    struct place_cost run[] = {{1, 1000}, {2, 10}};
    ck_assert_ptr_null(place_profile_find(&table, 7));
    place_profile_learn(&table, 7, run, 2, 500);
    const struct place_profile *f = place_profile_find(&table, 7);
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(f->cpu_ns, 500);
    ck_assert_uint_eq(f->cost_ns[0], 1000);
    run[0].node = 3;
    place_profile_learn(&table, 7, run, 2, 100);
    f = place_profile_find(&table, 7);
    ck_assert_uint_eq(f->count, 3);
    ck_assert_uint_eq(f->cost_ns[0], 500);
    ck_assert_uint_eq(f->cpu_ns, 300);
    for (u64 key = 100; key < 5000; key++) {
        place_profile_learn(&table, key, run, 1, key);
        if (!place_profile_find(&table, key)) ck_abort();
    }
    ck_assert_uint_gt(table.replaced, 4000);
    place_profile_learn(&table, 0, run, 1, 1);
    ck_assert_ptr_null(place_profile_find(&table, 0));
}
END_TEST

START_TEST(test_profile_many_nodes) {
    memset(&table, 0, sizeof table);
    struct place_cost run[64];
    for (u8 i = 0; i < 64; i++) run[i] = (struct place_cost){i, i + 1u};
    run[5].node = 250;
    place_profile_learn(&table, 9, run, 64, 1);
    const struct place_profile *f = place_profile_find(&table, 9);
    ck_assert_uint_eq(f->count, PLACE_PROFILE_NODES);
    for (u32 i = 0; i < f->count; i++) ck_assert_uint_ge(f->node[i], 64 - PLACE_PROFILE_NODES);
}
END_TEST

static enum place_verdict exec_at(u8 at, const struct place_profile *f,
                                  const struct place_load *load, u32 n) {
    struct place_exec e = {at, ~0ull, 100, load, n};
    return place_exec(f, &e, &world, &ties, &why);
}

START_TEST(test_exec) {
    struct place_profile f = {.key = 1, .cpu_ns = 10, .count = 1, .node = {2}, .cost_ns = {5000}};
    struct place_load busy[] = {{2, 1000}, {0, 0}};
    ck_assert_int_eq(exec_at(0, NULL, NULL, 0), PLACE_QUEUE);
    ck_assert_int_eq(exec_at(0, &f, NULL, 0), PLACE_MOVE);
    ck_assert_uint_eq(ties, 1 << 2);
    ck_assert_uint_eq(why.reason, PLACE_R_EXEC_HOME);
    ck_assert_int_eq(exec_at(2, &f, NULL, 0), PLACE_STAY);
    ck_assert_uint_eq(why.reason, PLACE_R_EXEC_HERE);
    ck_assert_int_eq(exec_at(0, &f, busy, 2), PLACE_STAY);   // its node is too busy
    f.cost_ns[0] = 50;
    ck_assert_int_eq(exec_at(0, &f, NULL, 0), PLACE_STAY);
    ck_assert_uint_eq(why.reason, PLACE_R_EXEC_SMALL);
    f.cpu_ns = 100000;                                       // CPU alone, nodes alike
    ck_assert_int_eq(exec_at(0, &f, NULL, 0), PLACE_QUEUE);
    struct place_load here[] = {{0, 1}};
    ck_assert_int_eq(exec_at(0, &f, here, 1), PLACE_MOVE);
    world.members = 1;
    ck_assert_int_eq(exec_at(0, &f, NULL, 0), PLACE_STAY);
}
END_TEST

// The adds that a reservation asks for, on words held here.
static enum place_reserve_next reserve(struct place_reserve *r, u64 *word, u64 set) {
    enum place_reserve_next next = place_reserve_begin(r, &p, set, &rng);
    while (next == PLACE_RESERVE_ADD) {
        u64 found = word[r->node];
        word[r->node] += r->addend;
        next = place_reserve_step(r, S_OK, found);
    }
    return next;
}

START_TEST(test_reserve) {
    struct place_reserve r;
    u64 word[4] = {0, place_capacity_word(1, 1), place_capacity_word(2, 0),
                   place_capacity_word(0, 0)};
    for (u32 i = 0; i < 2; i++) {
        ck_assert_int_eq(reserve(&r, word, 0xe), PLACE_RESERVE_GOT);
        ck_assert_uint_eq(r.node, 2);
    }
    ck_assert_int_eq(reserve(&r, word, 0xe), PLACE_RESERVE_FAILED);
    ck_assert_uint_eq(word[1], place_capacity_word(1, 1));
    ck_assert_uint_eq(word[2], place_capacity_word(2, 2));
    ck_assert_uint_eq(word[3], place_capacity_word(0, 0));
    ck_assert_uint_eq(place_capacity_lost(word[2], 1), 1);
    ck_assert_uint_eq(place_capacity_lost(word[2], 3), 0);
    for (u32 capacity = 0; capacity < 5; capacity++) {
        word[2] += place_capacity_set(word[2], capacity);
        ck_assert_uint_eq(word[2], place_capacity_word(capacity, 2));
    }
    struct place_load load[] = {{0, 8}, {1, 0}, {2, 1}};
    ck_assert_uint_eq(place_capacity_fair(load, 3), 3);
    ck_assert_uint_eq(place_capacity_fair(load + 1, 1), 1);
    word[2] += place_capacity_set(word[2], 2);
    ck_assert_int_eq(place_reserve_begin(&r, &p, 1 << 2, &rng), PLACE_RESERVE_ADD);
    ck_assert_int_eq(place_reserve_step(&r, E_HOSTUNREACH, 0), PLACE_RESERVE_FAILED);
    ck_assert_int_eq(place_reserve_begin(&r, NULL, 0, &rng), PLACE_RESERVE_FAILED);
    place_reserve_begin(&r, NULL, ~0ull, &rng);
    ck_assert_uint_eq(r.count, PLACE_SAMPLES_MAX);
    ck_assert(r.sample[0] != r.sample[1] && r.sample[1] != r.sample[2]);
    p.last = 9;
    place_reserve_begin(&r, &p, ~0ull, &rng);
    ck_assert_uint_eq(r.node, 9);
}
END_TEST

START_TEST(test_why_text) {
    char text[1024];
    use(2, 2 * D);
    decide();
    u32 len = place_why_format(&why, text, sizeof text);
    ck_assert_uint_eq(len, strlen(text));
    ck_assert_ptr_nonnull(strstr(text, "move to node 2: staying has cost as much as a move\n"));
    ck_assert_ptr_nonnull(strstr(text, "regret_ns 64 of 64, move_ns 64"));
    for (u32 size = 1; size < len; size++) {
        memset(text, 'x', sizeof text);
        ck_assert_uint_eq(place_why_format(&why, text, size), size - 1);
        ck_assert_int_eq(text[size - 1], 0);
        ck_assert_int_eq(text[size], 'x');
    }
    for (u8 r = 0; r < PLACE_REASONS; r++) {
        why.reason = r;
        place_why_format(&why, text, sizeof text);
        ck_assert_ptr_null(strchr(text, '?'));
    }
    memset(&why, 0xff, sizeof why);   // what a peer may send: no more than a wrong text
    place_why_format(&why, text, sizeof text);
    ck_assert_ptr_nonnull(strchr(text, '?'));
}
END_TEST

int main(void) {
    Suite *s = suite_create("place");
    TCase *t = tcase_create("place");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, test_pays_for_the_move);
    tcase_add_test(t, test_cap_forgets);
    tcase_add_test(t, test_alternation_never_moves);
    tcase_add_test(t, test_tie_last_requester);
    tcase_add_test(t, test_load_is_a_cost);
    tcase_add_test(t, test_advice_halves_the_threshold);
    tcase_add_test(t, test_not_allowed_and_gone);
    tcase_add_test(t, test_price_changes);
    tcase_add_test(t, test_many_nodes);
    tcase_add_test(t, test_sparse_equals_dense);
    tcase_add_test(t, test_one_move_and_backoff);
    tcase_add_test(t, test_prices);
    tcase_add_test(t, test_profiles);
    tcase_add_test(t, test_profile_many_nodes);
    tcase_add_test(t, test_exec);
    tcase_add_test(t, test_reserve);
    tcase_add_test(t, test_why_text);
    suite_add_tcase(s, t);
    return suite_run(s);
}
