// Process groups as job control sees them: one whose members' parents are all in it, or in other
// sessions, has nobody who could continue it when it stops (POSIX: an orphaned process group). So
// it does not stop by the keyboard or the terminal, and where it becomes one with a member that is
// stopped, it gets SIGHUP and SIGCONT. A parent on another node counts as one that can continue it,
// but for that node's init, which has a session of its own.
// Lock: proc_lock.
#include "kernel/groups.h"

#include "kernel/signal.h"
#include "kernel/x86/cpu.h"

#define PID_NODE_SHIFT 16

static bool is_member(u32 i, u32 pgid) {
    const enum proc_state s = procs[i].state;
    const bool lives = s != PROC_FREE && s != PROC_ZOMBIE && s != PROC_NEW && s != PROC_AWAY;
    return lives && proc_descs[i].pgid == pgid;
}

static bool is_init(u32 pid) { return (pid & ((1u << PID_NODE_SHIFT) - 1)) == 1; }

// Whether somebody outside the group, but of its session, is this member's parent. `but` counts
// as gone.
static bool has_outside_parent(const struct proc_desc *d, const struct proc *but) {
    const struct proc *parent = proc_find(d->ppid);
    if (!parent) return d->ppid != 0 && (!is_init(d->ppid) || d->sid == d->ppid);
    if (parent == but || parent->state == PROC_ZOMBIE) return false;
    return proc_desc(parent)->sid == d->sid && proc_desc(parent)->pgid != d->pgid;
}

static bool orphaned(u32 pgid, const struct proc *but) {
    for (u32 i = 0; i < proc_end; i++) {
        if (&procs[i] == but || !is_member(i, pgid)) continue;
        if (has_outside_parent(&proc_descs[i], but)) return false;
    }
    return true;
}

bool group_is_orphaned_locked(u32 pgid) { return orphaned(pgid, NULL); }

bool group_is_orphaned(u32 pgid) {
    spin_lock(&proc_lock);
    const bool is = orphaned(pgid, NULL);
    spin_unlock(&proc_lock);
    return is;
}

// The session that a group is of; 0: it has no member here.
u32 group_session(u32 pgid) {
    u32 sid = 0;
    spin_lock(&proc_lock);
    for (u32 i = 0; i < proc_end && !sid; i++)
        if (is_member(i, pgid)) sid = proc_descs[i].sid;
    spin_unlock(&proc_lock);
    return sid;
}

// Whether setpgid of the process d is to succeed. E_SRCH: it is neither the asker nor a child of
// it; E_PERM: of another session, leads one, or the group is of another or nobody's; E_ACCES: a
// child that has executed a program. proc_lock held, or the asker's own.
status_t group_may_set(const struct proc_desc *d, const struct group_wish *wish) {
    if (d->pid != wish->asker) {
        if (d->ppid != wish->asker) return E_SRCH;
        if (d->sid != wish->sid) return E_PERM;
        if (!(d->flags & PROC_FLAG_FORKED)) return E_ACCES;
    }
    if (d->sid == d->pid) return E_PERM;
    return wish->pgid != d->pid && wish->group_sid != d->sid ? E_PERM : S_OK;
}

static bool has_stopped(u32 pgid) {
    for (u32 i = 0; i < proc_end; i++)
        if (is_member(i, pgid) && procs[i].state == PROC_STOPPED) return true;
    return false;
}

static void tell(u32 pgid, u32 sig) {
    for (u32 i = 0; i < proc_end; i++)
        if (is_member(i, pgid))
            signal_raise_locked(&procs[i], sig, (struct signal_info){.code = SI_KERNEL});
}

// p ends, and its children still name it as their parent. Those groups that lose with it the last
// one who could continue them, and have a member that is stopped, are told.
void groups_parent_ends_locked(struct proc *p) {
    const struct proc_desc *me = proc_desc(p);
    for (u32 i = 0; i < proc_end; i++) {
        const struct proc_desc *d = &proc_descs[i];
        const bool own = d == me;
        if (!is_member(i, d->pgid) || (!own && d->ppid != me->pid)) continue;
        if (!own && (d->pgid == me->pgid || d->sid != me->sid)) continue;
        if (own && !has_outside_parent(me, NULL)) continue;
        if (!has_stopped(d->pgid) || !orphaned(d->pgid, p)) continue;
        tell(d->pgid, SIGHUP);
        tell(d->pgid, SIGCONT);
    }
}
