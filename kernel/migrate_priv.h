// What kernel/migrate.c, migrate_host.c and move_request.c share.
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
// p cannot be frozen yet: a call, a drain or children come first. Its CPU or proc_lock.
bool migrate_must_finish_first(const struct proc *p);
void migrate_place_free(struct proc *p);         // no lock held but net_lock
// Fills the host's table: migrate_host.c.
void migrate_host_fill(struct cluster_host *host);
// Names p's lenders in its descriptor. net_lock held.
void migrate_lenders_write(struct proc *p);
// p, which was frozen, runs here: ready, or stopped as it was. proc_lock held.
void migrate_goes_on(struct proc *p);
// p, which was not given for this reason, or came back out of the queue (S_OK), goes on here.
// net_lock held, proc_lock not.
void migrate_thaw(struct proc *p, status_t why);
// p, taken from the shared queue or not, runs here no more. proc_lock held.
void migrate_taken_less(struct proc *p);
void move_request_poll(u64 now_ns);      // net_lock held
u64 move_request_deadline_ns(void);      // when to poll again
void move_request_wake(void);
void move_request_peer_down(u8 node);
