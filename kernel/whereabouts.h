// Which node a process is on, and what is told across nodes about one: moved, ended,
// signalled. Truth is the owner word; what is kept here are hints (docs/ARCHITECTURE.md).
#pragma once

#include "kernel/proc.h"
#include "proto/cluster/cluster_msg.h"
#include "proto/cluster/where.h"

void whereabouts_init(void);
// Where pid is, as far as this node can say. proc_lock held.
struct where_found where_look(u32 pid);
// What it has of it, and the stay of that. proc_lock held.
void where_see(u32 pid, struct where_seen *seen, u64 *stay);
// It went to `node` for its `stay`th stay. proc_lock held.
void where_set(u32 pid, u8 node, u64 stay);
void where_heard(u32 pid, u32 node, u64 stay);       // the same, by hearsay; proc_lock held
// pid has just left this node; and who did a short while ago, at most `size`: a listing that asks
// the nodes in turn would else miss one that went to a node asked before. proc_lock held.
#define WHERE_LEFT_NS 3000000000ull                  // a listing of all nodes is made by then
void where_left(u32 pid);
u32 where_left_lately(u32 *pids, u32 size);
void where_forget(u32 pid);                          // it has ended; proc_lock held
// It runs here now: the members are told. net_lock held, proc_lock not.
void where_tell_here(const struct proc_desc *d);
// Whether an image of pid here is of one that another node has or takes, or pid is coming here: who
// asks for its figures waits for where_wait. proc_lock held.
bool where_leaves(u32 pid);
bool where_comes(u32 pid);
// The caller waits until one of these has come, or stays where it was. S_RESTART. files_lock held.
status_t where_wait(void);
// One that was on its way is not any more. Any lock.
void where_settled(void);
// It runs here, new or again: so do its children's ends reach it. proc_lock held.
void where_runs(struct proc *p);
// It ends here: its children elsewhere get init for a parent. proc_lock held.
void where_ended(const struct proc *p);
void where_peer_down(u8 node);                       // net_lock held

// p, frozen here till now, lives on another node: its parent may be here. proc_lock held.
void child_away_add(struct proc *p);
// pid died with its node. proc_lock held.
void child_lost(u32 pid);
bool child_waits(u32 pid);           // a child elsewhere that has not ended; proc_lock held
bool end_is_told(u32 pid);           // pid ended here, its parent elsewhere; proc_lock held
// Children elsewhere that are in a group, one after the other: `next` is 0 to begin with.
struct away_member { u32 next, ppid, sid; };
bool child_away_next(u32 pgid, struct away_member *m);       // proc_lock held
// Parent moved: its children known here are told to its new node. net_lock held.
void children_tell(u32 ppid, u8 node);

// Sends what proc_lock holders left to send; repeats exits not acknowledged. net_lock.
void whereabouts_poll(u64 now_ns);
bool whereabouts_waits(void);
u64 whereabouts_deadline_ns(u64 now_ns);
