// links: sched/account.c sched/place.c sched/place_exec.c
// The account: counts by node and kind, batches, more nodes than lines; prices: averages,
// outliers, guesses before anything was measured.
#include <check.h>

#include "sched/account.h"
#include "tests/unit/suite_run.h"

static struct account a;
static struct prices prices;
static struct place_use use[ACCOUNT_NODES];
static struct place_cost cost[ACCOUNT_NODES];

static void setup(void) {
    account_reset(&a, 5);
    prices = (struct prices){0};
}

START_TEST(test_counts_by_node) {
    account_message(&a, 3, ACCOUNT_FILE, 100);
    account_message(&a, 3, ACCOUNT_PIPE, 50);
    account_message(&a, 1, ACCOUNT_DRIVE, 4097);
    account_one_sided(&a, 1, 2, 512);
    account_page(&a, 3);
    account_wait(&a, 1, 77);
    account_cpu(&a, 0, 9);
    account_cpu(&a, 3, 4);
    ck_assert_uint_eq(a.count, 3);
    ck_assert_uint_eq(a.since_ns, 5);
    ck_assert_uint_eq(a.node[0].node, 3);
    ck_assert_uint_eq(a.node[0].messages, 2);
    ck_assert_uint_eq(a.node[0].bytes, 150);
    ck_assert_uint_eq(a.node[0].pipe_bytes, 50);
    ck_assert_uint_eq(a.node[0].pages, 1);
    ck_assert_uint_eq(a.node[1].drive_blocks, 9 + 1);
    ck_assert_uint_eq(a.node[1].round_trips, 2);
    ck_assert_uint_eq(a.node[1].wait_ns, 77);
    ck_assert_uint_eq(account_cpu_all(&a), 13);
}
END_TEST

// The rule is told of each use once, and the counts for people stay.
START_TEST(test_take_gives_each_use_once) {
    bool due = false;
    for (u32 i = 0; i < ACCOUNT_BATCH; i++) {
        ck_assert(!due);
        due = account_message(&a, 2, ACCOUNT_FILE, 10);
    }
    ck_assert(due);
    account_one_sided(&a, 4, 2, 1000);
    account_page(&a, 5);
    ck_assert_uint_eq(account_take(&a, use), 2);
    ck_assert_uint_eq(use[0].node, 2);
    ck_assert_uint_eq(use[0].messages, ACCOUNT_BATCH);
    ck_assert_uint_eq(use[0].bytes, 10 * ACCOUNT_BATCH);
    ck_assert_uint_eq(use[1].round_trips, 2);
    ck_assert_uint_eq(account_take(&a, use), 0);
    ck_assert(!account_message(&a, 2, ACCOUNT_FILE, 1));
    ck_assert_uint_eq(account_take(&a, use), 1);
    ck_assert_uint_eq(use[0].messages, 1);
    ck_assert_uint_eq(a.node[0].messages, ACCOUNT_BATCH + 1);
}
END_TEST

START_TEST(test_least_used_line_makes_room) {
    for (u8 n = 0; n < ACCOUNT_NODES; n++)
        for (u32 i = 0; i < (n == 7 ? 1u : 3u); i++) account_message(&a, n, ACCOUNT_FILE, 0);
    account_message(&a, 40, ACCOUNT_FILE, 0);
    ck_assert_uint_eq(a.count, ACCOUNT_NODES);
    ck_assert_uint_eq(a.forgotten, 1);
    ck_assert_uint_eq(a.node[7].node, 40);
    ck_assert_uint_eq(a.node[7].messages, 1);
}
END_TEST

START_TEST(test_costs_of_a_run) {
    const struct place_prices p = {.round_trip_ns = 10, .message_ns = 30, .kib_ns = 5};
    account_message(&a, 1, ACCOUNT_FILE, 2048);
    account_one_sided(&a, 2, 2, 0);
    account_page(&a, 3);
    account_take(&a, use);
    ck_assert_uint_eq(account_costs(&a, &p, cost), 2);
    ck_assert_uint_eq(cost[0].node, 1);
    ck_assert_uint_eq(cost[0].cost_ns, 40);
    ck_assert_uint_eq(cost[1].cost_ns, 20);
}
END_TEST

START_TEST(test_prices_are_averages) {
    prices_sample(&prices, PRICE_MESSAGE, 800);
    ck_assert_uint_eq(prices_now(&prices, PRICE_MESSAGE), 800);
    prices_sample(&prices, PRICE_MESSAGE, 1600);
    ck_assert_uint_eq(prices_now(&prices, PRICE_MESSAGE), 900);
    prices_sample(&prices, PRICE_MESSAGE, 1u << 30);         // counts as 8 * 900
    ck_assert_uint_eq(prices_now(&prices, PRICE_MESSAGE), 900 - 112 + 900);
    for (u32 i = 0; i < 200; i++) prices_sample(&prices, PRICE_MESSAGE, 100);
    ck_assert_uint_le(prices_now(&prices, PRICE_MESSAGE), 110);
    for (u32 i = 0; i < 200; i++) prices_sample(&prices, PRICE_MESSAGE, 0);
    ck_assert_uint_ge(prices_now(&prices, PRICE_MESSAGE), 1);
    prices_sample(&prices, PRICE_MESSAGE, UINT64_MAX);
    ck_assert_uint_le(prices_now(&prices, PRICE_MESSAGE), 100);
}
END_TEST

// Before anything was measured there are guesses, all from the round trip once that is known.
START_TEST(test_guesses_follow_the_round_trip) {
    ck_assert_uint_eq(prices_now(&prices, PRICE_ROUND_TRIP), PRICE_ROUND_TRIP_DEFAULT_NS);
    prices_sample(&prices, PRICE_ROUND_TRIP, 8000);
    const struct place_prices p = prices_for_place(&prices);
    ck_assert_uint_eq(p.round_trip_ns, 8000);
    ck_assert_uint_eq(p.message_ns, 16000);
    ck_assert_uint_eq(p.kib_ns, 1000);
    ck_assert_uint_eq(p.page_ns, 12000);
    ck_assert_uint_eq(p.move_fixed_ns, 128000);
    prices_sample(&prices, PRICE_KIB, 1);
    ck_assert_uint_eq(prices_now(&prices, PRICE_PAGE), 8004);
    for (u32 i = 0; i < PRICES; i++) ck_assert_ptr_nonnull(price_name((enum price)i));
}
END_TEST

int main(void) {
    Suite *s = suite_create("account");
    TCase *c = tcase_create("account");
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_test(c, test_counts_by_node);
    tcase_add_test(c, test_take_gives_each_use_once);
    tcase_add_test(c, test_least_used_line_makes_room);
    tcase_add_test(c, test_costs_of_a_run);
    tcase_add_test(c, test_prices_are_averages);
    tcase_add_test(c, test_guesses_follow_the_round_trip);
    suite_add_tcase(s, c);
    return suite_run(s);
}
