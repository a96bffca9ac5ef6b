// Process groups of job control. Contracts stand above the definitions in kernel/groups.c.
#pragma once

#include "kernel/proc.h"

bool group_is_orphaned(u32 pgid);
bool group_is_orphaned_locked(u32 pgid);     // proc_lock held
u32 group_session(u32 pgid);
void groups_parent_ends_locked(struct proc *p);

// What a process, `asker` of session `sid`, wants with another one or itself: that this is in the
// group pgid, which is of session group_sid (0: it has no member; its own where pgid is its pid).
struct group_wish { u32 asker, sid, pgid, group_sid; };
status_t group_may_set(const struct proc_desc *d, const struct group_wish *wish);
