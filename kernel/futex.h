// Futexes: threads that wait for a word of user memory to change. Contracts stand above the
// definitions in kernel/futex.c.
#pragma once

#include "kernel/proc.h"

void futex_wake_at(struct proc *p, u64 uva, u32 count);
void futex_init(void);                          // boot, before cluster_init
void futex_tell(const u64 key[2], u32 count, u32 bits);              // kernel/futex_tell.c
u32 futex_wake_told(const u64 key[2], u32 count, u32 bits);
bool futex_was_woken(struct proc *p);
status_t futex_robust_exit(struct proc *p, u64 list, u32 tid);
