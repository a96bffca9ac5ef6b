// Which node a process is on, and what nodes tell each other about one. A process that
// never moved is where its pid says it was born; for the others every node keeps a hint,
// told at each adoption; proto/cluster/where.c decides. A message for a process that is not
// here is passed on by the hint, at most HOPS_MAX times. A child that ended away from its
// parent is told to the parent's node until that answers; the parent's node keeps a record of
// each child that lives elsewhere, for wait4: an end without one has been taken before.
// Locks: all tables under proc_lock; sending under net_lock.
#include "kernel/whereabouts.h"

#include "base/string.h"
#include "kernel/cluster.h"
#include "kernel/klog.h"
#include "kernel/migrate.h"
#include "kernel/obituary.h"
#include "kernel/owner.h"
#include "kernel/permission.h"
#include "kernel/signal.h"
#include "kernel/where_search.h"
#include "kernel/x86/cpu.h"

#define HINTS_MAX 4096u                  // a power of two
#define HINT_PROBES 16u
#define HOPS_MAX 8u
#define CHILDREN_AWAY_MAX 2048u
#define EXITS_MAX 1024u
#define EXIT_REPEAT_NS 100000000ull
#define EXIT_TRIES_MAX 100u
#define SIGNALS_MAX 64u
#define SIGNAL_REPEAT_NS 2000000ull
#define PID_NODE_SHIFT 16

struct hint { u64 stay; u32 pid; u8 node; };
// said: its parent has had its SIGCHLD.
// stop: a wait status to be reported, that it stopped or goes on; 0: none.
struct child_away {
    bool used, ended, said;
    u32 pid, ppid, pgid;
    i32 wait_status, stop;
    u64 cpu_ns;
};
struct exit_note { bool used; u32 tries; u64 next_ns; struct msg_process p; };
// signal 0: ppid is its parent now; pid 0: for those of the group pgid on other nodes
// that user uid may send it to. stop: pid's child `ppid` stopped or goes on.
struct signal_note { u32 pid, signal, ppid, pgid; i32 stop; u32 uid; };

static struct hint hints[HINTS_MAX];
static struct child_away children[CHILDREN_AWAY_MAX];
static u32 children_end;             // no place from here on was ever used
static struct exit_note exit_notes[EXITS_MAX];
static struct signal_note signal_notes[SIGNALS_MAX];
static u32 signal_count, exit_count;

static void netpoll_soon(void) {
    __atomic_fetch_or(&cpu_this()->edge_work, EDGE_NETPOLL, __ATOMIC_RELAXED);
}

static u32 init_pid(void) { return node_id << PID_NODE_SHIFT | 1; }

// --- where ------------------------------------------------------------------------------

static struct hint *hint_find(u32 pid, bool make) {
    struct hint *room = NULL;
    for (u32 i = 0; i < HINT_PROBES; i++) {
        struct hint *h = &hints[(pid * 2654435761u + i) & (HINTS_MAX - 1)];
        if (h->pid == pid) return h;
        if (!room && h->pid == 0) room = h;
    }
    if (!make) return NULL;
    // Full: the oldest place is as good as any, the birth node knows better.
    return room ? room : &hints[pid * 2654435761u & (HINTS_MAX - 1)];
}

// What this node has of pid; stay: of the process or its image here, else of the hint.
// proc_lock held.
void where_see(u32 pid, struct where_seen *seen, u64 *stay) {
    const u32 birth = pid >> PID_NODE_SHIFT;
    const struct hint *h = pid ? hint_find(pid, false) : NULL;
    *seen = (struct where_seen){.self = (u8)node_id, .hint = h ? h->node : WHERE_NONE,
                                .birth = pid && birth < NODES_MAX ? (u8)birth : WHERE_NONE};
    *stay = h ? h->stay : 0;
    for (u32 i = 0; i < proc_end && pid; i++) {
        if (procs[i].state == PROC_FREE || proc_descs[i].pid != pid) continue;
        if (procs[i].state == PROC_NEW) {
            seen->arriving = true;
        } else if (procs[i].state != PROC_AWAY) {
            seen->lives = true;
            *stay = proc_descs[i].stay;
        } else if (procs[i].cl.frozen) {
            seen->frozen = true;
            seen->word = proc_owner_word(&procs[i]);
            *stay = proc_descs[i].stay;
        }
    }
}

