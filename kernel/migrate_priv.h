// What kernel/migrate.c and kernel/move_request.c share.
#pragma once

#include "kernel/migrate.h"

extern struct list_node migrate_moves;   // wanted, not yet given; proc_lock
// The request on p has come to an end: its asker is told. net_lock and proc_lock held.
void migrate_settle(struct proc *p, status_t status);
void move_request_poll(u64 now_ns);      // net_lock held
void move_request_wake(void);
void move_request_peer_down(u8 node);
