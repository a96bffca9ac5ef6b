// The named steps of a migration, at which a test may stop a node for a moment and then pull
// its plug, or another's: kernel options hold.at=STEP and, for programs of one name alone,
// hold.name=NAME (of steps that are some process's).
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
    STEP_BORROWED,    // taker: a child made in the drain reads of the lenders too
    STEP_REPAID,      // taker: no such child needs them any more
    STEP_AHEAD,       // giver: a copy that goes ahead is offered
    STEP_COPIED,      // taker: all of it has come
    STEP_CAUGHT_UP,   // giver: has heard that
    STEP_WAKING,      // a wake of a futex is to be told to others; of no process, as the rest
    STEP_WOKEN,       // one was told
    STEP_RECALLED,    // a shared page's mappings here are about to go
    STEP_FETCHED,     // its bytes have come
    STEPS,
};
const char *step_name(enum step step);   // options.c
// Any context and lock: this CPU stands still. name: of the process; NULL: of none.
void step_hold(enum step step, const char *name);
static inline void step_reached(enum step at, enum step wanted, const char *name) {
    if (__builtin_expect(at == wanted, 0)) step_hold(at, name);
}