// Where pid is, as far as this node can say: see where_decide. proc_lock held.
struct where_found where_look(u32 pid) {
    struct where_seen seen;
    u64 stay;
    where_see(pid, &seen, &stay);
    return where_decide(&seen);
}

// The hook of procfs.
static bool where_known(u32 pid, u8 *node) {
    const struct where_found found = where_look(pid);
    *node = found.node;
    return found.kind != WHERE_GONE;
}

static bool in_transit(u32 pid) { return where_look(pid).kind == WHERE_TRANSIT; }

// pid went to `node`, its `stay`th; what is known of a later one is kept. proc_lock held.
void where_set(u32 pid, u8 node, u64 stay) {
    struct hint *h = hint_find(pid, true);
    if (h->pid == pid && !where_newer(stay, h->stay)) return;
    *h = (struct hint){stay, pid, node};
}

// As where_set, for what another node said: one that is no member any more died with it.
void where_heard(u32 pid, u32 node, u64 stay) {
    if (node < NODES_MAX && cluster_is_up(node)) where_set(pid, (u8)node, stay);
}

// pid has ended. proc_lock held.
void where_forget(u32 pid) {
    struct hint *h = hint_find(pid, false);
    if (h) *h = (struct hint){0, 0, WHERE_NONE};
}

static void send_all(const struct cluster_msg *m) {
    for (u32 node = 0; node < NODES_MAX; node++)
        if (node != node_id && cluster_is_up(node)) (void)cluster_send(node, m);
}

// The process of d runs on this node now: all members are told. net_lock held, not proc_lock.
void where_tell_here(const struct proc_desc *d) {
    struct cluster_msg m = {.type = MSG_LOCATION,
                            .process = {.pid = d->pid, .node = node_id, .stay = d->stay}};
    spin_lock(&proc_lock);
    where_set(d->pid, (u8)node_id, d->stay);
    spin_unlock(&proc_lock);
    send_all(&m);
}

static status_t exit_take(const struct msg_process *m);
static void child_say(struct child_away *c);

static void exit_note_drop(struct exit_note *n) {
    n->used = false;
    exit_count--;
}

// --- children that live elsewhere ---------------------------------------------------------

static struct child_away *child_find(u32 pid) {
    for (u32 i = 0; i < children_end; i++)
        if (children[i].used && children[i].pid == pid) return &children[i];
    return NULL;
}

static void child_add(const struct msg_process *m) {
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
    *c = (struct child_away){true, ended, c->used && c->said, m->pid, m->ppid, m->pgid, status,
                             c->used ? c->stop : 0, cpu_ns};
}

// A word for a process elsewhere, to send in the next round. proc_lock held.
static status_t note_add(const struct signal_note *note) {
    if (signal_count == SIGNALS_MAX) return E_AGAIN;
    signal_notes[signal_count++] = *note;
    return S_OK;
}

// It has this node's init for a parent. proc_lock held.
static void orphan_tell(u32 pid) {
    const struct signal_note note = {.pid = pid, .ppid = init_pid()};
    if (note_add(&note) != S_OK) klog("wait: no room to tell %u that its parent ended\n", pid);
    netpoll_soon();
}

static void child_orphan(struct child_away *c) {
    c->ppid = init_pid();
    c->said = false;
    if (c->ended) child_say(c);
    else orphan_tell(c->pid);
}

void where_ended(const struct proc *p) {
    for (u32 i = 0; i < children_end; i++)
        if (children[i].used && children[i].ppid == proc_desc(p)->pid) child_orphan(&children[i]);
}

// Also where the parent is on its way: it is named to the parent's next node with the others.
void child_away_add(struct proc *p) {
    const struct proc_desc *d = proc_desc(p);
    if (p->cl.orphaned) orphan_tell(d->pid);     // it took its descriptor along before
    p->cl.orphaned = false;
    const enum where_kind parent = where_look(d->ppid).kind;
    if (parent != WHERE_HERE && parent != WHERE_TRANSIT) return;
    child_add(&(struct msg_process){.pid = d->pid, .ppid = d->ppid, .pgid = d->pgid});
}

static void child_back(u32 pid) {
    struct child_away *c = child_find(pid);
    if (c) c->used = false;
    search_end(pid);
}

