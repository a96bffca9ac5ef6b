// Process groups of job control. Contracts stand above the definitions in kernel/groups.c.
#pragma once

#include "kernel/proc.h"

bool group_is_orphaned(u32 pgid);
status_t group_kept_locked(u32 pgid, u32 sid, bool *kept);   // proc_lock held
void groups_parent_ended_locked(struct proc *p, u32 ppid, u32 sid);
void groups_parent_ends_locked(struct proc *p);

// What a process, `asker` of session `sid`, wants with another one or itself: that this is in the
// group pgid, which is of session group_sid (0: it has no member; its own where pgid is its pid).
struct group_wish { u32 asker, sid, pgid, group_sid; };
status_t group_may_set(const struct proc_desc *d, const struct group_wish *wish);
