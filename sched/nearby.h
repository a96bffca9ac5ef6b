// Which CPU of a node a process that wakes goes to, and whose queue an idle one takes from. CPUs
// whose numbers differ in low bits alone are neighbours: they share a core or a cache. Pure.
#pragma once

#include "base/types.h"

// What the CPUs do, 0 .. count - 1. Hints: it may have changed once they have answered.
struct nearby {
    u32 count;
    bool (*runs)(u32 cpu);           // a process
    u32 (*length)(u32 cpu);          // how many wait for it
};

// The one with the nth nearest number to that of `cpu`, n from 1 to nearby_span() - 1; it may be
// `count` or more.
static inline u32 nearby_nth(u32 cpu, u32 n) { return cpu ^ n; }
u32 nearby_span(u32 count);
u32 nearby_wake(const struct nearby *v, u32 last, u32 waker);
u32 nearby_victim(const struct nearby *v, u32 cpu);
