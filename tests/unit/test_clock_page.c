// How a program reads its node's clock without a call: what it computes is the kernel's to the
// nanosecond, and whatever the kernel does meanwhile, turn the line, step it, raise the floor, move
// the process to another node, it shows the time of one moment of one node, or asks.
// links: proto/cluster/clock.c
#include <check.h>
#include <string.h>

#include "base/bits.h"
#include "base/clock_page.h"
#include "proto/cluster/clock.h"
#include "tests/unit/suite_run.h"

#define VALUES 200000
#define CPU 5u

static u64 seed;
static u64 draw(void) {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return seed >> 32 | (seed * 2862933555777941757ull) << 32;
}

// (a * b) >> 32 by four products of 32 bits, for a of 64 bits and b below 2^32 in magnitude; what
// is left is rounded down.
static u64 product(u64 a, u64 b) {
    const u64 low = (a & 0xffffffff) * (b & 0xffffffff), high = (a >> 32) * (b & 0xffffffff);
    const u64 low_up = (a & 0xffffffff) * (b >> 32), high_up = (a >> 32) * (b >> 32);
    return high + low_up + (high_up << 32) + (low >> 32);
}
static u64 rated(u64 ns, i64 rate_q32) {
    const u64 size = (u64)(rate_q32 < 0 ? -rate_q32 : rate_q32);
    const u64 whole = product(ns, size);
    if (rate_q32 >= 0) return whole;
    return (u64)-(i64)(whole + ((u32)((u32)ns * (u32)size) != 0));
}

// What the kernel shows: its own clock of the TSC, the line over it, the floor.
static u64 kernel_shows(const struct clock_page *c, u64 tsc) {
    const u64 local_ns = product(tsc - c->start_tsc, c->ns_per_tick_q32);
    const u64 since_ns = local_ns - c->line.local_ns;
    const u64 ns = c->line.cluster_ns + since_ns + rated(since_ns, c->line.rate_q32);
    return MAX(ns, c->floor_ns);
}

// A node that has run for hours, at 100 MHz to 5 GHz, whose line turned within the last minutes.
static void draw_page(struct clock_page *c, u64 *tsc) {
    const u64 hz = 100000000 + draw() % 4900000000ull;
    *c = (struct clock_page){.start_tsc = draw(), .ns_per_tick_q32 = (NS_PER_S << 32) / hz,
                             .wall_ns = draw() >> 2};
    *tsc = c->start_tsc + draw() % (hz * 86400);
    const u64 local_ns = clock_ticks_ns(*tsc - c->start_tsc, c->ns_per_tick_q32);
    c->line.local_ns = local_ns - draw() % (local_ns + 1) % (300 * NS_PER_S);
    c->line.cluster_ns = draw() >> 8;
    c->line.rate_q32 = (i64)(draw() % (1ull << 30)) - (1ll << 29);
    if (draw() % 4 == 0) c->floor_ns = c->line.cluster_ns + draw() % NS_PER_S;
}

START_TEST(to_the_nanosecond) {
    for (u32 i = 0; i < VALUES; i++) {
        struct clock_page c;
        u64 tsc;
        draw_page(&c, &tsc);
        const u64 local_ns = clock_ticks_ns(tsc - c.start_tsc, c.ns_per_tick_q32);
        ck_assert_uint_eq(clock_page_at(&c, tsc), kernel_shows(&c, tsc));
        ck_assert_uint_eq(clock_page_at(&c, tsc), MAX(clock_at(&c.line, local_ns), c.floor_ns));
    }
}
END_TEST

// --- what happens meanwhile ---

// The page and the word as the process sees them, the time, and what happens at the nth of the
// moments at which it can be looked at: before each look at the word, and at the TSC.
static struct clock_page page;
static u32 word;
static u64 tsc_now;
static u32 moment, at_moment;
static void (*happens)(void);
static bool every_time;
static u64 good[8];                  // what each state would have shown since it was asked
static u32 good_count;

static void look(void) {
    if (!happens || (!every_time && moment++ != at_moment)) return;
    happens();
}
static u32 cpu_word(void) {
    look();
    return word | CPU;
}
static u64 read_tsc(void) {
    look();
    return tsc_now += 1000;
}

static void note(void) { good[good_count++ % 8] = clock_page_at(&page, tsc_now + 1000); }

