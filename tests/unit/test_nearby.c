// links: sched/nearby.c
// Which CPU a process that wakes goes to, and whose queue is taken from: against a search that
// follows the words of docs/reference/scheduling.md, for every state of up to six CPUs.
#include <check.h>
#include <stdlib.h>

#include "sched/nearby.h"
#include "tests/unit/suite_run.h"

#define CPUS 6u                      // no power of two: some numbers have no CPU
#define WAITING 3u                   // none, one, two
#define KINDS (2 * WAITING)          // without a process and with one

static u32 kind[CPUS];

static bool runs(u32 cpu) {
    if (cpu >= CPUS) ck_abort_msg("CPU %u", cpu);
    return kind[cpu] >= WAITING;
}

static u32 length(u32 cpu) { return kind[cpu] % WAITING; }

static bool is_free(u32 cpu) { return kind[cpu] == 0; }

static u32 distance(u32 a, u32 b) { return a ^ b; }

// The nearest to `cpu`, itself aside where it is told so, of those that `fits` holds for.
static u32 nearest(u32 cpu, u32 count, bool itself, bool (*fits)(u32)) {
    u32 best = count;
    for (u32 i = 0; i < count; i++) {
        if ((i == cpu && !itself) || !fits(i)) continue;
        if (best == count || distance(i, cpu) < distance(best, cpu)) best = i;
    }
    return best;
}

// Who waits there waits for another process: one that runs, or one that goes before.
static bool can_spare(u32 cpu) { return length(cpu) + runs(cpu) >= 2; }

static void check_state(u32 count) {
    const struct nearby v = {count, runs, length};
    for (u32 cpu = 0; cpu < count; cpu++)
        if (nearby_victim(&v, cpu) != nearest(cpu, count, false, can_spare))
            ck_abort_msg("CPU %u of %u takes from %u", cpu, count, nearby_victim(&v, cpu));
    for (u32 k = 0; k < count * count; k++) {
        const u32 last = k / count, waker = k % count, got = nearby_wake(&v, last, waker);
        const u32 near = nearest(waker, count, true, is_free);
        if (got >= count) ck_abort_msg("CPU %u of %u", got, count);
        if (is_free(last) && got != last) ck_abort_msg("it leaves its own, %u, for %u", last, got);
        if (is_free(last)) continue;
        if (near != count && got != near) ck_abort_msg("%u is nearer than %u", near, got);
        if (near != count) continue;
        for (u32 i = 0; i < count; i++)
            if (length(i) < length(got)) ck_abort_msg("%u has a shorter queue than %u", i, got);
        if (length(got) == length(last) && got != last) ck_abort_msg("no shorter than its own");
    }
}

START_TEST(every_state_of_six_cpus) {
    for (u32 count = 1, states = KINDS; count <= CPUS; count++, states *= KINDS)
        for (u32 state = 0; state < states; state++) {
            for (u32 i = 0, left = state; i < count; i++, left /= KINDS) kind[i] = left % KINDS;
            check_state(count);
        }
}
END_TEST

START_TEST(neighbours_share_low_bits) {
    ck_assert_uint_eq(nearby_nth(4, 1), 5);
    ck_assert_uint_eq(nearby_nth(5, 1), 4);
    ck_assert_uint_eq(nearby_nth(5, 2), 7);
    ck_assert_uint_eq(nearby_span(1), 1);
    ck_assert_uint_eq(nearby_span(4), 4);
    ck_assert_uint_eq(nearby_span(5), 8);
    ck_assert_uint_eq(nearby_span(16), 16);
}
END_TEST

int main(void) {
    Suite *s = suite_create("nearby");
    TCase *t = tcase_create("nearby");
    tcase_add_test(t, every_state_of_six_cpus);
    tcase_add_test(t, neighbours_share_low_bits);
    suite_add_tcase(s, t);
    return suite_run(s);
}
