// Requests to move a process (`echo N > /proc/PID/node`): begun here where it runs here,
// asked of the node where it runs else; who asked waits and is told what became of it.
// Callers: procfs (files_lock held), whereabouts.c (net_lock), migrate.c.
// Locks: struct proc's `cl`, asks under proc_lock; sending under net_lock.
#include "kernel/migrate_priv.h"

#include "base/string.h"
#include "kernel/cluster.h"
#include "kernel/files/object.h"
#include "kernel/owner.h"
#include "kernel/placement.h"
#include "kernel/time.h"
#include "kernel/whereabouts.h"
#include "kernel/x86/cpu.h"

#define ASKS_MAX 32u
#define ASK_MAX_NS (2 * MOVE_WAIT_MAX_NS)  // a request and its hops

// A request sent to the node where the process runs.
struct ask {
    bool used, sent, done;
    u32 pid, asker_pid;
    u8 target, node;
    status_t status;
    u64 deadline_ns;                 // answered by then, or, once done, taken by then
};

static struct ask asks[ASKS_MAX];
static struct wait_list move_wait = WAIT_LIST_INIT(move_wait);
static bool asks_to_send, askers_to_wake;

static void netpoll_soon(void) {
    __atomic_fetch_or(&cpu_this()->edge_work, EDGE_NETPOLL, __ATOMIC_RELAXED);
}

static status_t target_parse(const char *text, u8 *target) {
    u32 n = 0, digits = 0;
    if (strncmp(text, "any", 3) == 0) {
        *target = NODE_ANY;
        return text[3] == 0 || text[3] == '\n' ? S_OK : E_INVAL;
    }
    for (; text[digits] >= '0' && text[digits] <= '9' && digits < 4; digits++)
        n = n * 10 + (u32)(text[digits] - '0');
    if (digits == 0 || (text[digits] != 0 && text[digits] != '\n')) return E_INVAL;
    if (n >= NODES_MAX) return E_NXIO;
    *target = (u8)n;
    return S_OK;
}

// The rule's move of p ends, or was overruled before it was frozen. proc_lock held.
static void migrate_auto_end(struct proc *p, status_t status) {
    if (!p->cl.automatic) return;
    placement_settled(p, status);
    list_remove(&p->cl.move);
    p->cl.automatic = p->cl.wanted = p->freeze_wanted = false;
}

// A new request; p lives here. proc_lock held.
static status_t move_begin(struct proc *p, u32 asker_pid, u8 asker_node, u8 target) {
    struct proc_cluster *cl = &p->cl;
    if (cl->wanted && !cl->automatic) return E_BUSY;
    if (target != NODE_ANY && !cluster_is_up(target)) return E_HOSTUNREACH;
    if (p->state == PROC_ZOMBIE || p->state == PROC_NEW) return E_SRCH;
    if ((proc_desc(p)->pid & 0xffff) == 1) return E_BUSY;   // each node's init stays
    if (cl->wanted) migrate_auto_end(p, E_BUSY);             // the rule's move makes way
    cl->wanted = true;
    cl->automatic = false;
    cl->result_ready = false;
    cl->refused = S_OK;
    cl->target = target;
    cl->asker_pid = asker_pid;
    cl->asker_node = asker_node;
    cl->deadline_ns = time_now_ns() + MOVE_WAIT_MAX_NS;
    list_push_back(&migrate_moves, &cl->move);
    p->freeze_wanted = true;
    if (p->on_cpu && p->cpu != cpu_this()->index) cpu_kick(p->cpu, EDGE_STOP);
    netpoll_soon();
    return S_RESTART;
}

static status_t request_here(struct proc *p, u32 asker_pid, u8 target) {
    struct proc_cluster *cl = &p->cl;
    if (cl->result_ready && cl->asker_pid == asker_pid) {
        cl->result_ready = false;
        return cl->result;
    }
    if (cl->wanted && cl->asker_pid == asker_pid) return S_RESTART;
    if (target == node_id) migrate_auto_end(p, E_BUSY);
    const status_t s = target != node_id ? move_begin(p, asker_pid, WHERE_NONE, target)
                       : cl->wanted ? E_BUSY : S_OK;
    if (s == S_RESTART || s == S_OK)
        proc_desc(p)->node_wanted = target == NODE_ANY ? ~0u : target;
    return s;
}

