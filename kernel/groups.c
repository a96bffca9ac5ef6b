// Process groups as job control sees them: one whose members' parents are all in it, or in other
// sessions, has nobody who could continue it when it stops (POSIX: an orphaned process group). So
// it does not stop by the keyboard or the terminal, and where it becomes one with a member that is
// stopped, it gets SIGHUP and SIGCONT. What a node has says for certain which of its own processes
// are such parents, of members here and elsewhere (group_kept_locked). Whoever cannot ask the other
// nodes takes a parent there for one, but for that node's init, which has a session of its own.
// Lock: proc_lock.
#include "kernel/groups.h"

#include "kernel/signal.h"
#include "kernel/whereabouts.h"
#include "kernel/x86/cpu.h"

#define PID_NODE_SHIFT 16

static bool is_member(u32 i, u32 pgid) {
    const enum proc_state s = procs[i].state;
    const bool lives = s != PROC_FREE && s != PROC_ZOMBIE && s != PROC_NEW && s != PROC_AWAY;
    return lives && proc_descs[i].pgid == pgid;
}

static bool is_init(u32 pid) { return (pid & ((1u << PID_NODE_SHIFT) - 1)) == 1; }

// Whether this parent of a member is of another group of that session: KEEPS; it is not, or has
// ended, or is `but`, who counts as gone: ENDED; AWAY: it is not here.
enum parent { PARENT_ENDED, PARENT_KEEPS, PARENT_AWAY };
static enum parent parent_of(u32 ppid, u32 pgid, u32 sid, const struct proc *but) {
    const struct proc *parent = proc_find(ppid);
    if (!parent) return PARENT_AWAY;
    if (parent == but || parent->state == PROC_ZOMBIE) return PARENT_ENDED;
    const struct proc_desc *d = proc_desc(parent);
    return d->sid == sid && d->pgid != pgid ? PARENT_KEEPS : PARENT_ENDED;
}

// Whether somebody outside the group, but of its session, may be this member's parent.
static bool has_outside_parent(const struct proc_desc *d, const struct proc *but) {
    const enum parent parent = parent_of(d->ppid, d->pgid, d->sid, but);
    if (parent != PARENT_AWAY) return parent == PARENT_KEEPS;
    return d->ppid != 0 && (!is_init(d->ppid) || d->sid == d->ppid);
}

// Whether a process here has a child elsewhere that is a member, and keeps the group.
static bool kept_for_others(u32 pgid, const struct proc *but) {
    struct away_member m = {.next = 0};
    while (child_away_next(pgid, &m))
        if (parent_of(m.ppid, pgid, m.sid, but) == PARENT_KEEPS) return true;
    return false;
}

static bool orphaned(u32 pgid, const struct proc *but) {
    for (u32 i = 0; i < proc_end; i++) {
        if (&procs[i] == but || !is_member(i, pgid)) continue;
        if (has_outside_parent(&proc_descs[i], but)) return false;
    }
    return !kept_for_others(pgid, but);
}

// On its way from or to here: it counts at both ends.
static bool moves(u32 i) {
    return (procs[i].state == PROC_AWAY && procs[i].cl.frozen) ||
           (procs[i].state == PROC_NEW && procs[i].cl.in_cluster);
}

static bool moving_parent_keeps(u32 ppid, u32 pgid, u32 sid) {
    for (u32 i = 0; i < proc_end; i++) {
        const struct proc_desc *d = &proc_descs[i];
        if (moves(i) && d->pid == ppid && d->sid == sid && d->pgid != pgid) return true;
    }
    return false;
}

static bool keeps(u32 ppid, u32 pgid, u32 sid) {
    const enum parent parent = parent_of(ppid, pgid, sid, NULL);
    return parent == PARENT_AWAY ? moving_parent_keeps(ppid, pgid, sid) : parent == PARENT_KEEPS;
}

// Whether a process of this node keeps a group of that session from being orphaned. E_AGAIN:
// that is not known yet, for it came here a moment ago. proc_lock held.
status_t group_kept_locked(u32 pgid, u32 sid, bool *kept) {
    struct away_member m = {.next = 0};
    bool comes = false;
    *kept = false;
    for (u32 i = 0; i < proc_end && !*kept; i++) {
        const struct proc_desc *d = &proc_descs[i];
        if (procs[i].state == PROC_FREE) continue;
        comes |= procs[i].cl.children_coming && d->sid == sid && d->pgid != pgid;
        if (is_member(i, pgid) || (moves(i) && d->pgid == pgid))
            *kept = keeps(d->ppid, pgid, d->sid);
    }
    while (!*kept && child_away_next(pgid, &m)) *kept = keeps(m.ppid, pgid, m.sid);
    return *kept || !comes ? S_OK : E_AGAIN;
}

bool group_is_orphaned(u32 pgid) {
    spin_lock(&proc_lock);
    const bool is = orphaned(pgid, NULL);
    spin_unlock(&proc_lock);
    return is;
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

// It has nobody any more.
static void tell(u32 pgid) {
    signal_raise_group_locked(pgid, SIGHUP, (struct signal_info){.code = SI_KERNEL});
    signal_raise_group_locked(pgid, SIGCONT, (struct signal_info){.code = SI_KERNEL});
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
        tell(d->pgid);
    }
}

// The parent of p, of session sid, ended on another node: it has this one now.
void groups_parent_ended_locked(struct proc *p, u32 ppid, u32 sid) {
    struct proc_desc *d = proc_desc(p);
    d->ppid = ppid;
    if (d->sid == sid && has_stopped(d->pgid) && orphaned(d->pgid, NULL)) tell(d->pgid);
}
