// Groups and sessions of processes on any node. The descriptor is the truth, and so the node that
// has the process answers, by a file call on its /proc; a parent's node keeps what wait4 needs of
// children elsewhere (kernel/child_away.c) and is told before a child's group changes. Called by
// system calls of the current process, and answered for any node.
// Locks: proc_lock inside; family_answer has files_lock.
// Spec: setpgid(2), setsid(2); Linux for the order of errors.
#include "kernel/family.h"

#include "kernel/files/nodesfs.h"
#include "kernel/groups.h"
#include "kernel/whereabouts.h"
#include "kernel/whereabouts_priv.h"
#include "kernel/x86/cpu.h"

#define FOLLOW_MAX 8u                    // moves of a process during one request
#define LOOK_AGAIN_NS (1 * NS_PER_MS)    // how often one that is on its way is looked for

// In: pid as `value`; what is wanted, or the session of who asks. Out: what is; node: who has the
// process, where that is not who answers.
struct family_msg { u32 pid, pgid, sid, group_sid, node; };
#define KEPT 1u                          // node of the answer to FAMILY_KEPT

// --- answers ---------------------------------------------------------------------------------

// The session of a group, as far as processes here and children elsewhere tell; 0: no member is
// known. One that is on its way counts at both ends. proc_lock held.
static u32 group_here(u32 pgid) {
    for (u32 i = 0; i < proc_end; i++) {
        const enum proc_state state = procs[i].state;
        if (state == PROC_FREE || proc_descs[i].pgid != pgid) continue;
        if (state == PROC_NEW && !procs[i].cl.in_cluster) continue;
        if (state == PROC_AWAY && !procs[i].cl.frozen) continue;
        return proc_descs[i].sid;
    }
    return child_away_group(pgid);
}

// Whether a process here could continue a group of the session m->sid. proc_lock held.
static status_t kept_here(struct family_msg *m) {
    bool kept;
    const status_t s = group_kept_locked(m->pgid, m->sid, &kept);
    m->node = kept ? KEPT : 0;
    return s;
}

// For or of a process that is here. proc_lock held.
static status_t here(u32 op, u32 asker, struct family_msg *m) {
    struct proc *p = proc_find(m->pid);
    if (!p) return E_SRCH;
    struct proc_desc *d = proc_desc(p);
    if (op == FAMILY_CHILD) {
        if (p->cl.children_coming) return E_AGAIN;
        child_away_set(asker, m->pgid, m->sid);
        return S_OK;
    }
    if (op == FAMILY_SET) {
        const struct group_wish wish = {asker, m->sid, m->pgid, m->group_sid};
        const status_t s = group_may_set(d, &wish);
        if (s != S_OK) return s;
        d->pgid = m->pgid;
    }
    m->pgid = d->pgid;
    m->sid = d->sid;
    return S_OK;
}

// The same, or m->node says who has it. E_AGAIN: it moves; E_SRCH: it has ended. proc_lock held.
static status_t about(u32 op, u32 asker, struct family_msg *m) {
    const struct where_found found = where_look(m->pid);
    m->node = found.node;
    if (found.kind == WHERE_GONE) return E_SRCH;
    if (found.kind == WHERE_TRANSIT) return E_AGAIN;
    return found.kind == WHERE_HERE ? here(op, asker, m) : S_OK;
}

// A request to this node. Errors: those of setpgid; E_AGAIN; E_NOTTY: it is none. files_lock held.
status_t family_answer(struct p9_call *c) {
    struct family_msg m;
    if (c->flags < FAMILY_SET || c->flags > FAMILY_KEPT || c->count != sizeof m) return E_NOTTY;
    if (data_get(c, 0, &m, sizeof m) != sizeof m || m.pid != c->value) return E_NOTTY;
    status_t s = S_OK;
    spin_lock(&proc_lock);
    if (c->flags == FAMILY_GROUP) m.sid = group_here(m.pgid);
    else if (c->flags == FAMILY_KEPT) s = kept_here(&m);
    else s = about(c->flags, file_caller_pid(), &m);
    spin_unlock(&proc_lock);
    if (s == S_OK) data_put(c, 0, &m, sizeof m);
    return s;
}

// --- requests --------------------------------------------------------------------------------

static status_t look_again(void) {
    wait_until(proc_current(), time_now_ns() + LOOK_AGAIN_NS);
    return S_RESTART;
}

static status_t ask_node(u32 node, u32 op, struct family_msg *m) {
    struct p9_call c = {.type = P9_TIOCTL, .object = object_root_id(node, OBJECT_ROOT_PROC),
                        .flags = op, .value = m->pid, .count = sizeof *m, .data.buffer = m};
    return file_call(&c);
}

