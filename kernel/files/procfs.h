// What the files of /proc share. See procfs.c.
#pragma once

#include "kernel/files/synth.h"
#include "kernel/proc.h"

#define PROC_TICKS_PER_S 100u
#define NS_PER_TICK ((u64)(NS_PER_S / PROC_TICKS_PER_S))

// One that this node has, or whose frozen image. proc_lock held.
struct proc *proc_here(u64 pid);
extern const struct synth_entry proc_kernel_files[];     // of /proc itself; name NULL ends them

// Opens /proc with the processes of all nodes in it: c->data names those of the others.
status_t proc_list_open(struct object *root, struct p9_call *c);
// The numbers of this node's processes. Returns how many. files_lock held.
u32 proc_list_here(u32 *pids, u32 size);
