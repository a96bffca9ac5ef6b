// Process groups of job control. Contracts stand above the definitions in kernel/groups.c.
#pragma once

#include "kernel/proc.h"

bool group_is_orphaned(u32 pgid);
bool group_is_orphaned_locked(u32 pgid);     // proc_lock held
u32 group_session(u32 pgid);
void groups_parent_ends_locked(struct proc *p);
