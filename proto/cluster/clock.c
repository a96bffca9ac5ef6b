// Whose clock holds: that of the node that booted first, by what each measures of the other;
// where that cannot be told apart, the one with the lower id. Who keeps the time then: the
// lowest member; the others measure it in bursts, the fastest round trip of each counts, and
// half of it is the error. Callers: kernel/clock.c, unit tests. No locks, no globals.
#include "proto/cluster/clock.h"

#include "base/bits.h"

#define ONE_Q32 (1ll << 32)
#define PPM_Q32(ppm) (ONE_Q32 / 1000000 * (i64)(ppm))
#define RATE_MAX_PART 4              // a TSC that was calibrated worse is not believed
#define DRIFT_PPM 100u               // of a rate, however well measured
#define DRIFT_UNKNOWN_PPM 50000u     // of one that is not measured yet
#define ANCHOR_MAX_NS 128000000000ull    // the rate is measured over no longer
#define SLEW_MIN_NS 1000000000ull    // many ticks: it ends at one
#define ERROR_MAX_NS 10000000000ull  // more counts as this; keeps the sums in 64 bits

static u64 magnitude(i64 v) { return v < 0 ? (u64)-v : (u64)v; }

// How long this node's clock takes for so much of the cluster's.
u64 clock_local_span(const struct clock_line *line, u64 cluster_ns) {
    u64 span = cluster_ns;
    for (u32 i = 0; i < 32; i++)                 // the rest shrinks 4-fold each time
        span += cluster_ns - (span + (u64)clock_scale(span, line->rate_q32));
    return span + 1;
}

// A node that has just booted: its own clock is the cluster's until it joins one.
//   id  a random number: which cluster's clock it is
//   wall_ns  what the wall clock is ahead of it
void clock_begin(struct cluster_clock *c, u8 self, u64 id, u64 wall_ns, u64 local_ns) {
    *c = (struct cluster_clock){.self = self, .id = id, .wall_ns = wall_ns,
                                .line = {local_ns, local_ns, 0},
                                .period_ns = CLOCK_PERIOD_MIN_NS, .error_at_ns = local_ns,
                                .drift_ppm = DRIFT_UNKNOWN_PPM};
}

// What was shown at most, once the line has stepped; a step back may be by more than it.
u64 clock_floor_stepped(u64 floor_ns, const struct clock_step *step) {
    const i64 after = (i64)floor_ns + step->cluster_ns;
    return after > 0 ? (u64)after : 0;
}

static bool is_reference(const struct cluster_clock *c, u64 up) {
    return (u8)__builtin_ctzll(up | BIT(c->self)) == c->self;
}

// How far its line may be from the cluster's clock now: at the last measurement, and
// what may have drifted since.
u64 clock_error_ns(const struct cluster_clock *c, u64 local_ns) {
    if (c->anchor_local_ns == 0) return 0;       // its own, or the one that the others follow
    const u64 since_us = (local_ns - c->error_at_ns) / 1000;
    return c->error_ns + since_us * c->drift_ppm / 1000;
}

// A member whose clock may be another one: it is asked at the next tick.
void clock_member_up(struct cluster_clock *c, u8 node, u64 local_ns) {
    c->differ |= BIT(node);
    c->next_ns = local_ns;
}

// It is asked no more; a measurement with it ends.
void clock_member_down(struct cluster_clock *c, u8 node) {
    c->differ &= ~BIT(node);
    if (c->left != 0 && c->peer == node) c->left = 0;
}

void clock_asked(struct cluster_clock *c, u8 node, u64 id, u64 local_ns) {
    if (id == c->id || (c->differ & BIT(node))) return;
    clock_member_up(c, node, local_ns);
}

// The line goes on from where it is with another rate.
static void turn(struct cluster_clock *c, u64 local_ns, i64 rate_q32) {
    c->line.cluster_ns = clock_at(&c->line, local_ns);
    c->line.local_ns = local_ns;
    c->line.rate_q32 = rate_q32;
}

static void ask(struct cluster_clock *c, u64 local_ns) {
    c->asked_ns = local_ns;
    c->asks++;
}

