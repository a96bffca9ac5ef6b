// System calls on priorities: nice values and policies as weights of the fair queues
// (sched/fair.h). There is no real-time policy. Processes of this node alone.
#include "kernel/signal.h"
#include "kernel/syscall/syscall.h"

#define NICE_WIRE 20                     // getpriority gives 20 - nice: 1 to 40
enum { PRIO_PROCESS = 0, PRIO_PGRP, PRIO_USER };
enum { SCHED_FIFO = 1, SCHED_RR = 2 };
#define REAL_TIME_MAX 99
#define SCHED_ATTR_SIZE 48u              // the first version of struct sched_attr

static bool is_chosen(const struct proc *p, const struct proc *t, u32 which, u32 who) {
    const struct proc_desc *d = proc_desc(t), *me = proc_desc(p);
    if (t->state == PROC_FREE || t->state == PROC_NEW || t->state == PROC_AWAY) return false;
    if (which == PRIO_PROCESS) return d->pid == (who ? who : me->pid);
    if (which == PRIO_PGRP) return d->pgid == (who ? who : me->pgid);
    return d->uid == (who ? who : me->uid);
}

// Whether p may give t that nice value. proc_lock held.
static status_t may_renice(const struct proc *p, const struct proc *t, i32 nice) {
    const u32 uid = proc_desc(p)->euid;
    if (uid == 0) return S_OK;
    if (uid != proc_desc(t)->uid && uid != proc_desc(t)->euid) return E_PERM;
    return nice < proc_desc(t)->nice ? E_ACCES : S_OK;
}

static status_t renice(const struct proc *p, struct proc *t, i32 nice) {
    const status_t s = may_renice(p, t, nice);
    if (s == S_OK) proc_desc(t)->nice = (i8)nice;
    return s;
}

SYSCALL(setpriority) {
    const u32 which = (u32)a[0];
    const i32 nice = MAX(FAIR_NICE_MIN, MIN(FAIR_NICE_MAX, (i32)a[2]));
    if (which > PRIO_USER) return E_INVAL;
    i64 r = E_SRCH;
    spin_lock(&proc_lock);
    for (u32 i = 0; i < proc_end; i++) {
        if (!is_chosen(p, &procs[i], which, (u32)a[1])) continue;
        const status_t s = renice(p, &procs[i], nice);
        if (s != S_OK || r == E_SRCH) r = s;
    }
    spin_unlock(&proc_lock);
    return r;
}

SYSCALL(getpriority) {
    const u32 which = (u32)a[0];
    if (which > PRIO_USER) return E_INVAL;
    i64 r = E_SRCH;
    spin_lock(&proc_lock);
    for (u32 i = 0; i < proc_end; i++) {
        if (!is_chosen(p, &procs[i], which, (u32)a[1])) continue;
        r = MAX(r, (i64)NICE_WIRE - proc_desc(&procs[i])->nice);
    }
    spin_unlock(&proc_lock);
    return r;
}

// What a call on one process gives and takes.
struct sched_params { u32 policy; i32 nice; };

static status_t policy_check(u32 policy, i32 priority) {
    if (policy == SCHED_FIFO || policy == SCHED_RR)
        return priority < 1 || priority > REAL_TIME_MAX ? E_INVAL : E_PERM;
    if (policy != SCHED_OTHER && policy != SCHED_BATCH && policy != SCHED_IDLE) return E_INVAL;
    return priority != 0 ? E_INVAL : S_OK;
}

// The process of that number (0: the caller) as it is, then as `set` says where that is given.
static status_t with_process(struct proc *p, u32 pid, const struct sched_params *set,
                             struct sched_params *was) {
    if ((i32)pid < 0) return E_INVAL;
    spin_lock(&proc_lock);
    struct proc *t = pid ? proc_find(pid) : p;
    status_t s = t ? S_OK : E_SRCH;
    if (t) *was = (struct sched_params){proc_desc(t)->sched_policy, proc_desc(t)->nice};
    if (t && set) s = may_renice(p, t, set->nice);
    if (t && set && s == S_OK) {
        proc_desc(t)->sched_policy = (u8)set->policy;
        proc_desc(t)->nice = (i8)set->nice;
    }
    spin_unlock(&proc_lock);
    return s;
}

