// Finding processes by pid, and what is kept back of the table (kernel/proc_index.c).
#pragma once

#include "kernel/proc.h"

#define PROC_RESERVE 32u                 // places that only leaders of sessions may take
#define PROC_FORK_FRAMES 16u             // below total / this many free frames, only they fork

void proc_index_set(struct proc *p, u32 pid);    // proc_lock held
bool proc_may_fork_locked(const struct proc *parent);   // proc_lock held
