// What kernel/placement.c and kernel/placement_exec.c share.
#pragma once

#include "kernel/placement.h"

#define PLACE_CHARGE_MAX_NS (200 * NS_PER_MS)    // of CPU time, at once

struct place_exec_choice {
    u64 ties;
    bool computes;                   // its last run was CPU-bound: it takes a unit
};
enum place_verdict placement_exec_decide(struct proc *p, const struct place_world *world,
                                         struct place_exec_choice *choice);
void placement_exec_ended(struct proc *p);       // proc_lock held
void placement_exec_tick(void);                  // net_lock held
void placement_exec_init(void);
// How many others would want the same CPU as one more process on `node`.
u32 placement_queue(u8 node);
