// System calls: what the dispatcher and the families share. A handler gets the process
// and six arguments and returns Linux's result; S_RESTART: the process waits, nothing
// has taken effect, the same call comes again.
#pragma once

#include "kernel/file.h"
#include "kernel/proc.h"
#include "kernel/uaccess.h"

#define SYSCALL_REGS_SET (-1000)     // the handler set the registers (rt_sigreturn, execve)
#define SYSCALL_ENDED (-1001)        // the process or its running thread has ended

#define SYSCALL_NOT_QUICK (-1002)    // entry_asm.h: a quick call is to go the whole way

typedef i64 (*syscall_fn)(struct proc *p, const u64 *a);
i64 syscall_dispatch(struct proc *p, u64 nr);

// kernel/syscall/dispatch.c
void wait_cancel(struct proc *p);    // it did not wait after all
void open_interrupted(struct proc *p);   // kernel/syscall/fs.c: a handler runs while it waits
// The call's absolute deadline: set from a relative time the first time round.
u64 call_deadline(struct proc *p, u64 relative_ns);
status_t user_timespec(struct proc *p, u64 uva, u64 *ns);
void temp_mask_set(struct proc *p, u64 mask);
// kernel/syscall/lock.c
i64 lock_record(struct proc *p, struct object_id object, u32 command, u64 uva);

#define SYSCALL(name)                                   \
    i64 sys_##name(struct proc *p, const u64 *a);       \
    i64 sys_##name(struct proc *p, const u64 *a)
// The direct way of a call, by kernel/x86/entry.S: a is not there.
#define DIRECT(name)                                    \
    i64 direct_##name(struct proc *p, const u64 *a);    \
    i64 direct_##name(struct proc *p, const u64 *a)
#define UNUSED(x) (void)(x)