// Asks who has the process m->pid. E_SRCH: nobody, or its node cannot be reached.
static status_t ask(u32 op, struct family_msg *m) {
    spin_lock(&proc_lock);
    status_t s = about(op, proc_desc(proc_current())->pid, m);
    spin_unlock(&proc_lock);
    u32 at = node_id;
    for (u32 i = 0; i < FOLLOW_MAX && s == S_OK && m->node != at; i++) {
        at = m->node;
        s = ask_node(at, op, m);
    }
    if (s == E_AGAIN) return look_again();
    if (s == E_HOSTUNREACH || s == E_IO || (s == S_OK && m->node != at)) return E_SRCH;
    return s;
}

// Of which session a group is. E_SRCH: it has no member; S_RESTART.
status_t family_group(u32 pgid, u32 *sid) {
    struct family_msg m = {.pid = pgid, .pgid = pgid};
    spin_lock(&proc_lock);
    m.sid = group_here(pgid);
    spin_unlock(&proc_lock);
    for (u32 n = 0; n < NODES_MAX && m.sid == 0; n++) {
        if (n == node_id || !nodes_provider.member || !nodes_provider.member(n)) continue;
        if (ask_node(n, FAMILY_GROUP, &m) == S_RESTART) return S_RESTART;
    }
    *sid = m.sid;
    return m.sid ? S_OK : E_SRCH;
}

// Whether some process, on any node, is the parent of a member of p's group and could continue it:
// it is of the same session and another group. p: the current process. S_OK; S_RESTART.
status_t family_kept(const struct proc *p, bool *kept) {
    const struct proc_desc *d = proc_desc(p);
    bool again = false;
    spin_lock(&proc_lock);
    status_t s = group_kept_locked(d->pgid, d->sid, kept);
    const u32 first = where_look(d->ppid).node;      // most often there
    spin_unlock(&proc_lock);
    for (u32 i = 0; i <= NODES_MAX && !*kept; i++) {
        const u32 n = i == 0 ? first : i - 1;
        again |= s == E_AGAIN;
        s = S_OK;
        if (n >= NODES_MAX || n == node_id || (i != 0 && n == first)) continue;
        if (!nodes_provider.member || !nodes_provider.member(n)) continue;
        struct family_msg m = {.pid = d->pgid, .pgid = d->pgid, .sid = d->sid};
        s = ask_node(n, FAMILY_KEPT, &m);
        if (s == S_RESTART) return S_RESTART;
        *kept = s == S_OK && m.node == KEPT;
    }
    return *kept || !(again || s == E_AGAIN) ? S_OK : look_again();
}

// Group and session of a process anywhere. E_SRCH, S_RESTART.
status_t family_get(u32 pid, u32 *pgid, u32 *sid) {
    struct family_msg m = {.pid = pid};
    const status_t s = ask(FAMILY_GET, &m);
    *pgid = m.pgid;
    *sid = m.sid;
    return s;
}

// p is about to be in that group and session: its parent's node knows it from here on, so that its
// waits agree. S_OK: nobody waits for p, too; S_RESTART.
static status_t tell_parent(const struct proc *p, u32 pgid, u32 sid) {
    struct family_msg m = {.pid = proc_desc(p)->ppid, .pgid = pgid, .sid = sid};
    return m.pid && ask(FAMILY_CHILD, &m) == S_RESTART ? S_RESTART : S_OK;
}

static void own_set(struct proc *p, u32 pgid, u32 sid) {
    spin_lock(&proc_lock);
    proc_desc(p)->pgid = pgid;
    proc_desc(p)->sid = sid;
    spin_unlock(&proc_lock);
}

// setpgid by the current process p, of itself or a child on any node. Errors as setpgid(2);
// S_RESTART.
status_t family_set_group(struct proc *p, u32 pid, u32 pgid) {
    const struct proc_desc *d = proc_desc(p);
    struct family_msg m = {.pid = pid, .pgid = pgid, .sid = d->sid, .group_sid = d->sid};
    if (pgid != pid && family_group(pgid, &m.group_sid) == S_RESTART) return S_RESTART;
    if (pid != d->pid) {
        const status_t s = ask(FAMILY_SET, &m);
        if (s != S_OK) return s;
        spin_lock(&proc_lock);
        child_away_set(pid, m.pgid, m.sid);
        spin_unlock(&proc_lock);
        return S_OK;
    }
    const struct group_wish wish = {pid, m.sid, pgid, m.group_sid};
    status_t s = group_may_set(d, &wish);
    if (s == S_OK) s = tell_parent(p, pgid, d->sid);
    if (s == S_OK) own_set(p, pgid, d->sid);
    return s;
}

// setsid by the current process. E_PERM: it leads a group; S_RESTART.
status_t family_new_session(struct proc *p) {
    struct proc_desc *d = proc_desc(p);
    if (d->pgid == d->pid) return E_PERM;
    if (tell_parent(p, d->pid, d->pid) == S_RESTART) return S_RESTART;
    own_set(p, d->pid, d->pid);
    d->tty = (struct object_id){0};
    return S_OK;
}
