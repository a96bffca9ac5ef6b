// Children that live on other nodes than their parents. The parent's node keeps a record of each,
// for wait4: an end without one has been taken before. A parent that moves has its children named
// to its new node by the old one (MSG_CHILD).
// Lock: proc_lock; sending under net_lock.
#include "kernel/cluster.h"
#include "kernel/klog.h"
#include "kernel/signal.h"
#include "kernel/where_search.h"
#include "kernel/whereabouts.h"
#include "kernel/whereabouts_priv.h"
#include "kernel/x86/cpu.h"

#define CHILDREN_AWAY_MAX 2048u

// said: its parent has had its SIGCHLD.
// stop: a wait status to be reported, that it stopped or goes on; 0: none.
struct child_away {
    bool used, ended, said;
    u32 pid, ppid, pgid, sid;
    i32 wait_status, stop;
    u64 cpu_ns;
};

static struct child_away children[CHILDREN_AWAY_MAX];
static u32 children_end;             // no place from here on was ever used

static struct child_away *child_find(u32 pid) {
    for (u32 i = 0; i < children_end; i++)
        if (children[i].used && children[i].pid == pid) return &children[i];
    return NULL;
}

// What of p's stops its parent has not been told by wait4: a wait status, or 0.
static i32 stop_of(const struct proc *p) {
    return p->stop_report   ? WAIT_STATUS_STOPPED(proc_desc(p)->exit_code)
           : p->cont_report ? WAIT_STATUS_CONTINUED
                            : 0;
}

static void stop_set(struct proc *p, i32 wait_status) {
    p->cont_report = wait_status == WAIT_STATUS_CONTINUED;
    p->stop_report = wait_status != 0 && !p->cont_report;
}

// Notes what is said of one, also where that was noted before. proc_lock held.
void child_add(const struct msg_process *m) {
    struct child_away *c = child_find(m->pid);
    for (u32 i = 0; !c && i < CHILDREN_AWAY_MAX; i++)
        if (!children[i].used) {
            c = &children[i];
            children_end = MAX(children_end, i + 1);
        }
    if (!c) {
        klog("wait: no room to remember child %u of %u on another node\n", m->pid, m->ppid);
        return;
    }
    bool ended = m->ended || (c->used && c->ended);
    i32 status = m->ended ? m->wait_status : c->wait_status;
    u64 cpu_ns = m->ended ? m->cpu_ns : c->cpu_ns;
    const i32 stop = !m->ended && m->wait_status ? m->wait_status : c->used ? c->stop : 0;
    *c = (struct child_away){true, ended, c->used && c->said, m->pid, m->ppid, m->pgid, m->sid,
                             status, stop, cpu_ns};
}

// Tells the parent of an ended child, if it lives here and knows all its children; else that
// waits until it does. A parent that has ended itself wants no word. proc_lock held.
static void child_say(struct child_away *c) {
    struct proc *parent = proc_find(c->ppid);
    if (!parent && where_in_transit(c->ppid)) return;
    if (!parent || parent->state == PROC_ZOMBIE) {
        c->used = false;
        return;
    }
    i32 sig = c->wait_status & 0x7f;
    struct signal_info info = {.code = sig ? CLD_KILLED : CLD_EXITED, .pid = (i32)c->pid,
                               .status = sig ? sig : (c->wait_status >> 8) & 0xff};
    c->said = true;
    signal_raise_locked(parent, SIGCHLD, info);
    wait_wake_all_locked(&parent->child_wait);
}

// sid: its parent's, 0 where that is not known.
static void child_orphan(struct child_away *c, u32 sid) {
    c->ppid = init_pid();
    c->said = false;
    if (c->ended) child_say(c);
    else orphan_tell(c->pid, sid);
}

void where_ended(const struct proc *p) {
    for (u32 i = 0; i < children_end; i++)
        if (children[i].used && children[i].ppid == proc_desc(p)->pid)
            child_orphan(&children[i], proc_desc(p)->sid);
}

// Also where the parent is on its way: it is named to the parent's next node with the others.
void child_away_add(struct proc *p) {
    const struct proc_desc *d = proc_desc(p);
    if (p->cl.orphaned) orphan_tell(d->pid, 0);  // it took its descriptor along before
    p->cl.orphaned = false;
    const enum where_kind parent = where_look(d->ppid).kind;
    if (parent != WHERE_HERE && parent != WHERE_TRANSIT) return;
    child_add(&(struct msg_process){.pid = d->pid, .ppid = d->ppid, .pgid = d->pgid,
                                    .sid = d->sid, .wait_status = stop_of(p)});
}

static void child_back(struct proc *p) {
    struct child_away *c = child_find(proc_desc(p)->pid);
    if (c && c->stop) stop_set(p, c->stop);
    if (c) c->used = false;
    search_end(proc_desc(p)->pid);
}

static void child_ended(struct child_away *c, i32 wait_status, u64 cpu_ns) {
    if (c->ended) return;
    c->ended = true;
    c->wait_status = wait_status;
    c->cpu_ns = cpu_ns;
    child_say(c);
}

