// Signals: numbers as Linux x86-64 has them, raising, and delivery at the edge.
#pragma once

#include "kernel/proc.h"

enum {
    SIGHUP = 1, SIGINT = 2, SIGQUIT = 3, SIGILL = 4, SIGTRAP = 5, SIGABRT = 6, SIGBUS = 7,
    SIGFPE = 8, SIGKILL = 9, SIGSEGV = 11, SIGPIPE = 13, SIGALRM = 14, SIGTERM = 15,
    SIGCHLD = 17, SIGCONT = 18, SIGSTOP = 19, SIGTSTP = 20, SIGTTIN = 21, SIGTTOU = 22,
    SIGURG = 23, SIGVTALRM = 26, SIGPROF = 27, SIGWINCH = 28, SIGSYS = 31,
};
enum {
    SI_USER = 0, SI_KERNEL = 0x80, SI_QUEUE = -1, SI_TIMER = -2, SI_TKILL = -6, CLD_EXITED = 1,
    CLD_KILLED = 2, CLD_STOPPED = 5, CLD_CONTINUED = 6, SEGV_MAPERR = 1, BUS_ADRERR = 2,
};
enum {
    SA_NOCLDSTOP = 1, SA_NOCLDWAIT = 2, SA_SIGINFO = 4, SA_RESTORER = 0x04000000,
    SA_ONSTACK = 0x08000000, SA_RESTART = 0x10000000, SA_NODEFER = 0x40000000,
};
#define SA_RESETHAND 0x80000000u
#define SIG_DFL 0ull
#define SIG_IGN 1ull
#define SIGNAL_BIT(n) (1ull << ((n) - 1))

#define SIGNAL_REAL_TIME 32u         // from here on they queue
// Whether a siginfo of that code has a value where others have a status.
#define SIGNAL_HAS_VALUE(code) ((code) < 0 && (code) != SI_TKILL)

struct signal_info {
    i32 code, pid, uid, status;
    u64 value;                       // si_addr or si_value
};

void signal_raise_locked(struct proc *p, u32 sig, struct signal_info info);   // proc_lock held
void signal_raise(struct proc *p, u32 sig, struct signal_info info);
void signal_raise_thread_locked(struct thread *t, u32 sig, struct signal_info info);
u32 signal_raise_group_locked(u32 pgid, u32 sig, struct signal_info info);
u32 signal_raise_group(u32 pgid, u32 sig, struct signal_info info);   // how many got it
void signal_force(struct proc *p, u32 sig, struct signal_info info);  // of a fault
void signal_child_stopped(struct proc *parent, struct signal_info info);
status_t signal_queue_locked(struct proc *p, u32 sig, struct signal_info info);
void signal_told_locked(struct proc *p, u32 sig);
void signal_taken_locked(struct proc *p, u64 *from, u32 sig);
bool signal_deliver(struct proc *p);         // at the edge; false: p no longer runs
bool signal_ends_wait(const struct proc *p);
bool signal_has_work(const struct proc *p);
bool signal_is_deliverable(const struct proc *p);         // to its running thread
bool signal_is_deliverable_to(const struct thread *t);
status_t signal_return(struct proc *p);      // rt_sigreturn
bool signal_ignored(const struct proc *p, u32 sig);
bool signal_is_deaf(const struct proc *p, u32 sig);      // its running thread
