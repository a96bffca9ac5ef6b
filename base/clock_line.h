// The line that the cluster's clock is on one node, and how the TSC becomes that node's time.
// Pure: kernel, vDSO and tests compute the same by it.
#pragma once

#include "base/types.h"

// cluster = cluster_ns + (local - local_ns) * (1 + rate_q32 / 2^32).
struct clock_line { u64 local_ns, cluster_ns; i64 rate_q32; };

// How much faster `ns` of this node's clock are by a rate.
static inline i64 clock_scale(u64 ns, i64 rate_q32) {
    return (i64)(((__int128)(i64)ns * rate_q32) >> 32);
}

// The cluster's time at a time of this node's clock, by that line.
static inline u64 clock_at(const struct clock_line *line, u64 local_ns) {
    const u64 since = local_ns - line->local_ns;
    return line->cluster_ns + since + (u64)clock_scale(since, line->rate_q32);
}

// What so many ticks of the TSC are in nanoseconds.
//   ns_per_tick_q32  32.32 fixed point
static inline u64 clock_ticks_ns(u64 ticks, u64 ns_per_tick_q32) {
    return (u64)(((unsigned __int128)ticks * ns_per_tick_q32) >> 32);
}