static void burst_begin(struct cluster_clock *c, u8 peer, u32 count, u64 local_ns) {
    c->peer = peer;
    c->left = count;
    c->best_rtt_ns = ~0ull;
    ask(c, local_ns);
}

bool clock_tick(struct cluster_clock *c, u64 up, u64 local_ns) {
    if (c->slew_until_ns != 0 && local_ns >= c->slew_until_ns) {
        turn(c, local_ns, c->freq_q32);
        c->slew_until_ns = 0;
    }
    if (is_reference(c, up) && c->differ == 0) c->anchor_local_ns = 0;
    if (c->left != 0 && local_ns - c->asked_ns >= CLOCK_SILENT_NS) c->left = 0;
    if (c->left != 0 || local_ns < c->next_ns) return false;
    const u64 other = c->differ & up & ~BIT(c->self);
    if (other == 0 && is_reference(c, up)) return false;
    c->next_ns = local_ns + c->period_ns;
    if (other != 0) burst_begin(c, (u8)__builtin_ctzll(other), CLOCK_BURST, local_ns);
    else burst_begin(c, (u8)__builtin_ctzll(up), CLOCK_BURST_LATER, local_ns);
    return true;
}

u64 clock_next_ns(const struct cluster_clock *c, u64 up) {
    const u64 slew_ns = c->slew_until_ns != 0 ? c->slew_until_ns : ~0ull;
    const bool alone = (c->differ & up & ~BIT(c->self)) == 0 && is_reference(c, up);
    if (is_reference(c, up) && c->differ == 0 && c->anchor_local_ns != 0) return 0;
    if (c->left != 0) return MIN(slew_ns, c->asked_ns + CLOCK_SILENT_NS);
    return alone ? slew_ns : MIN(slew_ns, c->next_ns);
}

static void fix_error(struct cluster_clock *c, u64 error_ns, u64 local_ns) {
    c->error_ns = error_ns;
    c->error_at_ns = local_ns;
}

static void anchor(struct cluster_clock *c, u64 cluster_ns, u64 error_ns, u64 local_ns) {
    c->anchor_local_ns = local_ns;
    c->anchor_cluster_ns = cluster_ns;
    c->anchor_error_ns = error_ns;
}

// Another keeper: what was measured of the rate belongs to the one before.
static void follow(struct cluster_clock *c, u64 cluster_ns, u64 error_ns, u64 local_ns) {
    c->keeper = c->peer;
    c->drift_ppm = DRIFT_UNKNOWN_PPM;
    anchor(c, cluster_ns, error_ns, local_ns);
}

static void step_to(struct cluster_clock *c, u64 cluster_ns, u64 error_ns, u64 local_ns,
                    struct clock_step *step) {
    const u64 was = clock_at(&c->line, local_ns);
    *step = (struct clock_step){.stepped = true, .cluster_ns = (i64)(cluster_ns - was)};
    c->line = (struct clock_line){local_ns, cluster_ns, c->freq_q32};
    c->slew_until_ns = 0;
    c->period_ns = CLOCK_PERIOD_MIN_NS;
    c->next_ns = local_ns + c->period_ns;
    fix_error(c, error_ns, local_ns);
}

// Another clock: ours from now on where it is older.
static void meet(struct cluster_clock *c, u64 there_ns, u64 error_ns, u64 up, u64 local_ns,
                 struct clock_step *step) {
    const i64 ahead = (i64)(there_ns - clock_at(&c->line, local_ns));
    const bool near = magnitude(ahead) <= error_ns;
    if (near ? c->best.id > c->id : ahead < 0) return;       // it will adopt ours
    c->freq_q32 = 0;
    step_to(c, there_ns, error_ns, local_ns, step);
    follow(c, there_ns, error_ns, local_ns);
    step->wall_ns = step->cluster_ns + (i64)(c->best.wall_ns - c->wall_ns);
    c->id = c->best.id;
    c->wall_ns = c->best.wall_ns;
    c->adoptions++;
    c->differ = up & ~BIT(c->self) & ~BIT(c->peer);          // they learn it by being asked
}