// Tells the parent of an ended child, if it lives here and knows all its children; else that
// waits until it does. A parent that has ended itself wants no word. proc_lock held.
static void child_say(struct child_away *c) {
    struct proc *parent = proc_find(c->ppid);
    if (!parent && in_transit(c->ppid)) return;
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

static void child_ended(struct child_away *c, i32 wait_status, u64 cpu_ns) {
    if (c->ended) return;
    c->ended = true;
    c->wait_status = wait_status;
    c->cpu_ns = cpu_ns;
    child_say(c);
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
static struct proc *child_parent(u32 pid) {
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
    for (u32 i = 0; i < EXITS_MAX && exit_count; i++)
        if (exit_notes[i].used && exit_notes[i].p.ppid == ppid) exit_notes[i].next_ns = 0;
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
    child_back(proc_desc(p)->pid);
    if (!p->cl.children_coming) children_say(p);
}

// A child elsewhere stopped or goes on; parent is here. proc_lock held.
static void child_stopped(struct proc *parent, u32 child, i32 wait_status) {
    struct child_away *c = child_find(child);
    if (!c || c->ended || c->ppid != proc_desc(parent)->pid) return;
    const bool on = wait_status == WAIT_STATUS_CONTINUED;
    c->stop = wait_status;
    signal_child_stopped(parent, (struct signal_info){.code = on ? CLD_CONTINUED : CLD_STOPPED,
                         .pid = (i32)child, .status = on ? SIGCONT : wait_status >> 8 & 0xff});
}

// wait4 over children elsewhere: E_CHILD none matches; S_RESTART: all live; S_OK: *out.
static status_t child_wait_away(const struct proc_desc *me, i64 which, u32 wait_options,
                                struct child_end *out) {
    status_t s = E_CHILD;
    for (u32 i = 0; i < children_end; i++) {
        struct child_away *c = &children[i];
        if (!c->used || c->ppid != me->pid) continue;
        bool match = which > 0 ? c->pid == (u32)which
                     : which == 0 ? c->pgid == me->pgid
                     : which == -1 || c->pgid == (u32)-which;
        if (!match) continue;
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
            .pid = d->pid, .ppid = d->ppid, .pgid = d->pgid,
            .ended = procs[i].state == PROC_ZOMBIE, .wait_status = d->exit_code,
            .cpu_ns = d->account.cpu_ns}};
        child_place(d->pid, &m.process);
        bool mine = procs[i].state != PROC_FREE && procs[i].state != PROC_NEW &&
                    (procs[i].state != PROC_AWAY || procs[i].cl.frozen) && d->ppid == ppid;
        if (mine && procs[i].state == PROC_ZOMBIE) proc_free(&procs[i]);
        spin_unlock(&proc_lock);
        if (mine) (void)cluster_send(node, &m);
    }
}

// Those that ended here since the parent runs there.
static void exit_notes_tell(u32 ppid, u8 node) {
    for (u32 i = 0; i < EXITS_MAX && exit_count; i++) {
        spin_lock(&proc_lock);
        struct exit_note *n = &exit_notes[i];
        const bool mine = n->used && n->p.ppid == ppid;
        const struct cluster_msg m = {.type = MSG_CHILD, .process = n->p};
        if (mine) exit_note_drop(n);
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
            .pid = c.pid, .ppid = c.ppid, .pgid = c.pgid, .ended = c.ended,
            .wait_status = c.wait_status, .cpu_ns = c.cpu_ns}};
        const bool its = c.used && c.ppid == ppid;
        if (its) child_place(c.pid, &m.process);
        if (its) children[i].used = false;
        spin_unlock(&proc_lock);
        if (!its) continue;
        (void)cluster_send(node, &m);
    }
    children_here_tell(ppid, node);
    exit_notes_tell(ppid, node);
    struct cluster_msg end = {.type = MSG_CHILD, .process = {.ppid = ppid}};
    (void)cluster_send(node, &end);
}

// --- ends and signals ---------------------------------------------------------------------

// The process side's hook: p ended here and its parent is not here. proc_lock held.
static void exited_away(struct proc *p, i32 wait_status) {
    const struct proc_desc *d = proc_desc(p);
    const struct msg_process end = {.pid = d->pid, .ppid = d->ppid, .pgid = d->pgid, .ended = 1,
                                    .wait_status = wait_status, .cpu_ns = d->account.cpu_ns};
    const enum where_kind parent = where_look(d->ppid).kind;
    // Of a parent frozen here: it goes with the parent's others. One that is coming here has
    // them on its giver's list, and may not come after all: that is told where it is by then.
    const bool leaving = parent == WHERE_TRANSIT && !child_parent(d->ppid);
    if (leaving) child_add(&end);
    if (leaving || parent == WHERE_GONE) return;
    for (u32 i = 0; i < EXITS_MAX; i++) {
        if (exit_notes[i].used) continue;
        exit_notes[i] = (struct exit_note){.used = true, .p = end};
        exit_count++;
        netpoll_soon();
        return;
    }
    klog("exit: no room to tell the parent of %u\n", d->pid);
}