// The rule moves p, which lives here, to `target`. S_RESTART: it is under way and ends by
// placement_settled. proc_lock held.
status_t migrate_auto(struct proc *p, u8 target) {
    status_t s = move_begin(p, 0, WHERE_NONE, target);
    if (s == S_RESTART) p->cl.automatic = true;
    return s;
}

static struct proc *image_find(u32 pid) {
    struct proc *found = NULL;
    for (u32 i = 0; i < proc_count; i++) {
        if (procs[i].state != PROC_AWAY || procs[i].cl.ended) continue;
        if (proc_descs[i].pid != pid) continue;
        found = &procs[i];
        if (found->cl.frozen) return found;
    }
    return found;
}

static struct ask *ask_find(u32 pid, u32 asker_pid) {
    for (u32 i = 0; i < ASKS_MAX; i++)
        if (asks[i].used && asks[i].pid == pid && asks[i].asker_pid == asker_pid) return &asks[i];
    return NULL;
}

static status_t ask_begin(u32 pid, u32 asker_pid, u8 node, u8 target) {
    if (!cluster_is_up(node)) return E_HOSTUNREACH;
    for (u32 i = 0; i < ASKS_MAX; i++) {
        if (asks[i].used) continue;
        asks[i] = (struct ask){.used = true, .pid = pid, .asker_pid = asker_pid,
                               .node = node, .target = target,
                               .deadline_ns = time_now_ns() + ASK_MAX_NS};
        asks_to_send = true;
        netpoll_soon();
        return S_RESTART;
    }
    return E_AGAIN;
}

// The process is not here, or frozen here on its way.
static status_t request_away(u32 asker_pid, u32 pid, u8 target) {
    struct proc *p = image_find(pid);
    u8 at = where_pid(pid);
    if (p) {
        u64 word = proc_owner_word(p);
        bool runs_there = owner_state(word) == OWNER_RUNNING && owner_node(word) != node_id;
        if (!runs_there) return asker_pid == pid ? S_OK : S_RESTART;
        if (at == node_id) at = owner_node(word);
    }
    struct ask *ask = ask_find(pid, asker_pid);
    if (ask && ask->done) {
        ask->used = false;
        return ask->status;
    }
    if (asker_pid == pid) return S_OK;     // it asks from where it went
    if (ask) return S_RESTART;
    if (at == WHERE_NONE || at == node_id) return E_SRCH;
    // A guess from the pid alone is asked there: nobody may have it.
    if (target == NODE_ANY && (p || where_told(pid))) return S_OK;
    return ask_begin(pid, asker_pid, at, target == NODE_ANY ? at : target);
}

// See migrate.h. Waits on move_wait, but for a process that moves itself: that one goes to
// the edge, where it is frozen, and its call runs again at the other end.
status_t migrate_request(u32 asker_pid, u32 pid, const char *text) {
    u8 target = MOVE_AUTO;
    bool automatic = strncmp(text, "auto", 4) == 0;
    status_t s = automatic ? S_OK : target_parse(text, &target);
    if (s != S_OK) return s;
    spin_lock(&proc_lock);
    struct proc *p = proc_find(pid);
    if (automatic && p) {
        proc_desc(p)->node_wanted = ~0u;
    } else {
        s = p ? request_here(p, asker_pid, target) : request_away(asker_pid, pid, target);
    }
    bool self = p && p == proc_current() && asker_pid == pid;
    spin_unlock(&proc_lock);
    if (s == S_RESTART && !self) file_wait(&move_wait);
    return s;
}

