// Remote fork. Contracts stand above the definitions in kernel/remote_fork.c.
#pragma once

#include "kernel/proc.h"

status_t remote_fork_choose(u32 asker_pid, u32 pid, const char *text);
status_t remote_fork_check(struct proc *parent);
void remote_fork_go(struct proc *child, struct proc *parent);
