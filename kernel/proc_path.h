// /proc of the whole cluster, as kernel/path.c walks and opens it: what each node serves of
// its own processes, joined here.
#pragma once

#include "kernel/files/object.h"
#include "kernel/proc.h"

// The mode of /proc/PID of a process that this node does not have: it knows where it is, no
// more. Its own node shows it with 0555.
#define PROC_DIR_AWAY (S_IFDIR | 0111u)

// Does a walk have come to a process elsewhere? c: the walk from /proc.
bool proc_path_is_away(const struct p9_call *c);
// Walks on to its directory on the node that has it. c->made: a reference, or none.
status_t proc_path_follow(struct p9_call *c);
// Is there such a process on another node, and whose is it? For kill.
status_t proc_path_owner(u32 pid, u32 *uid);
// Opens /proc itself, so that it lists the processes of all nodes.
status_t proc_path_open(struct p9_call *c);