// Sets a policy and leaves the nice value.
static status_t policy_set(struct proc *p, u32 pid, u32 policy, i32 priority) {
    struct sched_params now;
    status_t s = policy_check(policy, priority);
    if (s == S_OK) s = with_process(p, pid, NULL, &now);
    const struct sched_params set = {policy, s == S_OK ? now.nice : 0};
    return s == S_OK ? with_process(p, pid, &set, &now) : s;
}

SYSCALL(sched_setscheduler) {
    i32 priority;
    const status_t s = user_read(p, a[2], &priority, sizeof priority);
    return s == S_OK ? policy_set(p, (u32)a[0], (u32)a[1], priority) : s;
}

SYSCALL(sched_setparam) {
    struct sched_params now;
    i32 priority;
    status_t s = user_read(p, a[1], &priority, sizeof priority);
    if (s == S_OK) s = with_process(p, (u32)a[0], NULL, &now);
    return s == S_OK ? policy_check(now.policy, priority) : s;
}

SYSCALL(sched_getscheduler) {
    struct sched_params now;
    const status_t s = with_process(p, (u32)a[0], NULL, &now);
    return s == S_OK ? (i64)now.policy : s;
}

SYSCALL(sched_getparam) {
    struct sched_params now;
    const i32 priority = 0;
    const status_t s = with_process(p, (u32)a[0], NULL, &now);
    return s == S_OK ? user_write(p, a[1], &priority, sizeof priority) : s;
}

static i64 priority_bound(u32 policy, i64 of_real_time) {
    if (policy == SCHED_FIFO || policy == SCHED_RR) return of_real_time;
    return policy_check(policy, 0);
}
SYSCALL(sched_get_priority_max) { UNUSED(p); return priority_bound((u32)a[0], REAL_TIME_MAX); }
SYSCALL(sched_get_priority_min) { UNUSED(p); return priority_bound((u32)a[0], 1); }

SYSCALL(sched_rr_get_interval) {
    struct sched_params now;
    const u64 slice[2] = {0, FAIR_SLICE_NS};
    const status_t s = with_process(p, (u32)a[0], NULL, &now);
    return s == S_OK ? user_write(p, a[1], slice, sizeof slice) : s;
}

struct sched_attr {
    u32 size, policy;
    u64 flags;
    i32 nice;
    u32 priority;
    u64 runtime, deadline, period;
};
_Static_assert(sizeof(struct sched_attr) == SCHED_ATTR_SIZE, "Linux's layout");

SYSCALL(sched_setattr) {
    struct sched_attr attr;
    struct sched_params was;
    if (a[2]) return E_INVAL;
    status_t s = user_read(p, a[1], &attr, sizeof attr);
    if (s != S_OK) return s;
    if (attr.size != 0 && attr.size < SCHED_ATTR_SIZE) return E_2BIG;
    if (attr.flags || attr.nice < FAIR_NICE_MIN || attr.nice > FAIR_NICE_MAX) return E_INVAL;
    s = policy_check(attr.policy, (i32)attr.priority);
    const struct sched_params set = {attr.policy, attr.nice};
    return s == S_OK ? with_process(p, (u32)a[0], &set, &was) : s;
}

SYSCALL(sched_getattr) {
    struct sched_params now;
    if (a[2] < SCHED_ATTR_SIZE || a[2] > PAGE_SIZE || a[3]) return E_INVAL;
    const status_t s = with_process(p, (u32)a[0], NULL, &now);
    const struct sched_attr attr = {.size = SCHED_ATTR_SIZE, .policy = now.policy,
                                    .nice = now.nice};
    return s == S_OK ? user_write(p, a[1], &attr, sizeof attr) : s;
}
