// System calls on processes: fork, execve, exit, wait4, ids, groups and sessions, limits.
#include "base/string.h"
#include "kernel/exec.h"
#include "kernel/family.h"
#include "kernel/signal.h"
#include "kernel/syscall/syscall.h"
#include "kernel/thread.h"
#include "kernel/vfork.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/msr.h"
#include "mm/kmem.h"

#define SIGCHLD_FLAG 17u
#define CLONE_VFORK_FLAG 0x4000u
#define CLONE_THREAD_FLAG 0x10000u

// wait.scratch[0] holds the child's pid while a vfork parent waits (step 1).
static i64 fork_with(struct proc *p, const struct fork_args *args) {
    struct proc_wait *w = &proc_desc(p)->wait;
    u32 pid;
    if (w->step == 0) {
        status_t s = proc_fork(p, args, &pid);
        if (s != S_OK || !(args->flags & CLONE_VFORK_FLAG)) return s == S_OK ? (i64)pid : s;
        w->step = 1;
        w->scratch[0] = pid;
    }
    pid = (u32)w->scratch[0];
    return vfork_wait(p, pid) == S_RESTART ? S_RESTART : (i64)pid;
}
SYSCALL(fork) { UNUSED(a); return fork_with(p, &(struct fork_args){.flags = SIGCHLD_FLAG}); }
SYSCALL(vfork) {
    UNUSED(a);
    return fork_with(p, &(struct fork_args){.flags = SIGCHLD_FLAG | CLONE_VFORK_FLAG});
}
static i64 clone_with(struct proc *p, const struct fork_args *args) {
    u32 tid;
    if (!(args->flags & CLONE_THREAD_FLAG)) return fork_with(p, args);
    status_t s = thread_clone(p, args, &tid);
    return s == S_OK ? (i64)tid : s;
}
SYSCALL(clone) {
    return clone_with(p, &(struct fork_args){a[0], a[1], a[2], a[3], a[4]});
}

// struct clone_args of Linux's clone3, as far as its first version goes.
struct clone_args { u64 flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls; };
SYSCALL(clone3) {
    struct clone_args c;
    if (a[1] < sizeof c) return E_INVAL;
    status_t s = user_read(p, a[0], &c, sizeof c);
    if (s != S_OK) return s;
    if ((c.flags & 0xff) || c.exit_signal > SIGNAL_COUNT) return E_INVAL;
    if (c.stack >= USER_END || c.stack_size > USER_END - c.stack) return E_INVAL;
    if ((c.stack == 0) != (c.stack_size == 0)) return E_INVAL;
    return clone_with(p, &(struct fork_args){
        c.flags | c.exit_signal, c.stack + c.stack_size, c.parent_tid, c.child_tid, c.tls});
}

static status_t copy_words(struct proc *p, u64 uva, struct exec_args *args, u32 *count) {
    for (*count = 0; uva; ++*count, uva += 8) {
        u64 word;
        status_t s = user_read(p, uva, &word, 8);
        if (s != S_OK) return s;
        if (!word) return S_OK;
        s = user_read_string(p, word, args->bytes + args->len, args->size - args->len);
        if (s != S_OK) return s == E_NAMETOOLONG ? E_2BIG : s;
        args->len += (u32)strlen(args->bytes + args->len) + 1;
        if (args->len >= args->size) return E_2BIG;
    }
    return S_OK;
}

static i64 do_exec(struct proc *p, i32 dirfd, u64 name_uva, u64 argv, u64 envp) {
    struct exec_args args;
    char *name = kmem_alloc(P9_PATH_MAX);
    status_t s = name ? exec_args_alloc(&args) : E_NOMEM;
    if (s == S_OK) {
        s = user_read_string(p, name_uva, name, P9_PATH_MAX);
        if (s == S_OK) s = copy_words(p, argv, &args, &args.argc);
        if (s == S_OK) s = copy_words(p, envp, &args, &args.envc);
        if (s == S_OK) s = exec_program(p, dirfd, name, &args);
        exec_args_free(&args);
    }
    if (name) kmem_free(name, P9_PATH_MAX);
    return s == S_OK ? SYSCALL_REGS_SET : s;
}
SYSCALL(execve) { return do_exec(p, AT_FDCWD, a[0], a[1], a[2]); }
SYSCALL(execveat) { return do_exec(p, (i32)a[0], a[1], a[2], a[3]); }

