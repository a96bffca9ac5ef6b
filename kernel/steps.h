// The named steps of a migration, at which a test may stop a node for a moment and then pull
// its plug, or another's: kernel option hold.at=STEP.
#pragma once

#include "base/types.h"

enum step {
    STEP_NONE,
    STEP_FROZEN,      // giver: frozen at the edge of user mode
    STEP_OFFERED,     // giver: QUEUED, the entry is on its way
    STEP_PREPARED,    // taker: ADOPTING, its place is made
    STEP_STARTED,     // taker: RUNNING, before the first user instruction
    STEP_GIVEN,       // giver: has seen that
    STEP_PAGE,        // taker: the first page is here
    STEP_DRAINED,     // taker: names no frame of the giver any more
    STEP_FREED,       // giver: gives the image back
    STEPS,
};
const char *step_name(enum step step);   // options.c
void step_hold(enum step step);      // any context and lock: this CPU stands still
static inline void step_reached(enum step at, enum step wanted) {
    if (__builtin_expect(at == wanted, 0)) step_hold(at);
}
