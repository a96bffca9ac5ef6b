// The TSC's rate by a counter, on a machine whose host runs something else most of the time.
// links: kernel/tsc_rate.c
#include <check.h>

#include "base/types.h"
#include "kernel/tsc_rate.h"
#include "tests/unit/suite_run.h"

#define PIT_HZ 1193182ull
#define TSC_HZ 2596130000ull
#define MS (TSC_HZ / 1000)
#define ACCESS_TICKS 1500u           // to the PIT and back, with nothing between

// The host runs this machine for `slice` ticks and something else for `gap`.
static u64 now, slice, gap, seed, started, lasts;

static u64 draw(u64 below) {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (seed >> 33) % below;
}

// That many ticks of this machine's own time pass.
static void spend(u64 ticks) {
    while (ticks > 0) {
        const u64 at = now % (slice + gap);
        if (at >= slice) { now += slice + gap - at; continue; }
        const u64 step = ticks < slice - at ? ticks : slice - at;
        now += step;
        ticks -= step;
    }
}

static u64 tsc(void) { spend(20); return now; }
static void prepare(u16 count) { (void)count; spend(3 * ACCESS_TICKS); }

// The device's own moment lies anywhere within an access.
static void start(u16 count) {
    const u64 first = draw(ACCESS_TICKS);
    spend(first);
    started = now;
    lasts = count * TSC_HZ / PIT_HZ;
    spend(ACCESS_TICKS - first);
}
static bool over(void) {
    const u64 first = draw(ACCESS_TICKS);
    spend(first);
    const bool r = now - started >= lasts;
    spend(ACCESS_TICKS - first);
    return r;
}

static const struct tsc_rate_counter pit = {PIT_HZ, tsc, prepare, start, over};

static struct tsc_rate measured(u64 slice_ticks, u64 gap_ticks, u64 from) {
    slice = slice_ticks;
    gap = gap_ticks;
    now = from;
    const struct tsc_rate r = tsc_rate_measure(&pit);
    ck_assert_uint_le(r.low_hz, TSC_HZ);
    ck_assert_uint_ge(r.high_hz, TSC_HZ);
    return r;
}

// An own machine: one count is enough.
START_TEST(alone) {
    const struct tsc_rate r = measured(3600 * TSC_HZ, 0, 5 * TSC_HZ);
    ck_assert_uint_lt(r.high_hz - r.low_hz, TSC_HZ / 5000);
    ck_assert_uint_lt(now, 5 * TSC_HZ + 11 * MS);
}
END_TEST

// Slices of which none holds a whole count; a host's beat that fits the count's own among them.
START_TEST(beside_others) {
    static const u64 beats_ms[][2] = {{3, 9}, {4, 4}, {1, 3}, {3, 7}, {4, 12}, {10, 10}, {2, 8}};
    for (u32 i = 0; i < sizeof beats_ms / sizeof beats_ms[0]; i++) {
        for (u64 s = 0; s < 50; s++) {
            seed = s;
            const struct tsc_rate r = measured(beats_ms[i][0] * MS, beats_ms[i][1] * MS,
                                               TSC_HZ + s * MS / 3);
            ck_assert_uint_ne(r.low_hz, 0);
            ck_assert_uint_lt(r.high_hz - r.low_hz, TSC_HZ / 100);
        }
    }
}
END_TEST

static bool always(void) { spend(ACCESS_TICKS); return true; }
static bool never(void) { return false; }

// No such counter.
START_TEST(none) {
    struct tsc_rate_counter absent = pit;
    slice = TSC_HZ;
    gap = 0;
    absent.over = always;
    ck_assert_uint_eq(tsc_rate_measure(&absent).low_hz, 0);
    absent.over = never;
    ck_assert_uint_eq(tsc_rate_measure(&absent).low_hz, 0);
}
END_TEST

int main(void) {
    Suite *s = suite_create("tsc_rate");
    TCase *t = tcase_create("tsc_rate");
    tcase_add_test(t, alone);
    tcase_add_test(t, beside_others);
    tcase_add_test(t, none);
    suite_add_tcase(s, t);
    return suite_run(s);
}