SYSCALL(exit_group) {
    const status_t s = proc_try_exit(p, (i32)(a[0] & 0xff) << 8);
    return s == S_RESTART ? s : SYSCALL_ENDED;
}
SYSCALL(exit) {
    const struct proc_desc *d = proc_desc(p);
    const i32 status = (i32)(a[0] & 0xff) << 8;
    if (d->thread_count > 1) {
        status_t s = thread_exit(p, status);
        if (s == S_RESTART) return s;
        if (s != S_OK) proc_exit(p, SIGKILL);    // no memory to go on with another thread
        return SYSCALL_ENDED;
    }
    const status_t s = proc_try_exit(p, d->tid == d->pid ? status : d->leader_code);
    return s == S_RESTART ? s : SYSCALL_ENDED;
}

struct rusage { u64 utime_s, utime_us, stime_s, stime_us, rest[14]; };
static struct rusage usage_of(u64 cpu_ns) {
    return (struct rusage){.utime_s = cpu_ns / NS_PER_S, .utime_us = cpu_ns % NS_PER_S / 1000};
}

SYSCALL(wait4) {
    const u32 options = (u32)a[2];
    const u32 events = WAIT_UNTRACED | WAIT_CONTINUED;
    if (options & ~(events | WAIT_NOHANG | WAIT_CLONES)) return E_INVAL;
    status_t s = a[1] ? user_pin(p, a[1], 4, ACCESS_WRITE) : S_OK;
    if (s == S_OK && a[3]) s = user_pin(p, a[3], sizeof(struct rusage), ACCESS_WRITE);
    if (s != S_OK) return s;
    struct child_end end;
    s = proc_wait_child(p, (i32)a[0], options | WAIT_EXITED, &end);
    if (s != S_OK || end.pid == 0) return s;
    struct rusage r = usage_of(end.cpu_ns);
    if (a[1]) (void)user_write(p, a[1], &end.status, 4);
    if (a[3]) (void)user_write(p, a[3], &r, sizeof r);
    return end.pid;
}

SYSCALL(waitid) {
    static const i64 any = -1;
    const u32 options = (u32)a[3];
    const u32 events = WAIT_EXITED | WAIT_UNTRACED | WAIT_CONTINUED;
    if (!(options & events)) return E_INVAL;
    if (options & ~(events | WAIT_NOHANG | WAIT_NOWAIT | WAIT_CLONES)) return E_INVAL;
    if (a[0] > 2 || (a[0] == 1 && (i32)a[1] <= 0) || (a[0] == 2 && (i32)a[1] < 0)) return E_INVAL;
    const i64 which = a[0] == 0 ? any : a[0] == 1 ? (i32)a[1] : -(i64)(i32)a[1];
    status_t s = a[2] ? user_pin(p, a[2], 128, ACCESS_WRITE) : S_OK;
    if (s == S_OK && a[4]) s = user_pin(p, a[4], sizeof(struct rusage), ACCESS_WRITE);
    if (s != S_OK) return s;
    struct child_end end;
    s = proc_wait_child(p, which, options, &end);
    if (s != S_OK) return s;
    i32 info[32] = {0};
    if (end.pid) {
        const i32 sig = end.status & 0x7f;
        const bool on = end.status == WAIT_STATUS_CONTINUED, stopped = (end.status & 0xff) == 0x7f;
        info[0] = SIGCHLD;
        info[2] = on ? CLD_CONTINUED : stopped ? CLD_STOPPED : sig ? CLD_KILLED : CLD_EXITED;
        info[4] = (i32)end.pid;
        info[6] = on ? SIGCONT : stopped || !sig ? end.status >> 8 & 0xff : sig;
    }
    const struct rusage r = usage_of(end.cpu_ns);
    if (end.pid && a[4]) (void)user_write(p, a[4], &r, sizeof r);
    return a[2] ? user_write(p, a[2], info, sizeof info) : 0;
}

SYSCALL(getpid) { UNUSED(a); return proc_desc(p)->pid; }
SYSCALL(gettid) { UNUSED(a); return proc_desc(p)->tid; }
SYSCALL(getppid) { UNUSED(a); return proc_desc(p)->ppid; }

SYSCALL(setpgid) {
    const u32 pid = (u32)a[0] ? (u32)a[0] : proc_desc(p)->pid;
    const u32 pgid = (u32)a[1] ? (u32)a[1] : pid;
    if ((i32)a[1] < 0) return E_INVAL;
    return family_set_group(p, pid, pgid);
}
static i64 group_of(struct proc *p, u32 pid, bool session) {
    u32 pgid = proc_desc(p)->pgid, sid = proc_desc(p)->sid;
    const status_t s = pid ? family_get(pid, &pgid, &sid) : S_OK;
    return s != S_OK ? (i64)s : session ? (i64)sid : (i64)pgid;
}
SYSCALL(getpgid) { return group_of(p, (u32)a[0], false); }
SYSCALL(getpgrp) { UNUSED(a); return proc_desc(p)->pgid; }
SYSCALL(getsid) { return group_of(p, (u32)a[0], true); }
SYSCALL(setsid) {
    UNUSED(a);
    const status_t s = family_new_session(p);
    return s == S_OK ? (i64)proc_desc(p)->pid : s;
}