static status_t kill_away(struct proc *caller, u32 pid, u32 signal) {
    (void)caller;
    spin_lock(&proc_lock);
    const struct where_found found = where_look(pid);
    const bool there = found.kind == WHERE_THERE || found.kind == WHERE_GUESS;
    const bool gone = found.kind == WHERE_GONE || (there && !cluster_is_up(found.node));
    const struct signal_note note = {.pid = pid, .signal = signal};
    status_t s = gone ? E_SRCH : signal ? note_add(&note) : S_OK;
    spin_unlock(&proc_lock);
    if (s == S_OK) netpoll_soon();
    return s;
}

// Tells p's parent, where that is. proc_lock held.
static void stopped_away(struct proc *p, i32 wait_status) {
    const struct signal_note note = {.pid = proc_desc(p)->ppid, .ppid = proc_desc(p)->pid,
                                     .stop = wait_status};
    if (note_add(&note) != S_OK)
        klog("wait: no room to tell the parent of %u that it stopped\n", proc_desc(p)->pid);
    netpoll_soon();
}

static bool on_its_way(const struct proc *p) {
    return (p->state == PROC_AWAY && p->cl.frozen) || (p->state == PROC_NEW && p->cl.in_cluster);
}

// Those of a group that are on their way from or to here have the signal where they get.
static u32 group_on_its_way(u32 pgid, u32 signal, u32 uid) {
    u32 count = 0;
    for (u32 i = 0; i < proc_end; i++) {
        const struct signal_note note = {.pid = proc_descs[i].pid, .signal = signal};
        const bool may = permission_signal(uid, &proc_descs[i]) && on_its_way(&procs[i]);
        if (proc_descs[i].pgid != pgid || !may) continue;
        if (signal == 0 || note_add(&note) == S_OK) count++;
    }
    return count;
}

// A group's members that are not here: all nodes are told, since nobody knows who has some.
// Counted are those whose parent is here. proc_lock held.
static u32 kill_group_away(u32 pgid, u32 signal, u32 uid) {
    u32 count = group_on_its_way(pgid, signal, uid);
    const struct signal_note note = {.signal = signal, .pgid = pgid, .uid = uid};
    const bool told = signal == 0 || cluster_member_count() == 1 || note_add(&note) == S_OK;
    for (u32 i = 0; i < children_end && told; i++)
        count += children[i].used && !children[i].ended && children[i].pgid == pgid;
    if (signal) netpoll_soon();
    return count;
}

// A signal for a group, from another node. One that moves meanwhile may have it twice.
static void rx_group(const struct msg_process *g) {
    spin_lock(&proc_lock);
    (void)group_on_its_way(g->pgid, g->signal, g->asker);
    for (u32 i = 0; i < proc_end; i++) {
        const enum proc_state state = procs[i].state;
        if (state == PROC_FREE || state == PROC_AWAY || proc_descs[i].pgid != g->pgid) continue;
        if (permission_signal(g->asker, &proc_descs[i]))
            signal_raise_locked(&procs[i], g->signal, (struct signal_info){.code = SI_KERNEL});
    }
    spin_unlock(&proc_lock);
}

// Sends m on towards pid. E_AGAIN: it is here, on its way, or was not found in HOPS_MAX.
static status_t pass_on(u32 pid, const struct cluster_msg *m) {
    spin_lock(&proc_lock);
    const struct where_found found = where_look(pid);
    spin_unlock(&proc_lock);
    if (found.kind == WHERE_GONE) return E_SRCH;
    if (found.kind != WHERE_THERE && found.kind != WHERE_GUESS) return E_AGAIN;
    if (m->process.hops >= HOPS_MAX) return E_AGAIN;
    struct cluster_msg next = *m;
    next.process.hops++;
    return cluster_send(found.node, &next);
}

