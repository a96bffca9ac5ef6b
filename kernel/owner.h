// The owner words of this node's descriptor table: the truth about who may run the
// process in each place (base/owner.h, docs/ARCHITECTURE.md).
#pragma once

#include "base/owner.h"
#include "kernel/proc.h"

// Random epochs for all places; words FREE. After proc_init, before the first process.
void owner_init(void);
u64 proc_owner_word(const struct proc *p);
