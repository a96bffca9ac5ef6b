// Which nodes' CPUs have what a process may have chosen by (docs/reference/clocks.md).
#pragma once

#include "base/status.h"
#include "kernel/proc_desc.h"

void may_run_init(void);                             // boot, after the CPUs' features
const struct cpu_caps *may_run_own(void);            // this node's; any context
void may_run_peer(u8 node, const struct cpu_caps *caps);     // its keys came; net_lock
// A node of 0..NODES_MAX - 1 that is up; any context.
bool may_run_on(const struct proc_desc *d, u32 node);
// Of the nodes in `up`, those that may_run_on says can; any context.
u64 may_run_mask(const struct proc_desc *d, u64 up);
// E_OPNOTSUPP where that node (NODE_ANY: some member) cannot; the log names what it lacks.
status_t may_run_check(const struct proc_desc *d, u8 target);
// At the edge of a program that has not run yet: it sees this node's CPU from now on.
void may_run_begin(struct proc_desc *d);
// Appends a line for each member of `up` that lacks something of what it needs.
u64 may_run_lacks(const struct proc_desc *d, u64 up, char *to, u64 size);
// The features line of /nodes/N/status. Returns its length; any lock but status's.
u64 may_run_text(u32 node, char *to, u64 size);
