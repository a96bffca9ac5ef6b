// How fast the TSC counts: a counter of known rate is started and asked until it is over. Each
// access may take long (a host that runs something else for milliseconds, an SMI), before or
// after the counter's own moment in it. So a count gives bounds, from the TSC on both sides of
// the access that started it, of the last one that found it running, and of the one that found
// it over; the true rate lies within those of every count. Caller: time.c. No locks, no globals.
#include "kernel/tsc_rate.h"

#include "base/bits.h"

#define COUNT_FIRST 11932u           // 10 ms of the PIT
#define COUNT_LESS_PART 10u          // the next one, so that one fits between two pauses
#define TRIES 32u
#define POLLS_MAX 10000000u          // of all counts
#define GOOD_PART 1000u              // known to one part in so many is good enough

// One count: the fewest and the most TSC ticks that it took. False: it was over when first
// looked at, or never (no such counter).
static bool count_once(const struct tsc_rate_counter *c, u16 count, u32 *polls, u64 *least,
                       u64 *most) {
    c->prepare(count);
    const u64 before = c->tsc();
    c->start(count);
    const u64 after = c->tsc();
    u64 running = after;             // it ran still at some time after this
    for (u32 i = 0; *polls > 0; i++, --*polls) {
        const u64 asked = c->tsc();
        const bool over = c->over();
        if (over && i == 0) return false;
        if (over) {
            *least = running - after;
            *most = c->tsc() - before;
            return true;
        }
        running = asked;
    }
    return false;
}

static bool good(const struct tsc_rate *r) {
    return r->low_hz != 0 && r->high_hz - r->low_hz <= r->high_hz / GOOD_PART;
}

// Counts until the bounds are near each other, at most TRIES times. Counts that contradict
// each other (a counter that is not what it says) begin anew with the later one.
struct tsc_rate tsc_rate_measure(const struct tsc_rate_counter *c) {
    struct tsc_rate rate = {0, ~0ull};
    u32 polls = POLLS_MAX;
    u16 count = COUNT_FIRST;
    for (u32 i = 0; i < TRIES && !good(&rate); i++, count -= count / COUNT_LESS_PART) {
        u64 least, most;
        if (!count_once(c, count, &polls, &least, &most)) continue;
        const struct tsc_rate now = {least * c->hz / count, most * c->hz / count};
        const struct tsc_rate both = {MAX(rate.low_hz, now.low_hz), MIN(rate.high_hz, now.high_hz)};
        rate = both.low_hz <= both.high_hz ? both : now;
    }
    return rate;
}