static void turn(void) {             // another rate, from here on
    page.line.cluster_ns = clock_page_at(&page, tsc_now);
    page.line.local_ns = clock_ticks_ns(tsc_now - page.start_tsc, page.ns_per_tick_q32);
    page.line.rate_q32 = 1ll << 24;
    page.seq += 2;
    note();
}
static void rise(void) {             // somebody came who has seen a later time
    page.floor_ns = clock_page_at(&page, tsc_now) + 5000000;
    page.seq += 2;
    note();
}
// The process, on its CPU meanwhile, keeps its time by an offset: the page is not for it.
static void jump(void) {
    page.line.cluster_ns += 1000 * NS_PER_S;
    page.epoch = (page.epoch + CLOCK_EPOCH_NEXT) & CLOCK_EPOCH_MASK;
    page.seq += 2;
}
// Another node's page, which happens to be written as often and to have the same epoch.
static void move(void) {
    page.start_tsc += 1ull << 40;
    page.line.cluster_ns += 17 * NS_PER_S;
    word = CLOCK_WORD_CALL;
}
static void move_back(void) {        // home again meanwhile: it has moved all the same
    word = CLOCK_WORD_CALL;
}
static void write_begins(void) { page.seq |= 1; }

static void setup_page(void) {
    page = (struct clock_page){.seq = 2, .epoch = 3 * CLOCK_EPOCH_NEXT, .start_tsc = 1000,
                               .ns_per_tick_q32 = 1ull << 31, .wall_ns = 1ull << 60,
                               .line = {5000, 100 * NS_PER_S, 1ll << 20}};
    word = page.epoch;
    tsc_now = 1ull << 33;
    moment = at_moment = good_count = 0;
    happens = NULL;
    every_time = false;
    note();
}

static bool reads(u64 *ns) { return clock_page_read(&page, cpu_word, read_tsc, false, ns); }

static bool is_good(u64 ns) {
    for (u32 i = 0; i < MIN(good_count, 8u); i++)
        if (ns >= good[i] && ns - good[i] < 100000) return true;
    return false;
}

START_TEST(undisturbed) {
    u64 ns, wall_ns;
    ck_assert(reads(&ns));
    ck_assert_uint_eq(ns, good[0]);
    ck_assert(clock_page_read(&page, cpu_word, read_tsc, true, &wall_ns));
    ck_assert_uint_eq(wall_ns, clock_page_at(&page, tsc_now) + page.wall_ns);
}
END_TEST

START_TEST(line_turns_or_floor_rises) {
    void (*const changes[])(void) = {turn, rise};
    for (u32 which = 0; which < 2; which++)
        for (u32 at = 0; at < 3; at++) {
            u64 ns;
            setup_page();
            happens = changes[which];
            at_moment = at;
            ck_assert(reads(&ns));
            ck_assert(is_good(ns));
            ck_assert_uint_ge(ns, page.floor_ns);
        }
}
END_TEST

START_TEST(steps_and_moves_ask) {
    void (*const changes[])(void) = {jump, move, move_back};
    for (u32 which = 0; which < 3; which++)
        for (u32 at = 0; at < 3; at++) {
            u64 ns;
            setup_page();
            happens = changes[which];
            at_moment = at;
            ck_assert(!reads(&ns));
            ck_assert(!reads(&ns));              // and from then on
        }
}
END_TEST

// A process that comes onto a CPU after 2^15 steps finds the first's epoch; one has its own.
START_TEST(epochs_stay_in_the_limit) {
    for (u32 i = 0; i < 70000; i++) {
        jump();
        ck_assert_uint_eq(page.epoch & (CLOCK_WORD_CALL | CLOCK_WORD_CPU), 0);
        ck_assert_uint_lt(page.epoch, 1u << 20);
        ck_assert_uint_ne(page.epoch, word);
        word = page.epoch;
    }
}
END_TEST

START_TEST(kernel_writes_without_end) {
    u64 ns;
    happens = write_begins;
    ck_assert(!reads(&ns));                      // it ends all the same
    setup_page();
    happens = turn;
    every_time = true;
    ck_assert(!reads(&ns));
}
END_TEST

int main(void) {
    Suite *s = suite_create("clock_page");
    TCase *t = tcase_create("clock_page");
    tcase_add_checked_fixture(t, setup_page, NULL);
    tcase_add_test(t, to_the_nanosecond);
    tcase_add_test(t, undisturbed);
    tcase_add_test(t, line_turns_or_floor_rises);
    tcase_add_test(t, steps_and_moves_ask);
    tcase_add_test(t, epochs_stay_in_the_limit);
    tcase_add_test(t, kernel_writes_without_end);
    suite_add_tcase(s, t);
    return suite_run(s);
}
