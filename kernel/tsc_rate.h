// How fast the TSC counts, by a counter of known rate. Pure but for the calls given to it.
#pragma once

#include "base/types.h"

// A counter that counts down once at hz and then says so: the PIT, or a test's.
struct tsc_rate_counter {
    u64 hz;
    u64 (*tsc)(void);
    void (*prepare)(u16 count);      // all but the last access that starts it
    void (*start)(u16 count);        // that one
    bool (*over)(void);              // one access
};

// The TSC's rate lies between; low 0: not known.
struct tsc_rate { u64 low_hz, high_hz; };

struct tsc_rate tsc_rate_measure(const struct tsc_rate_counter *counter);
