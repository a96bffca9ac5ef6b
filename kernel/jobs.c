// Job control of who uses a terminal, on any node: what the terminal's node has to know of the
// caller travels with the call, and its answer that the caller is in the background becomes here,
// on the caller's node, a signal for the caller's group on all nodes.
// Called by system calls of the current process. Lock: proc_lock inside.
// Spec: POSIX.1 XBD 11.1.4; Linux's __tty_check_change for what it leaves open.
#include "kernel/jobs.h"

#include "base/string.h"
#include "kernel/family.h"
#include "kernel/files/terminal.h"
#include "kernel/signal.h"

// What a terminal on that node asks of its caller p.
struct p9_job job_of(const struct proc *p, u32 node) {
    const struct proc_desc *d = proc_desc(p);
    struct p9_job job = {d->pgid, d->sid, d->tty.generation ? P9_JOB_TERMINAL : 0};
    if (!job.bits || d->tty.node != node) return job;
    job.bits |= P9_JOB_NEAR;
    if (signal_is_deaf(p, SIGTTIN)) job.bits |= P9_JOB_DEAF_TTIN;
    if (signal_is_deaf(p, SIGTTOU)) job.bits |= P9_JOB_DEAF_TTOU;
    return job;
}

// The call was answered by S_BACKGROUND: the current process's group has the signal, and the call
// is made again behind that. c->result: proc.continued when the terminal was asked; where the
// process was continued since, it may be in the foreground, and only asks again.
// S_RESTART; E_IO, E_NOTTY of TIOCSPGRP: nobody would ever bring the group to the foreground.
status_t job_background(const struct p9_call *c) {
    struct proc *p = proc_current();
    struct proc_desc *d = proc_desc(p);
    bool kept;
    if (family_kept(p, &kept) == S_RESTART) return S_RESTART;
    if (!kept) return c->type == P9_TIOCTL && c->flags == TIOCSPGRP ? E_NOTTY : E_IO;
    spin_lock(&proc_lock);
    if ((u32)c->result == p->continued)
        signal_raise_group_locked(d->pgid, c->type == P9_TREAD ? SIGTTIN : SIGTTOU,
                                  (struct signal_info){.code = SI_KERNEL});
    spin_unlock(&proc_lock);
    d->wait.request_tag = 0;                     // what was asked so far is asked anew
    return S_RESTART;
}

// TIOCSCTTY: p, who leads its session, gets the terminal of that open description, on any node, as
// its own. steal: from another session, too. Errors: as ioctl_tty(2); S_RESTART.
status_t job_take_terminal(struct proc *p, struct object_id object, u64 steal) {
    struct proc_desc *d = proc_desc(p);
    struct object_id id = {0};
    struct p9_call c = {.type = P9_TIOCTL, .object = object, .flags = TIOCSCTTY, .value = steal,
                        .count = sizeof id, .data.buffer = &id};
    const status_t s = file_call(&c);
    if (s != S_OK) return s;
    spin_lock(&proc_lock);
    d->tty = id;
    d->tty_group = 0;
    spin_unlock(&proc_lock);
    return S_OK;
}

// TIOCSPGRP: puts beside the group in the data its session, wherever its members are; a process
// that leads none stands for one. S_RESTART.
status_t job_group_find(u8 *data, u32 *len_bytes) {
    struct terminal_group group;
    u32 pgid;
    memcpy(&group, data, sizeof group);
    group.sid = 0;
    if ((i32)group.pgid > 0) {
        status_t s = family_group(group.pgid, &group.sid);
        if (s == E_SRCH) s = family_get(group.pgid, &pgid, &group.sid);      // as Linux does
        if (s == S_RESTART) return s;
        if (s == E_SRCH) group.sid = TERMINAL_NO_PROCESS;
    }
    memcpy(data, &group, sizeof group);
    *len_bytes = sizeof group;
    return S_OK;
}
