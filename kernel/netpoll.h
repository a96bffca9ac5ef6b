// The one loop that pulls from the cards. Called at the kernel's edge.
#pragma once

#include "base/types.h"

// Polls until nothing is left or the budget is used up (then EDGE_NETPOLL stays set).
// Where another CPU has net_lock, leaves the work to it. No lock held on entry.
void netpoll(void);
// For all who use verbs outside netpoll: take the lock, post; giving it back sends what
// was posted (at this CPU's edge) and picks up what another CPU left undone.
void netpoll_lock(void);
void netpoll_unlock(void);
// Interrupt context: asks this CPU's edge to poll.
void netpoll_irq(void *card);
