// Which node a process is on, and what nodes tell each other about one. A process that
// never moved is where its pid says it was born; for the others every node keeps a hint,
// told at each adoption. A message for a process that is not here is passed on by the
// hint, at most HOPS_MAX times. A child that ended away from its parent is told to the
// parent's node until that answers; the parent's node keeps a record of each child that
// lives elsewhere, for wait4.
// Locks: all tables under proc_lock; sending under net_lock.
#include "kernel/whereabouts.h"

#include "base/string.h"
#include "kernel/cluster.h"
#include "kernel/klog.h"
#include "kernel/migrate.h"
#include "kernel/signal.h"
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
#define ENDS_SEEN 256u
#define PID_NODE_SHIFT 16

struct hint { u32 pid; u8 node; };
struct child_away { bool used, ended; u32 pid, ppid, pgid; i32 wait_status; u64 cpu_ns; };
struct exit_note { bool used; u32 tries; u64 next_ns; struct msg_process p; };
struct signal_note { u32 pid, signal; };

static struct hint hints[HINTS_MAX];
static struct child_away children[CHILDREN_AWAY_MAX];
static u32 children_end;             // no place from here on was ever used
static struct exit_note exit_notes[EXITS_MAX];
static struct signal_note signal_notes[SIGNALS_MAX];
static u32 signal_count, exit_count;
static u32 ends_seen[ENDS_SEEN];         // pids whose end was taken: a repeat is thrown away
static u32 ends_next;

static void netpoll_soon(void) {
    __atomic_fetch_or(&cpu_this()->edge_work, EDGE_NETPOLL, __ATOMIC_RELAXED);
}

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

u8 where_pid(u32 pid) {
    if (proc_find(pid)) return (u8)node_id;
    const struct hint *h = hint_find(pid, false);
    if (h) return h->node;
    u32 birth = pid >> PID_NODE_SHIFT;
    return birth < NODES_MAX ? (u8)birth : WHERE_NONE;
}

bool where_told(u32 pid) { return hint_find(pid, false) != NULL; }

void where_set(u32 pid, u8 node) {
    struct hint *h = hint_find(pid, node != WHERE_NONE);
    if (!h) return;
    *h = (struct hint){node == WHERE_NONE ? 0 : pid, node};
}

static void send_all(const struct cluster_msg *m) {
    for (u32 node = 0; node < NODES_MAX; node++)
        if (node != node_id && cluster_is_up(node)) (void)cluster_send(node, m);
}

// It is frozen here, and may be on its way. proc_lock held.
static bool in_transit(u32 pid) {
    for (u32 i = 0; i < proc_count; i++)
        if (procs[i].state == PROC_AWAY && procs[i].cl.frozen && proc_descs[i].pid == pid)
            return true;
    return false;
}

void where_tell(u32 pid, u8 node) {
    struct cluster_msg m = {.type = MSG_LOCATION, .process = {.pid = pid, .node = node}};
    spin_lock(&proc_lock);
    where_set(pid, node);
    spin_unlock(&proc_lock);
    send_all(&m);
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
    *c = (struct child_away){true, ended, m->pid, m->ppid, m->pgid, status, cpu_ns};
}

void child_away_add(const struct proc_desc *d) {
    if (!proc_find(d->ppid)) return;
    child_add(&(struct msg_process){.pid = d->pid, .ppid = d->ppid, .pgid = d->pgid});
}

void child_back(u32 pid) {
    struct child_away *c = child_find(pid);
    if (c) c->used = false;
}

static void child_ended(u32 pid, i32 wait_status, u64 cpu_ns) {
    struct child_away *c = child_find(pid);
    struct proc *parent = c ? proc_find(c->ppid) : NULL;
    if (!c) return;
    c->ended = true;
    c->wait_status = wait_status;
    c->cpu_ns = cpu_ns;
    if (!parent || parent->state == PROC_ZOMBIE) {
        c->used = false;
        return;
    }
    i32 sig = wait_status & 0x7f;
    struct signal_info info = {.code = sig ? CLD_KILLED : CLD_EXITED, .pid = (i32)pid,
                               .status = sig ? sig : (wait_status >> 8) & 0xff};
    signal_raise_locked(parent, SIGCHLD, info);
    wait_wake_all_locked(&parent->child_wait);
}

void child_lost(u32 pid, u8 node) {
    (void)node;
    child_ended(pid, SIGKILL, 0);
}

// A process that came here knows all its children from now on. proc_lock held.
static void children_known(struct proc *p) {
    p->cl.children_coming = false;
    wait_wake_all_locked(&p->child_wait);
    netpoll_soon();                              // it may be moved on
}

// wait4 over children elsewhere: E_CHILD none matches; S_RESTART: all live; S_OK: *out.
static status_t child_wait_away(const struct proc_desc *me, i64 which, bool take,
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
        if (!c->ended) continue;
        *out = (struct child_end){c->pid, c->wait_status, c->cpu_ns};
        if (take) c->used = false;
        return S_OK;
    }
    return s;
}