// The rate from the anchor to now, where that is long enough to know it well.
static void measure_rate(struct cluster_clock *c, u64 there_ns, u64 error_ns, u64 local_ns) {
    const u64 base_ns = local_ns - c->anchor_local_ns, base_us = base_ns / 1000;
    if (base_ns < CLOCK_PERIOD_MIN_NS / 2) return;
    const i64 more = (i64)(there_ns - c->anchor_cluster_ns - base_ns);
    const u64 doubt_ppm = (error_ns + c->anchor_error_ns) * 1000 / base_us + DRIFT_PPM;
    if (doubt_ppm <= c->drift_ppm && base_ns < 2 * ANCHOR_MAX_NS &&
        magnitude(more) <= base_ns / RATE_MAX_PART) {
        // In steps that keep each in 64 bits: of more / base, 2^32 parts.
        c->freq_q32 = more * (1 << 22) / (i64)base_us / 1000 * (1 << 10);
        c->drift_ppm = (u32)doubt_ppm;
    }
    if (base_ns > ANCHOR_MAX_NS) anchor(c, there_ns, error_ns, local_ns);
}

// The same clock, of who keeps it: what we are off by is slewed away, or stepped if too much.
static void keep(struct cluster_clock *c, u64 there_ns, u64 error_ns, u64 local_ns,
                 struct clock_step *step) {
    const i64 off = (i64)(there_ns - clock_at(&c->line, local_ns));
    const bool first = c->anchor_local_ns == 0 || c->keeper != c->peer;
    const u64 known_ns = clock_error_ns(c, local_ns);
    c->next_ns = local_ns + c->period_ns;
    if (first) follow(c, there_ns, error_ns, local_ns);
    else if (error_ns < c->anchor_error_ns / 4) anchor(c, there_ns, error_ns, local_ns);
    measure_rate(c, there_ns, error_ns, local_ns);
    if (!first && error_ns > known_ns && magnitude(off) <= error_ns + known_ns) {
        turn(c, local_ns, c->freq_q32);          // vaguer than what is known, and fits it
        c->slew_until_ns = 0;
        fix_error(c, known_ns, local_ns);
        return;
    }
    if (magnitude(off) > CLOCK_STEP_NS) {
        step_to(c, there_ns, error_ns, local_ns, step);
        step->wall_ns = step->cluster_ns;
        c->steps++;
        return;
    }
    const u64 over_ns = MAX(magnitude(off) * (1000000 / CLOCK_SLEW_PPM), SLEW_MIN_NS);
    turn(c, local_ns, c->freq_q32 + off * (1ll << 30) / (i64)over_ns * 4);
    c->slew_until_ns = local_ns + over_ns;
    fix_error(c, error_ns + magnitude(off), local_ns);
    c->period_ns = MIN(2 * c->period_ns, (u64)CLOCK_PERIOD_MAX_NS);
    c->next_ns = local_ns + c->period_ns;
}

static void burst_done(struct cluster_clock *c, u64 up, u64 local_ns, struct clock_step *step) {
    const u64 half = c->best_rtt_ns / 2;
    const u64 since_ns = local_ns - c->best_back_ns;
    const u64 there_ns = c->best.cluster_ns + half + since_ns;
    const u64 error_ns = MIN(half + 1 + since_ns * DRIFT_UNKNOWN_PPM / 1000000, ERROR_MAX_NS) +
                         MIN(c->best.error_ns, ERROR_MAX_NS);
    if (c->best.id != c->id) {
        meet(c, there_ns, error_ns, up, local_ns, step);
        return;
    }
    c->differ &= ~BIT(c->peer);
    if (!is_reference(c, up) && c->peer == (u8)__builtin_ctzll(up))
        keep(c, there_ns, error_ns, local_ns, step);
}

bool clock_answered(struct cluster_clock *c, u8 node, const struct clock_answer *a, u64 up,
                    u64 local_ns, struct clock_step *step) {
    *step = (struct clock_step){0};
    if (c->left == 0 || node != c->peer || a->asked_ns != c->asked_ns) return false;
    const u64 rtt = local_ns - a->asked_ns;
    if (rtt < c->best_rtt_ns) {
        c->best = *a;
        c->best_rtt_ns = rtt;
        c->best_back_ns = local_ns;
    }
    if (--c->left != 0) {
        ask(c, local_ns);
        return true;
    }
    burst_done(c, up, local_ns, step);
    return false;
}