enum { ARCH_SET_GS = 0x1001, ARCH_SET_FS, ARCH_GET_FS, ARCH_GET_GS };
SYSCALL(arch_prctl) {
    struct proc_desc *d = proc_desc(p);
    if (a[0] == ARCH_GET_FS || a[0] == ARCH_GET_GS) {
        u64 v = rdmsr(a[0] == ARCH_GET_FS ? MSR_FS_BASE : MSR_KERNEL_GS_BASE);
        return user_write(p, a[1], &v, 8);
    }
    if (a[0] != ARCH_SET_FS && a[0] != ARCH_SET_GS) return E_INVAL;
    if (a[1] >= USER_END) return E_PERM;
    if (a[0] == ARCH_SET_FS) d->fs_base = a[1];
    else d->gs_base = a[1];
    wrmsr(a[0] == ARCH_SET_FS ? MSR_FS_BASE : MSR_KERNEL_GS_BASE, a[1]);
    return 0;
}
SYSCALL(set_tid_address) { proc_desc(p)->clear_child_tid = a[0]; return proc_desc(p)->tid; }
SYSCALL(set_robust_list) {
    if (a[1] != 24) return E_INVAL;
    proc_desc(p)->robust_list = a[0];
    return 0;
}

// Of the caller itself (pid 0 or its own tid).
SYSCALL(get_robust_list) {
    const u64 len = 24;
    if ((u32)a[0] && (u32)a[0] != proc_desc(p)->tid) return E_PERM;
    status_t s = user_write(p, a[1], &proc_desc(p)->robust_list, 8);
    return s == S_OK ? user_write(p, a[2], &len, sizeof len) : s;
}

enum { PR_SET_NAME = 15, PR_GET_NAME = 16 };
SYSCALL(prctl) {
    struct proc_desc *d = proc_desc(p);
    char name[PROC_NAME_MAX] = {0};
    if (a[0] == PR_GET_NAME) return user_write(p, a[1], d->name, sizeof d->name);
    if (a[0] != PR_SET_NAME) return E_INVAL;
    status_t s = user_read_string(p, a[1], name, sizeof name);
    if (s != S_OK && s != E_NAMETOOLONG) return s;
    name[sizeof name - 1] = 0;
    memcpy(d->name, name, sizeof name);
    return 0;
}

#define NPROC_MAX 0xffffffffull          // and above: no limit
static u64 limit_of(const struct proc_desc *d, u64 which) {
    if (which == 7) return d->rlimit_nofile;
    if (which == 3) return d->rlimit_stack;
    if (which == 4) return 0;                    // core files
    if (which == 6) return d->rlimit_nproc ? d->rlimit_nproc - 1 : ~0ull;
    return ~0ull;
}
static i64 limits(struct proc *p, u64 which, u64 set, u64 get) {
    struct proc_desc *d = proc_desc(p);
    if (which > 15) return E_INVAL;
    u64 now[2] = {limit_of(d, which), which == 7 ? HANDLES_MAX : ~0ull}, want[2];
    if (which == 3) now[1] = USER_STACK_MAX;
    status_t s = set ? user_read(p, set, want, sizeof want) : S_OK;
    if (s == S_OK && get) s = user_write(p, get, now, sizeof now);
    if (s != S_OK || !set) return s;
    if (want[0] > want[1]) return E_INVAL;
    if (which == 7 && want[1] > HANDLES_MAX) return E_PERM;
    if (which == 7) d->rlimit_nofile = want[0];
    if (which == 3) d->rlimit_stack = want[0];
    if (which == 6) d->rlimit_nproc = want[0] < NPROC_MAX ? (u32)want[0] + 1 : 0;
    return 0;
}
SYSCALL(prlimit64) {
    if ((u32)a[0] && (u32)a[0] != proc_desc(p)->pid) return E_PERM;
    return limits(p, a[1], a[2], a[3]);
}
SYSCALL(getrlimit) { return limits(p, a[0], 0, a[1]); }
SYSCALL(setrlimit) { return limits(p, a[0], a[1], 0); }
SYSCALL(getrusage) {
    const struct proc_desc *d = proc_desc(p);
    struct rusage r =
        usage_of((i32)a[0] == -1 ? d->account.children_ns
                                 : d->account.cpu_ns + time_now_ns() - p->run_start_ns);
    return user_write(p, a[1], &r, sizeof r);
}
