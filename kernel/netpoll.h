// The one loop that pulls from the cards. Called at the kernel's edge.
#pragma once

#include "base/types.h"

// Polls until nothing is left or the budget is used up (then EDGE_NETPOLL stays set).
// Where another CPU has net_lock, leaves the work to it. No lock held on entry.
void netpoll(void);
// Polls where a timer is due. At EDGE_TIMER and before halting.
void netpoll_timer(u64 now_ns);
// When netpoll_timer has something to do; ~0: never. For the CPU's timer. No lock.
u64 netpoll_deadline_ns(void);
// For all who use verbs outside netpoll: take the lock, post; giving it back sends what
// was posted (at this CPU's edge) and picks up what another CPU left undone.
void netpoll_lock(void);
void netpoll_unlock(void);
// Interrupt context: asks this CPU's edge to poll.
void netpoll_irq(void *unused);
