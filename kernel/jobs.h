// Job control of who uses a terminal, on any node. Contracts stand above the definitions in
// kernel/jobs.c.
#pragma once

#include "kernel/proc.h"
#include "proto/p9/p9.h"

struct p9_job job_of(const struct proc *p, u32 node);
status_t job_background(const struct p9_call *c);
status_t job_take_terminal(struct proc *p, struct object_id object, u64 steal);
status_t job_group_find(u8 *data, u32 *len_bytes);
