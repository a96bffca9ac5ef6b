// The cluster's clock as one node has it: a line over its own clock, adopted from the member
// whose clock is older, then kept by the rate of the line. Pure: answers and local times in,
// the line and steps out. docs/reference/clocks.md.
#pragma once

#include "base/clock_line.h"
#include "base/owner.h"
#include "base/types.h"

#define CLOCK_BURST 8u               // questions at a join, one after the other; the best counts
#define CLOCK_BURST_LATER 4u         // and later
#define CLOCK_STEP_NS 100000000ull   // further off than this is a step, nearer is slewed
#define CLOCK_SLEW_PPM 5000u         // at most beside the rate
#define CLOCK_PERIOD_MIN_NS 1000000000ull    // between bursts, doubling
#define CLOCK_PERIOD_MAX_NS 16000000000ull
#define CLOCK_SILENT_NS 1000000000ull        // a question without an answer is asked again

struct clock_answer {                // of a member, about its own
    u64 asked_ns;                    // local, as it was in the question
    u64 id;                          // which clock: drawn by the node that began it
    u64 cluster_ns;                  // when it answered
    u64 wall_ns;                     // since 1970, at cluster time 0
    u64 error_ns;                    // how far it may be from its reference
};

struct cluster_clock {
    struct clock_line line;
    u64 id, wall_ns;
    u8 self;
    u64 differ;                      // members whose clock may be another one
    // The burst under way, or 0 left:
    u8 peer;
    u32 left;
    u64 asked_ns, best_rtt_ns, best_back_ns;
    struct clock_answer best;
    u64 next_ns, period_ns;          // the next burst, local
    // Keeping it:
    i64 freq_q32;                    // of the reference against ours, as measured
    u64 slew_until_ns;               // local; the line's rate has a slew in it until then
    u64 anchor_local_ns, anchor_cluster_ns, anchor_error_ns;   // freq is measured from here
    u32 drift_ppm;                   // how far it may be off that
    u8 keeper;                       // whose clock that is
    u64 error_ns, error_at_ns;       // of the last answer, and when (local)
    u64 asks, steps, adoptions;
};

// What an answer did to the clock; the host moves what it gave out so that nobody sees it.
struct clock_step { bool stepped; i64 cluster_ns, wall_ns; };   // by how much it is further now

void clock_begin(struct cluster_clock *c, u8 self, u64 id, u64 wall_ns, u64 local_ns);
u64 clock_local_span(const struct clock_line *line, u64 cluster_ns);   // rounded up
u64 clock_floor_stepped(u64 floor_ns, const struct clock_step *step);
u64 clock_error_ns(const struct cluster_clock *c, u64 local_ns);
void clock_member_up(struct cluster_clock *c, u8 node, u64 local_ns);
void clock_member_down(struct cluster_clock *c, u8 node);
// It asks, and says which clock it has.
void clock_asked(struct cluster_clock *c, u8 node, u64 id, u64 local_ns);
// At each tick. True: a question goes to c->peer now. up: members, this one included.
bool clock_tick(struct cluster_clock *c, u64 up, u64 local_ns);
// When clock_tick has something to do, local; ~0: not before something else is told to it.
u64 clock_next_ns(const struct cluster_clock *c, u64 up);
// True: the next question of the burst goes to c->peer at once.
bool clock_answered(struct cluster_clock *c, u8 node, const struct clock_answer *a, u64 up,
                    u64 local_ns, struct clock_step *step);
