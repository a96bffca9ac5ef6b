// Children of vfork. Contracts stand above the definitions in kernel/vfork.c.
#pragma once

#include "kernel/proc.h"

status_t vfork_wait(struct proc *parent, u32 child_pid);
bool vfork_holds(struct proc *child, struct proc *parent);
void vfork_begin_held(struct proc *parent);
void vfork_done(struct proc *child);
void vfork_done_locked(struct proc *child);
void vfork_give_back(struct proc *child, struct proc_desc *space);
