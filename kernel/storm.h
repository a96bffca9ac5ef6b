// A test's storm of moves: kernel option storm=SEED, and `echo storm > /proc/PID/node` for a
// process of this node. From then on it, and what it forks, goes to another node, drawn at random,
// after every 5 to 50 ms of its own CPU time, by the ordinary way; each at most N times with the
// option storm.moves=N. docs/reference/programs.md.
#pragma once

#include "kernel/proc.h"

status_t storm_begin(u32 pid);                   // files_lock held
void storm_fork(struct proc *child, const struct proc *parent);
// At the edge of a process in a storm: asks for its move where it is due. No lock held.
void storm_edge(struct proc *p);
u64 storm_due_ns(const struct proc *p);          // when it has used so much; for the CPU's timer
void storm_ended(const struct proc *p);          // says in the log how often it moved
static inline bool storm_has(const struct proc *p) {
    return (proc_desc(p)->flags & PROC_FLAG_STORM) != 0;
}