// A child's end, for a parent that lives here. S_OK: taken, now or before (so that a repeat
// is no second end: the child has no record any more); E_AGAIN: to be told again.
static status_t exit_take(const struct msg_process *m) {
    struct child_away *c = child_find(m->pid);
    const struct proc *parent = proc_find(c ? c->ppid : m->ppid);
    if (!parent || parent->cl.children_coming || in_transit(m->pid)) return E_AGAIN;
    if (c) child_ended(c, m->wait_status, m->cpu_ns);
    where_forget(m->pid);
    return S_OK;
}

static void rx_exit(const struct cluster_msg *m) {
    spin_lock(&proc_lock);
    const bool here = proc_find(m->process.ppid) || child_find(m->process.pid);
    status_t s = here ? exit_take(&m->process) : E_AGAIN;
    spin_unlock(&proc_lock);
    if (!here) s = pass_on(m->process.ppid, m);
    // E_SRCH: its parent has ended, and nobody waits.
    const struct cluster_msg ack = {.type = MSG_EXIT_ACK, .process = {.pid = m->process.pid}};
    if ((here && s == S_OK) || s == E_SRCH) send_all(&ack);
}

static void rx_exit_ack(u32 pid) {
    spin_lock(&proc_lock);
    for (u32 i = 0; i < EXITS_MAX; i++) {
        if (exit_notes[i].used && exit_notes[i].p.pid == pid) exit_note_drop(&exit_notes[i]);
    }
    where_forget(pid);
    spin_unlock(&proc_lock);
}

// Its end is on its way to its parent's node. proc_lock held.
bool end_is_told(u32 pid) {
    for (u32 i = 0; i < EXITS_MAX && exit_count; i++)
        if (exit_notes[i].used && exit_notes[i].p.pid == pid) return true;
    return false;
}

// A signal for a process, or its new parent. What is on its way has it later.
static void rx_note(const struct cluster_msg *m) {
    const struct signal_note note = {m->process.pid, m->process.signal, m->process.ppid, 0,
                                     m->type == MSG_STOP ? m->process.wait_status : 0, 0};
    if (m->type == MSG_SIGNAL && (note.signal == 0 || note.signal > SIGNAL_COUNT)) return;
    if (note.pid == 0) {
        if (m->type == MSG_SIGNAL && m->process.pgid != 0) rx_group(&m->process);
        return;
    }
    spin_lock(&proc_lock);
    struct proc *p = proc_find(note.pid);
    if (p && m->type == MSG_STOP) child_stopped(p, note.ppid, note.stop);
    else if (p && m->type == MSG_PARENT) proc_desc(p)->ppid = note.ppid;
    else if (p) signal_raise_locked(p, note.signal, (struct signal_info){.code = SI_KERNEL});
    bool kept = !p && in_transit(note.pid) && note_add(&note) == S_OK;
    spin_unlock(&proc_lock);
    if (!p && !kept) (void)pass_on(note.pid, m);
}

