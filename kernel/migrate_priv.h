// What kernel/migrate.c and kernel/move_request.c share.
#pragma once

#include "kernel/migrate.h"

extern struct list_node migrate_moves;   // wanted, not yet given; proc_lock
// The request on p has come to an end: its asker is told. net_lock and proc_lock held.
void migrate_settle(struct proc *p, status_t status);
// pid is here now or has left: requests that wait for that go on. proc_lock held.
void move_request_look(u32 pid);
// A node's id, or `any`, and the end of the line; with `rest` a word may follow, which begins at
// *rest. E_INVAL; E_NXIO: no such node can be.
status_t move_target_parse(const char *text, u8 *target, const char **rest);
// A copy of p's pages has gone ahead: p goes on until it has arrived. net_lock held; p is frozen.
void migrate_thaw_meanwhile(struct proc *p);
// p's move, which let it run on meanwhile, goes on: it is frozen. proc_lock held.
void migrate_freeze_again(struct proc *p);
// p, which has no pages any more, gives up its lenders and then its place. proc_lock held.
void migrate_forget(struct proc *p);
void migrate_place_free(struct proc *p);         // no lock held but net_lock
void move_request_poll(u64 now_ns);      // net_lock held
u64 move_request_deadline_ns(void);      // when to poll again
void move_request_wake(void);
void move_request_peer_down(u8 node);
