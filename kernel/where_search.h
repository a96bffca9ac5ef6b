// The search for children whose node died. net_lock held everywhere.
#pragma once

#include "proto/cluster/cluster_msg.h"
#include "proto/cluster/where.h"

// pid, a child of a process here that runs elsewhere, was or may have been on `gone`, which is
// fenced: it is looked for, and ended if it is nowhere. proc_lock held.
void search_begin(u32 pid, u8 gone);
void search_end(u32 pid);            // it came here; proc_lock held
// The dead node that pid is looked for since; WHERE_NONE: it is not. proc_lock held.
u8 search_gone(u32 pid);
void search_poll(u64 now_ns);
bool search_waits(void);
u64 search_deadline_ns(void);
void search_rx_asked(u8 from, const struct cluster_msg *m);
void search_rx_told(u8 from, const struct cluster_msg *m);