// It may have ended before its children were named.
static bool parent_may_wait(u32 ppid) {
    const struct proc *parent = proc_find(ppid);
    return parent ? parent->state != PROC_ZOMBIE : in_transit(ppid);
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
static void rx_child(const struct msg_process *m) {
    spin_lock(&proc_lock);
    if (m->pid == 0) {
        struct proc *parent = child_parent(m->ppid);
        if (parent) children_known(parent);
    } else if (!proc_find(m->pid)) {
        child_add(m);
        struct child_away *c = child_find(m->pid);
        if (c && !parent_may_wait(m->ppid)) child_orphan(c);
        child_placed(m);
    }
    spin_unlock(&proc_lock);
}

static void rx_move(const struct cluster_msg *m) {
    const struct msg_process *p = &m->process;
    if (p->asker >= NODES_MAX || (p->node >= NODES_MAX && p->node != MOVE_AUTO)) return;
    if (migrate_asked((u8)p->asker, p->pid, (u8)p->node, p->how)) return;
    const status_t s = pass_on(p->pid, m);
    if (s != S_OK) migrate_answer((u8)p->asker, p->pid, (u8)p->node, s == E_SRCH ? s : E_AGAIN);
}

static void rx(u8 from, const struct cluster_msg *m) {
    const struct msg_process *p = &m->process;
    switch (m->type) {
    case MSG_LOCATION:
        spin_lock(&proc_lock);
        where_heard(p->pid, p->node, p->stay);
        spin_unlock(&proc_lock);
        return;
    case MSG_MOVE: rx_move(m); return;
    case MSG_MOVED: case MSG_TWIN: migrate_answered(m); return;
    case MSG_SIGNAL:
    case MSG_STOP:
    case MSG_PARENT: rx_note(m); return;
    case MSG_EXIT: rx_exit(m); return;
    case MSG_EXIT_ACK: rx_exit_ack(p->pid); return;
    case MSG_CHILD: rx_child(p); return;
    case MSG_WHERE: search_rx_asked(from, m); return;
    case MSG_WHERE_TOLD: search_rx_told(from, m); return;
    default: return;
    }
}

// Sends one note, or takes it where the parent is here again. proc_lock held; *node: where it
// is to be sent, WHERE_NONE: nowhere.
static void exit_note_step(struct exit_note *n, u64 now_ns, u8 *node) {
    const struct where_found parent = where_look(n->p.ppid);
    n->next_ns = now_ns + EXIT_REPEAT_NS;
    switch (parent.kind) {
    case WHERE_GONE: exit_note_drop(n); return;  // nobody waits
    case WHERE_HERE:
        if (exit_take(&n->p) == S_OK) exit_note_drop(n);
        return;
    case WHERE_TRANSIT: return;
    case WHERE_THERE:
    case WHERE_GUESS:
        // A parent that never answers: nobody waits.
        if (++n->tries > EXIT_TRIES_MAX) exit_note_drop(n);
        else *node = parent.node;
    }
}

static void exits_send(u64 now_ns) {
    for (u32 i = 0; i < EXITS_MAX && exit_count; i++) {
        u8 node = WHERE_NONE;
        spin_lock(&proc_lock);
        struct exit_note *n = &exit_notes[i];
        const struct cluster_msg m = {.type = MSG_EXIT, .process = n->p};
        if (n->used && now_ns >= n->next_ns) exit_note_step(n, now_ns, &node);
        spin_unlock(&proc_lock);
        if (node != WHERE_NONE) (void)cluster_send(node, &m);
    }
}

// Signals to processes that are not here, or were not when they were raised.
static void signals_send(void) {
    struct signal_note notes[SIGNALS_MAX];
    spin_lock(&proc_lock);
    u32 count = signal_count;
    memcpy(notes, signal_notes, count * sizeof notes[0]);
    signal_count = 0;
    spin_unlock(&proc_lock);
    for (u32 i = 0; i < count; i++) {
        const struct cluster_msg m = {
            .type = notes[i].stop ? MSG_STOP : notes[i].signal ? MSG_SIGNAL : MSG_PARENT,
            .process = {.pid = notes[i].pid, .signal = notes[i].signal, .ppid = notes[i].ppid,
                        .pgid = notes[i].pgid, .asker = notes[i].uid,
                        .wait_status = notes[i].stop}};
        if (notes[i].pid == 0) send_all(&m);
        else rx_note(&m);               // here, kept, or passed on
    }
}

void whereabouts_poll(u64 now_ns) {
    if (signal_count) signals_send();
    exits_send(now_ns);
    search_poll(now_ns);
}

// Something is to be sent now or again.
bool whereabouts_waits(void) { return signal_count || exit_count || search_waits(); }

u64 whereabouts_deadline_ns(u64 now_ns) {
    if (signal_count) return now_ns + SIGNAL_REPEAT_NS;      // to processes on their way
    return MIN(exit_count ? now_ns + EXIT_REPEAT_NS : ~0ull, search_deadline_ns());
}

// A child that was there may have gone on, and one that was elsewhere may have gone there:
// the others are asked. Hints that name it are of no use.
void where_peer_down(u8 node) {
    spin_lock(&proc_lock);
    for (u32 i = 0; i < children_end; i++)
        if (children[i].used && !children[i].ended) search_begin(children[i].pid, node);
    for (u32 i = 0; i < proc_end; i++)
        if (procs[i].cl.children_coming && procs[i].cl.giver == node) children_known(&procs[i]);
    for (u32 i = 0; i < HINTS_MAX; i++)
        if (hints[i].pid && hints[i].node == node) hints[i] = (struct hint){0, 0, WHERE_NONE};
    spin_unlock(&proc_lock);
}

void whereabouts_init(void) {
    cluster_on_process(rx);
    proc_hooks.exited_remote = exited_away;
    proc_hooks.stopped_remote = stopped_away;
    proc_hooks.kill_remote = kill_away;
    proc_hooks.kill_group_away = kill_group_away;
    proc_hooks.child_wait_away = child_wait_away;
    proc_hooks.where = where_known;
}
