// Which node a process is on. A process that never moved is where its pid says it was born; for
// the others every node keeps a hint, told at each adoption; proto/cluster/where.c decides. A
// message for a process that is not here is passed on by the hint, at most HOPS_MAX times. Also
// hands out the messages about processes: children (kernel/child_away.c), their ends
// (kernel/end_away.c), signals (kernel/signal_away.c), moves, searches.
// Locks: all tables under proc_lock; sending under net_lock.
#include "kernel/whereabouts.h"

#include "kernel/cluster.h"
#include "kernel/files/object.h"
#include "kernel/migrate.h"
#include "kernel/owner.h"
#include "kernel/time.h"
#include "kernel/where_search.h"
#include "kernel/whereabouts_priv.h"
#include "kernel/x86/cpu.h"

#define HINTS_MAX 4096u                  // a power of two
#define HINT_PROBES 16u
#define HOPS_MAX 8u

struct hint { u64 stay; u32 pid; u8 node; };
static struct hint hints[HINTS_MAX];

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

// --- who waits for one on its way ---

static struct wait_list transit_wait = WAIT_LIST_INIT(transit_wait);
static bool transit_asked, transit_ended;        // atomic

bool where_leaves(u32 pid) {
    const struct where_found found = where_look(pid);
    __atomic_store_n(&transit_asked, true, __ATOMIC_RELAXED);     // before proc_lock is given back
    return found.kind == WHERE_TRANSIT && found.node != node_id;
}

bool where_comes(u32 pid) {
    const struct where_found found = where_look(pid);
    __atomic_store_n(&transit_asked, true, __ATOMIC_RELAXED);
    return found.kind == WHERE_TRANSIT && found.node == node_id;
}

status_t where_wait(void) {
    file_wait(&transit_wait);
    return S_RESTART;
}

// Whoever holds proc_lock may say so: those who wait are woken by the next poll, under files_lock.
void where_settled(void) {
    if (!__atomic_load_n(&transit_asked, __ATOMIC_RELAXED)) return;
    __atomic_store_n(&transit_ended, true, __ATOMIC_RELEASE);
    netpoll_soon();
}

static void transit_wake(void) {
    if (!__atomic_exchange_n(&transit_ended, false, __ATOMIC_ACQUIRE)) return;
    spin_lock(&files_lock);
    __atomic_store_n(&transit_asked, false, __ATOMIC_RELAXED);
    file_wake(&transit_wait);
    spin_unlock(&files_lock);
}

// --- who left lately ---

#define LEFT_MAX 256u                // the oldest makes way
static struct left { u32 pid; u64 at_ns; } left[LEFT_MAX];
static u32 left_next;

void where_left(u32 pid) {
    left[left_next++ % LEFT_MAX] = (struct left){pid, time_now_ns()};
}

u32 where_left_lately(u32 *pids, u32 size) {
    const u64 now_ns = time_now_ns();
    u32 count = 0;
    for (u32 i = 0; i < LEFT_MAX && count < size; i++) {
        const bool lately = left[i].pid && now_ns - left[i].at_ns < WHERE_LEFT_NS;
        if (lately && where_look(left[i].pid).kind != WHERE_GONE) pids[count++] = left[i].pid;
    }
    return count;
}

// It is on its way from or to here. proc_lock held.
bool where_in_transit(u32 pid) { return where_look(pid).kind == WHERE_TRANSIT; }

// pid went to `node`, its `stay`th; what is known of a later one is kept. proc_lock held.
void where_set(u32 pid, u8 node, u64 stay) {
    struct hint *h = hint_find(pid, true);
    where_settled();
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
    where_settled();
}

// To all members. net_lock held.
void where_send_all(const struct cluster_msg *m) {
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
    where_send_all(&m);
}

// Sends m on towards pid. E_AGAIN: it is here, on its way, or was not found in HOPS_MAX.
status_t where_pass_on(u32 pid, const struct cluster_msg *m) {
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

static void rx_move(const struct cluster_msg *m) {
    const struct msg_process *p = &m->process;
    if (p->asker >= NODES_MAX || (p->node >= NODES_MAX && p->node != MOVE_AUTO)) return;
    if (migrate_asked((u8)p->asker, p->pid, (u8)p->node, p->how)) return;
    const status_t s = where_pass_on(p->pid, m);
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
    case MSG_PARENT: signal_away_rx(m); return;
    case MSG_SESSION: session_rx(m); return;
    case MSG_EXIT: end_away_rx(m); return;
    case MSG_EXIT_ACK: end_away_rx_ack(p->pid); return;
    case MSG_CHILD: child_away_rx(p); return;
    case MSG_WHERE: search_rx_asked(from, m); return;
    case MSG_WHERE_TOLD: search_rx_told(from, m); return;
    default: return;
    }
}

void whereabouts_poll(u64 now_ns) {
    transit_wake();
    signal_away_poll();
    end_away_poll(now_ns);
    search_poll(now_ns);
}

// Something is to be sent now or again.
bool whereabouts_waits(void) {
    return signal_away_waits() || end_away_waits() || search_waits();
}

u64 whereabouts_deadline_ns(u64 now_ns) {
    if (signal_away_waits()) return now_ns + SIGNAL_REPEAT_NS;       // to processes on their way
    return MIN(end_away_waits() ? now_ns + EXIT_REPEAT_NS : ~0ull, search_deadline_ns());
}

// A child that was there may have gone on, and one that was elsewhere may have gone there:
// the others are asked. Hints that name it are of no use.
void where_peer_down(u8 node) {
    session_peer_down(node);
    spin_lock(&proc_lock);
    child_away_peer_down(node);
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