// Those that are on this node, or frozen here on their way. The parent has left, so that it
// has no more than it had: most places are passed over without the lock.
static void children_here_tell(u32 ppid, u8 node) {
    for (u32 i = 0; i < proc_count; i++) {
        if (procs[i].state == PROC_FREE || proc_descs[i].ppid != ppid) continue;
        spin_lock(&proc_lock);
        const struct proc_desc *d = &proc_descs[i];
        struct cluster_msg m = {.type = MSG_CHILD, .process = {
            .pid = d->pid, .ppid = d->ppid, .pgid = d->pgid,
            .ended = procs[i].state == PROC_ZOMBIE, .wait_status = d->exit_code,
            .cpu_ns = d->account.cpu_ns}};
        bool mine = procs[i].state != PROC_FREE && procs[i].state != PROC_NEW &&
                    (procs[i].state != PROC_AWAY || procs[i].cl.frozen) && d->ppid == ppid;
        if (mine && procs[i].state == PROC_ZOMBIE) proc_free(&procs[i]);
        spin_unlock(&proc_lock);
        if (mine) (void)cluster_send(node, &m);
    }
}

// Those that ended while the parent was on its way: their notes say how, and go to where
// it is now.
static void exit_notes_tell(u32 ppid, u8 node) {
    for (u32 i = 0; i < EXITS_MAX && exit_count; i++) {
        spin_lock(&proc_lock);
        struct exit_note *n = &exit_notes[i];
        bool mine = n->used && n->p.ppid == ppid;
        struct cluster_msg m = {.type = MSG_CHILD, .process = {
            .pid = n->p.pid, .ppid = ppid, .pgid = n->p.pgid}};
        if (mine) n->next_ns = 0;
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
        if (c.used && c.ppid == ppid) children[i].used = false;
        spin_unlock(&proc_lock);
        if (!c.used || c.ppid != ppid) continue;
        struct cluster_msg m = {.type = MSG_CHILD, .process = {
            .pid = c.pid, .ppid = c.ppid, .pgid = c.pgid, .ended = c.ended,
            .wait_status = c.wait_status, .cpu_ns = c.cpu_ns}};
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
    for (u32 i = 0; i < EXITS_MAX; i++) {
        if (exit_notes[i].used) continue;
        exit_notes[i] = (struct exit_note){.used = true, .p = {
            .pid = d->pid, .ppid = d->ppid, .pgid = d->pgid, .ended = 1,
            .wait_status = wait_status, .cpu_ns = d->account.cpu_ns}};
        exit_count++;
        netpoll_soon();
        return;
    }
    klog("exit: no room to tell the parent of %u\n", d->pid);
}

// A signal to send on in the next round. proc_lock held.
static status_t signal_note(u32 pid, u32 signal) {
    if (signal_count == SIGNALS_MAX) return E_AGAIN;
    signal_notes[signal_count++] = (struct signal_note){pid, signal};
    return S_OK;
}

static status_t kill_away(struct proc *caller, u32 pid, u32 signal) {
    (void)caller;
    spin_lock(&proc_lock);
    u8 node = where_pid(pid);
    bool there = in_transit(pid) ||
                 (node != WHERE_NONE && node != node_id && cluster_is_up(node));
    status_t s = !there ? E_SRCH : signal ? signal_note(pid, signal) : S_OK;
    spin_unlock(&proc_lock);
    if (s == S_OK) netpoll_soon();
    return s;
}

static void pass_on(u32 pid, const struct cluster_msg *m) {
    spin_lock(&proc_lock);
    u8 node = where_pid(pid);
    status_t why_not = in_transit(pid) ? E_BUSY : E_SRCH;
    spin_unlock(&proc_lock);
    if (node == WHERE_NONE || node == node_id || m->process.hops >= HOPS_MAX) {
        if (m->type != MSG_MOVE) return;
        struct cluster_msg no = {.type = MSG_MOVED, .status = why_not, .process = {.pid = pid}};
        (void)cluster_send(m->process.asker, &no);
        return;
    }
    struct cluster_msg next = *m;
    next.process.hops++;
    (void)cluster_send(node, &next);
}

static bool here(u32 pid) {
    spin_lock(&proc_lock);
    bool found = proc_find(pid) != NULL;
    spin_unlock(&proc_lock);
    return found;
}

static void rx_exit(const struct cluster_msg *m) {
    if (!here(m->process.ppid)) {
        pass_on(m->process.ppid, m);
        return;
    }
    spin_lock(&proc_lock);
    bool seen = false;
    for (u32 i = 0; i < ENDS_SEEN; i++) seen |= ends_seen[i] == m->process.pid;
    if (!seen) {
        ends_seen[ends_next++ % ENDS_SEEN] = m->process.pid;
        child_add(&m->process);
        child_ended(m->process.pid, m->process.wait_status, m->process.cpu_ns);
        where_set(m->process.pid, WHERE_NONE);
    }
    spin_unlock(&proc_lock);
    struct cluster_msg ack = {.type = MSG_EXIT_ACK, .process = {.pid = m->process.pid}};
    send_all(&ack);
}

static void rx_exit_ack(u32 pid) {
    spin_lock(&proc_lock);
    for (u32 i = 0; i < EXITS_MAX; i++) {
        if (!exit_notes[i].used || exit_notes[i].p.pid != pid) continue;
        exit_notes[i].used = false;
        exit_count--;
    }
    spin_unlock(&proc_lock);
}

static void rx_signal(const struct cluster_msg *m) {
    if (m->process.signal == 0 || m->process.signal > SIGNAL_COUNT) return;
    spin_lock(&proc_lock);
    struct proc *p = proc_find(m->process.pid);
    if (p) signal_raise_locked(p, m->process.signal, (struct signal_info){.code = SI_KERNEL});
    bool kept = !p && in_transit(m->process.pid) &&
                signal_note(m->process.pid, m->process.signal) == S_OK;
    spin_unlock(&proc_lock);
    if (!p && !kept) pass_on(m->process.pid, m);
}

// A child of a process that came here; pid 0: that was all of them.
static void rx_child(const struct msg_process *m) {
    spin_lock(&proc_lock);
    if (m->pid == 0) {
        struct proc *parent = proc_find(m->ppid);
        if (parent) children_known(parent);
    } else if (!proc_find(m->pid)) {
        child_add(m);
        if (m->ended) child_ended(m->pid, m->wait_status, m->cpu_ns);
    }
    spin_unlock(&proc_lock);
}

static void rx(u8 from, const struct cluster_msg *m) {
    (void)from;
    const struct msg_process *p = &m->process;
    switch (m->type) {
    case MSG_LOCATION:
        spin_lock(&proc_lock);
        where_set(p->pid, (u8)p->node);
        spin_unlock(&proc_lock);
        return;
    case MSG_MOVE:
        if (p->asker >= NODES_MAX || (p->node >= NODES_MAX && p->node != MOVE_AUTO)) return;
        if (here(p->pid)) migrate_asked((u8)p->asker, p->pid, (u8)p->node);
        else pass_on(p->pid, m);
        return;
    case MSG_MOVED: migrate_answered(p->pid, m->status); return;
    case MSG_SIGNAL: rx_signal(m); return;
    case MSG_EXIT: rx_exit(m); return;
    case MSG_EXIT_ACK: rx_exit_ack(p->pid); return;
    case MSG_CHILD: rx_child(p); return;
    default: return;
    }
}

static void exits_send(u64 now_ns) {
    for (u32 i = 0; i < EXITS_MAX && exit_count; i++) {
        spin_lock(&proc_lock);
        struct exit_note *n = &exit_notes[i];
        bool due = n->used && now_ns >= n->next_ns;
        struct cluster_msg m = {.type = MSG_EXIT, .process = n->p};
        u8 node = due ? where_pid(n->p.ppid) : WHERE_NONE;
        if (due) {
            n->next_ns = now_ns + EXIT_REPEAT_NS;
            // A parent on no node any more, or one that never answers: nobody waits.
            if (++n->tries > EXIT_TRIES_MAX || node == WHERE_NONE) {
                n->used = false;
                exit_count--;
                due = false;
            }
        }
        spin_unlock(&proc_lock);
        if (due && node != node_id) (void)cluster_send(node, &m);
        if (due && node == node_id) rx_exit(&m);
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
        struct cluster_msg m = {.type = MSG_SIGNAL, .process = {.pid = notes[i].pid,
                                                                .signal = notes[i].signal}};
        rx_signal(&m);                  // here, kept, or passed on
    }
}

void whereabouts_poll(u64 now_ns) {
    if (signal_count) signals_send();
    exits_send(now_ns);
}

u64 whereabouts_deadline_ns(u64 now_ns) {
    if (signal_count) return now_ns + SIGNAL_REPEAT_NS;      // to processes on their way
    return exit_count ? now_ns + EXIT_REPEAT_NS : ~0ull;
}

// Everything that ran there has ended, as far as anybody here can tell.
void where_peer_down(u8 node) {
    spin_lock(&proc_lock);
    for (u32 i = 0; i < children_end; i++) {
        struct child_away *c = &children[i];
        if (c->used && !c->ended && where_pid(c->pid) == node) child_ended(c->pid, SIGKILL, 0);
    }
    for (u32 i = 0; i < proc_count; i++)
        if (procs[i].cl.children_coming && procs[i].cl.giver == node) children_known(&procs[i]);
    for (u32 i = 0; i < HINTS_MAX; i++)
        if (hints[i].pid && hints[i].node == node) hints[i] = (struct hint){0, WHERE_NONE};
    spin_unlock(&proc_lock);
}

void whereabouts_init(void) {
    cluster_on_process(rx);
    proc_hooks.exited_remote = exited_away;
    proc_hooks.kill_remote = kill_away;
    proc_hooks.child_wait_away = child_wait_away;
    proc_hooks.where = where_pid;
}