void migrate_asked(u8 from, u32 pid, u8 target) {
    spin_lock(&proc_lock);
    struct proc *p = proc_find(pid);
    status_t s = E_SRCH;
    if (p) {
        const bool stays = target == node_id || target == MOVE_AUTO;
        if (target == node_id) migrate_auto_end(p, E_BUSY);
        s = stays ? S_OK : move_begin(p, 0, from, target);
        if (s == S_RESTART || s == S_OK)
            proc_desc(p)->node_wanted = target == MOVE_AUTO ? ~0u : target;
    }
    spin_unlock(&proc_lock);
    if (s == S_RESTART) return;
    struct cluster_msg m = {.type = MSG_MOVED, .status = s, .process = {.pid = pid}};
    (void)cluster_send(from, &m);
}

void migrate_answered(u32 pid, status_t status) {
    spin_lock(&proc_lock);
    for (u32 i = 0; i < ASKS_MAX; i++) {
        if (!asks[i].used || asks[i].done || asks[i].pid != pid) continue;
        asks[i].done = true;
        asks[i].status = status;
        asks[i].deadline_ns = time_now_ns() + ASK_MAX_NS;
        askers_to_wake = true;
    }
    spin_unlock(&proc_lock);
}

// The request on p has come to an end. Its asker, here or on another node, is told.
// net_lock and proc_lock held.
void migrate_settle(struct proc *p, status_t status) {
    struct proc_cluster *cl = &p->cl;
    list_remove(&cl->move);
    p->freeze_wanted = false;
    if (!cl->wanted) return;
    cl->wanted = false;
    migrate_auto_end(p, status);
    cl->result = status;
    cl->result_ready = cl->asker_pid != 0;
    askers_to_wake = true;
    if (cl->asker_node == WHERE_NONE) return;
    struct cluster_msg m = {.type = MSG_MOVED, .status = status,
                            .process = {.pid = proc_desc(p)->pid}};
    (void)cluster_send(cl->asker_node, &m);
    cl->asker_node = WHERE_NONE;
}

static void asks_send(void) {
    struct ask copy[ASKS_MAX];
    u32 count = 0;
    spin_lock(&proc_lock);
    asks_to_send = false;
    for (u32 i = 0; i < ASKS_MAX; i++) {
        if (!asks[i].used || asks[i].sent) continue;
        asks[i].sent = true;
        copy[count++] = asks[i];
    }
    spin_unlock(&proc_lock);
    for (u32 i = 0; i < count; i++) {
        struct cluster_msg m = {.type = MSG_MOVE,
                                .process = {.pid = copy[i].pid, .node = copy[i].target,
                                            .asker = node_id}};
        (void)cluster_send(copy[i].node, &m);
    }
}

#define EXPIRE_PERIOD_NS 100000000ull    // each poll would cost every packet

// An answer that does not come is E_TIMEDOUT; one that nobody takes is thrown away.
static void asks_expire(u64 now_ns) {
    static u64 look_at_ns;
    if (now_ns < look_at_ns) return;
    look_at_ns = now_ns + EXPIRE_PERIOD_NS;
    spin_lock(&proc_lock);
    for (u32 i = 0; i < ASKS_MAX; i++) {
        struct ask *a = &asks[i];
        if (!a->used || now_ns < a->deadline_ns) continue;
        if (a->done) a->used = false;
        a->done = true;
        a->status = E_TIMEDOUT;
        a->deadline_ns = now_ns + ASK_MAX_NS;
        askers_to_wake = true;
    }
    spin_unlock(&proc_lock);
}

// Sends what was asked of other nodes. net_lock held.
void move_request_poll(u64 now_ns) {
    if (asks_to_send) asks_send();
    asks_expire(now_ns);
}

// Wakes those whose requests came to an end. net_lock held, proc_lock not.
void move_request_wake(void) {
    if (askers_to_wake) {
        askers_to_wake = false;
        spin_lock(&files_lock);
        file_wake(&move_wait);
        spin_unlock(&files_lock);
    }
}

// Requests that `node` had are answered E_HOSTUNREACH. net_lock held.
void move_request_peer_down(u8 node) {
    for (u32 i = 0; i < ASKS_MAX; i++)
        if (asks[i].used && asks[i].node == node) migrate_answered(asks[i].pid, E_HOSTUNREACH);
}
