// Which node a process is on, and what is told across nodes about one: moved, ended,
// signalled. Truth is the owner word; what is kept here are hints (DESIGN 3).
#pragma once

#include "kernel/proc.h"
#include "proto/cluster/cluster_msg.h"

#define WHERE_NONE 0xff

void whereabouts_init(void);
// The node that runs pid, as far as known here. proc_lock held.
u8 where_pid(u32 pid);
// Somebody has told where pid is: where_pid is more than a guess. proc_lock held.
bool where_told(u32 pid);
// It runs on `node` now (WHERE_NONE: it ended). proc_lock held.
void where_set(u32 pid, u8 node);
// The same, and tells the other members. net_lock held, proc_lock not.
void where_tell(u32 pid, u8 node);
void where_peer_down(u8 node);                       // net_lock held

// A child whose parent is or was here lives on another node. proc_lock held.
void child_away_add(const struct proc_desc *d);
// It is here again. proc_lock held.
void child_back(u32 pid);
// pid died with `node`. proc_lock held.
void child_lost(u32 pid, u8 node);
// Parent moved: its children known here are told to its new node. net_lock held.
void children_tell(u32 ppid, u8 node);

// Sends what proc_lock holders left to send; repeats exits not acknowledged. net_lock.
void whereabouts_poll(u64 now_ns);
u64 whereabouts_deadline_ns(u64 now_ns);
