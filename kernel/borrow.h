// Forks of a process whose pages are still away. Contracts stand above the definitions in
// kernel/borrow.c.
#pragma once

#include "kernel/proc.h"

bool borrow_must_wait(struct proc *parent);
void borrow_reserve(struct proc *child, struct proc *parent);
void borrow_cancel(struct proc *child);
void borrow_start(struct proc *child);
void borrow_end(struct proc *p);
void borrow_hurry(struct proc *p);
void borrow_exec(struct proc *p);
void borrow_given_back(struct proc *parent, struct proc *child);
void borrow_lender_died(struct proc *holder, u32 node);
