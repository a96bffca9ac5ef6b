// What kernel/migrate.c and kernel/move_request.c share.
#pragma once

#include "kernel/migrate.h"

extern struct list_node migrate_moves;   // wanted, not yet given; proc_lock
// The request on p has come to an end: its asker is told. net_lock and proc_lock held.
void migrate_settle(struct proc *p, status_t status);
// pid is here now or has left: requests that wait for that go on. proc_lock held.
void move_request_look(u32 pid);
// A node's id, or `any`, and the end of the line. E_INVAL; E_NXIO: no such node can be.
status_t move_target_parse(const char *text, u8 *target);
void move_request_poll(u64 now_ns);      // net_lock held
u64 move_request_deadline_ns(void);      // when to poll again
void move_request_wake(void);
void move_request_peer_down(u8 node);