// Its end is known now; false: this node has no record of it. proc_lock held.
bool child_end_note(const struct msg_process *m) {
    struct child_away *c = child_find(m->pid);
    if (c) child_ended(c, m->wait_status, m->cpu_ns);
    return c != NULL;
}

// The parent that is on record for it; 0: it is not on record. proc_lock held.
u32 child_parent_pid(u32 pid) {
    const struct child_away *c = child_find(pid);
    return c ? c->ppid : 0;
}

bool child_waits(u32 pid) {
    const struct child_away *c = child_find(pid);
    return c && !c->ended;
}

void child_lost(u32 pid) {
    struct child_away *c = child_find(pid);
    if (c) child_ended(c, SIGKILL, 0);
}

// The process of that pid whose children are being named, though it may not run here yet.
struct proc *child_parent(u32 pid) {
    for (u32 i = 0; i < proc_end; i++) {
        const enum proc_state state = procs[i].state;
        if (state == PROC_FREE || state == PROC_AWAY || proc_descs[i].pid != pid) continue;
        if (procs[i].cl.children_coming) return &procs[i];
    }
    return NULL;
}

// Ends of p's children that were not told because p was on its way. proc_lock held.
static void children_say(const struct proc *p) {
    const u32 ppid = proc_desc(p)->pid;
    for (u32 i = 0; i < children_end; i++) {
        struct child_away *c = &children[i];
        if (c->used && c->ended && !c->said && c->ppid == ppid) child_say(c);
    }
    end_away_hurry(ppid);
}

// A process that came here knows all its children from now on. proc_lock held.
static void children_known(struct proc *p) {
    p->cl.children_coming = false;
    if (p->state != PROC_NEW) children_say(p);
    wait_wake_all_locked(&p->child_wait);
    netpoll_soon();                              // it may be moved on
}

// p runs here, for the first time or again after a move that failed. proc_lock held.
void where_runs(struct proc *p) {
    child_back(p);
    if (!p->cl.children_coming) children_say(p);
    where_settled();
}

// A child, which was elsewhere then, stopped or goes on; parent is here. One that has come here
// since may have gone on, or stopped, again: then its parent has been told. proc_lock held.
void child_stopped(struct proc *parent, u32 child, i32 wait_status) {
    struct child_away *c = child_find(child);
    struct proc *p = c ? NULL : proc_find(child);
    const bool on = wait_status == WAIT_STATUS_CONTINUED;
    if (c ? c->ended || c->ppid != proc_desc(parent)->pid
          : !p || proc_desc(p)->ppid != proc_desc(parent)->pid || p->state == PROC_ZOMBIE ||
                (p->state == PROC_STOPPED) == on)
        return;
    if (c) c->stop = wait_status;
    else stop_set(p, wait_status);
    signal_child_stopped(parent, (struct signal_info){.code = on ? CLD_CONTINUED : CLD_STOPPED,
                         .pid = (i32)child, .status = on ? SIGCONT : wait_status >> 8 & 0xff});
}

// wait4 over children elsewhere: E_CHILD none matches; S_RESTART: all live; S_OK: *out.
status_t child_wait_away(const struct proc_desc *me, i64 which, u32 wait_options,
                         struct child_end *out) {
    status_t s = E_CHILD;
    for (u32 i = 0; i < children_end; i++) {
        struct child_away *c = &children[i];
        if (!c->used || c->ppid != me->pid) continue;
        bool match = which > 0 ? c->pid == (u32)which
                     : which == 0 ? c->pgid == me->pgid
                     : which == -1 || c->pgid == (u32)-which;
        if (!match || (c->ended && !(wait_options & WAIT_EXITED))) continue;
        s = S_RESTART;
        const u32 wanted = c->stop == WAIT_STATUS_CONTINUED ? WAIT_CONTINUED : WAIT_UNTRACED;
        const bool stop = !c->ended && c->stop && (wait_options & wanted);
        if (!c->ended && !stop) continue;
        *out = (struct child_end){c->pid, stop ? c->stop : c->wait_status, c->cpu_ns};
        if (wait_options & WAIT_NOWAIT) return S_OK;
        if (stop) {
            c->stop = 0;
        } else {
            c->used = false;
            where_forget(c->pid);
            where_set(c->pid, (u8)node_id, 0);   // waited for: kill says so from now on
        }
        return S_OK;
    }
    return s;
}

// It is in that group and session now. proc_lock held.
void child_away_set(u32 pid, u32 pgid, u32 sid) {
    struct child_away *c = child_find(pid);
    if (!c) return;
    c->pgid = pgid;
    c->sid = sid;
}

// The session of a group, as far as children elsewhere, also ended ones that are not waited for,
// tell; 0: none is in it. proc_lock held.
u32 child_away_group(u32 pgid) {
    for (u32 i = 0; i < children_end; i++)
        if (children[i].used && children[i].pgid == pgid) return children[i].sid;
    return 0;
}

// The next member of a group that lives elsewhere; false: there are no more. proc_lock held.
bool child_away_next(u32 pgid, struct away_member *m) {
    while (m->next < children_end) {
        const struct child_away *c = &children[m->next++];
        if (!c->used || c->ended || c->pgid != pgid) continue;
        m->ppid = c->ppid;
        m->sid = c->sid;
        return true;
    }
    return false;
}

// How many of a group live elsewhere. proc_lock held.
u32 children_of_group(u32 pgid) {
    u32 count = 0;
    for (u32 i = 0; i < children_end; i++)
        count += children[i].used && !children[i].ended && children[i].pgid == pgid;
    return count;
}

// Names the node where a child is, or was last, and that node's life.
static void child_place(u32 pid, struct msg_process *m) {
    struct where_seen seen;
    where_see(pid, &seen, &m->stay);
    const u8 gone = search_gone(pid), at = where_decide(&seen).node;
    const bool here = seen.lives || seen.frozen;
    m->node = gone != WHERE_NONE ? gone : here ? (u8)node_id : at;
    m->incarnation = gone != WHERE_NONE ? cluster_fenced(gone) : cluster_incarnation(m->node);
}

// Those that are on this node, or frozen here on their way. The parent has left, so that it
// has no more than it had: most places are passed over without the lock.
static void children_here_tell(u32 ppid, u8 node) {
    for (u32 i = 0; i < proc_end; i++) {
        if (procs[i].state == PROC_FREE || proc_descs[i].ppid != ppid) continue;
        spin_lock(&proc_lock);
        const struct proc_desc *d = &proc_descs[i];
        struct cluster_msg m = {.type = MSG_CHILD, .process = {
            .pid = d->pid, .ppid = d->ppid, .pgid = d->pgid, .sid = d->sid,
            .ended = procs[i].state == PROC_ZOMBIE,
            .wait_status = procs[i].state == PROC_ZOMBIE ? d->exit_code : stop_of(&procs[i]),
            .cpu_ns = d->account.cpu_ns}};
        child_place(d->pid, &m.process);
        bool mine = procs[i].state != PROC_FREE && procs[i].state != PROC_NEW &&
                    (procs[i].state != PROC_AWAY || procs[i].cl.frozen) && d->ppid == ppid;
        if (mine) stop_set(&procs[i], 0);        // the message has it now
        if (mine && procs[i].state == PROC_ZOMBIE) proc_free(&procs[i]);
        spin_unlock(&proc_lock);
        if (mine) (void)cluster_send(node, &m);
    }
}

// Names the children of ppid, which went to `node`, to that node, and says when that was
// all. Those seen twice are the same to it. net_lock held.
void children_tell(u32 ppid, u8 node) {
    for (u32 i = 0; i < children_end; i++) {
        if (!children[i].used) continue;
        spin_lock(&proc_lock);
        struct child_away c = children[i];
        struct cluster_msg m = {.type = MSG_CHILD, .process = {
            .pid = c.pid, .ppid = c.ppid, .pgid = c.pgid, .sid = c.sid, .ended = c.ended,
            .wait_status = c.ended ? c.wait_status : c.stop, .cpu_ns = c.cpu_ns}};
        const bool its = c.used && c.ppid == ppid;
        if (its) child_place(c.pid, &m.process);
        if (its) children[i].used = false;
        spin_unlock(&proc_lock);
        if (!its) continue;
        (void)cluster_send(node, &m);
    }
    children_here_tell(ppid, node);
    end_away_tell(ppid, node);
    struct cluster_msg end = {.type = MSG_CHILD, .process = {.ppid = ppid}};
    (void)cluster_send(node, &end);
}

// It may have ended before its children were named.
static bool parent_may_wait(u32 ppid) {
    const struct proc *parent = proc_find(ppid);
    return parent ? parent->state != PROC_ZOMBIE : where_in_transit(ppid);
}

// Where a child that was just named is; this node may have seen its node's end already.
static void child_placed(const struct msg_process *m) {
    if (m->node >= NODES_MAX || m->node == node_id || !child_waits(m->pid)) return;
    if (m->incarnation != 0 && cluster_incarnation(m->node) == m->incarnation)
        where_set(m->pid, (u8)m->node, m->stay);
    else
        search_begin(m->pid, (u8)m->node);
}

// A child of a process that came here; pid 0: that was all of them, and those that ended
// are told to it.
void child_away_rx(const struct msg_process *m) {
    spin_lock(&proc_lock);
    if (m->pid == 0) {
        struct proc *parent = child_parent(m->ppid);
        if (parent) children_known(parent);
    } else if (proc_find(m->pid)) {
        if (!m->ended && m->wait_status) stop_set(proc_find(m->pid), m->wait_status);
    } else {
        child_add(m);
        struct child_away *c = child_find(m->pid);
        if (c && !parent_may_wait(m->ppid)) child_orphan(c, 0);
        child_placed(m);
    }
    spin_unlock(&proc_lock);
}

// proc_lock held; see where_peer_down.
void child_away_peer_down(u8 node) {
    for (u32 i = 0; i < children_end; i++)
        if (children[i].used && !children[i].ended) search_begin(children[i].pid, node);
    for (u32 i = 0; i < proc_end; i++)
        if (procs[i].cl.children_coming && procs[i].cl.giver == node) children_known(&procs[i]);
}
