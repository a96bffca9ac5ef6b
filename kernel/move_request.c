// Requests to move a process (`echo N > /proc/PID/node`): begun here where it runs here,
// asked of the node where it runs else; who asked waits and is told what became of it. A
// process that is on its way is looked for again until it is somewhere.
// Callers: procfs (files_lock held), whereabouts.c (net_lock), migrate.c.
// Locks: struct proc's `cl`, asks under proc_lock; sending under net_lock.
#include "kernel/migrate_priv.h"

#include "base/string.h"
#include "kernel/borrow.h"
#include "kernel/cluster.h"
#include "kernel/files/object.h"
#include "kernel/klog.h"
#include "kernel/may_run.h"
#include "kernel/options.h"
#include "kernel/placement.h"
#include "kernel/precopy.h"
#include "kernel/remote_fork.h"
#include "kernel/storm.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "kernel/trap.h"
#include "kernel/whereabouts.h"
#include "kernel/x86/cpu.h"

#define ASKS_MAX 1024u               // what waits in the shared queue has one
#define SENDS_MAX 32u                // in one round
#define ASK_MAX_NS (2 * MOVE_WAIT_MAX_NS)  // a request and its hops
#define ASK_AGAIN_NS 2000000ull            // how often a process on its way is looked for

enum ask_state {
    ASK_LOOK,                        // where is it? At look_at_ns, or when something is told
    ASK_HERE,                        // here; its move has begun (cl.wanted)
    ASK_SEND, ASK_OUT,               // `node` is to be asked; was asked
    ASK_DONE,                        // `status` waits for its asker
};

struct ask {
    bool used;
    enum ask_state state;
    u32 pid, asker_pid;
    u8 target, node, how;
    status_t status;
    u64 look_at_ns;
    u64 deadline_ns;                 // but for ASK_HERE: done by then; once done, taken by then
};

static struct ask asks[ASKS_MAX];
static u32 asks_end;                 // all from here on are unused
static u64 asks_at_ns = ~0ull;       // when to run them next; atomic
static struct wait_list move_wait = WAIT_LIST_INIT(move_wait);
static bool askers_to_wake;

static void asks_run_at(u64 ns) {
    if (ns < asks_at_ns) __atomic_store_n(&asks_at_ns, ns, __ATOMIC_RELAXED);
}

status_t move_target_parse(const char *text, u8 *target, const char **rest) {
    u32 n = 0, digits = 0;
    if (strncmp(text, "any", 3) == 0) {
        *target = NODE_ANY;
        return text[3] == 0 || text[3] == '\n' ? S_OK : E_INVAL;
    }
    for (; text[digits] >= '0' && text[digits] <= '9' && digits < 4; digits++)
        n = n * 10 + (u32)(text[digits] - '0');
    const bool more = rest && text[digits] == ' ';
    if (digits == 0 || (!more && text[digits] != 0 && text[digits] != '\n')) return E_INVAL;
    if (more) *rest = text + digits + 1;
    if (n >= NODES_MAX) return E_NXIO;
    *target = (u8)n;
    return S_OK;
}

// `post`, `stop` or `pre` behind the node; nothing: as the option move.how says.
static status_t how_parse(const char *word, u8 *how) {
    static const char *const names[MOVE_HOWS] = {"post", "stop", "pre"};
    *how = MOVE_HOWS;
    if (*word == 0) return S_OK;
    for (u8 i = 0; i < MOVE_HOWS; i++) {
        const u64 len = strlen(names[i]);
        if (strncmp(word, names[i], len) == 0 && (word[len] == 0 || word[len] == '\n')) *how = i;
    }
    return *how == MOVE_HOWS ? E_INVAL : S_OK;
}

// The rule's move of p ends, or was overruled before it was frozen. proc_lock held.
static void migrate_auto_end(struct proc *p, status_t status) {
    if (!p->cl.automatic) return;
    placement_settled(p, status);
    list_remove(&p->cl.move);
    p->cl.automatic = p->cl.wanted = p->freeze_wanted = p->cl.precopying = false;
    thread_held_go_on_locked();
}

// Somebody's move is under way, which ends first; the rule's makes way. proc_lock held.
static bool other_move(struct proc *p) {
    migrate_auto_end(p, E_BUSY);
    return p->cl.wanted;
}

static void pin(struct proc *p, u8 target) {
    proc_desc(p)->node_wanted = target == NODE_ANY || target == MOVE_AUTO ? ~0u : target;
}

// A new request; p lives here. S_RESTART: begun, and settled later. proc_lock held.
static status_t move_begin(struct proc *p, u8 asker_node, u8 target, u8 how) {
    struct proc_cluster *cl = &p->cl;
    if (target != NODE_ANY && !cluster_is_up(target)) return E_HOSTUNREACH;
    if (p->state == PROC_ZOMBIE) return E_SRCH;
    if (may_run_check(proc_desc(p), target) != S_OK) return E_OPNOTSUPP;
    if ((proc_desc(p)->pid & 0xffff) == 1) return E_BUSY;   // each node's init stays
    cl->wanted = true;
    cl->automatic = cl->drain_first = cl->precopying = false;
    cl->how = how == MOVE_HOWS ? options.move_how : how;
    if (proc_desc(p)->flags & PROC_FLAG_FRESH) cl->how = MOVE_POST;     // it is not to run here
    cl->rounds = 0;
    cl->refused = S_OK;
    cl->target = target;
    cl->asker_node = asker_node;
    const bool drains = cl->borrows || cl->borrowers || (cl->how == MOVE_PRE && cl->in_cluster);
    cl->deadline_ns = time_now_ns() + (drains ? MOVE_DRAIN_MAX_NS : MOVE_WAIT_MAX_NS);
    borrow_hurry(p);
    list_push_back(&migrate_moves, &cl->move);
    p->freeze_wanted = true;
    if (p->on_cpu && p->cpu != cpu_this()->index) cpu_kick(p->cpu, EDGE_STOP);
    edge_request(EDGE_NETPOLL);
    return S_RESTART;
}

// The rule moves p, which lives here, to `target`. S_RESTART: it is under way and ends by
// placement_settled. proc_lock held.
status_t migrate_auto(struct proc *p, u8 target) {
    if (p->cl.wanted) return E_BUSY;
    status_t s = move_begin(p, WHERE_NONE, target, MOVE_HOWS);
    if (s == S_RESTART) p->cl.automatic = true;
    return s;
}

// Moves p, which lives here, to `target`, and tells nobody what became of it; a move that is
// under way goes on instead (E_BUSY). S_RESTART: begun. proc_lock held.
status_t migrate_begin(struct proc *p, u8 target) {
    return other_move(p) ? E_BUSY : move_begin(p, WHERE_NONE, target, MOVE_HOWS);
}

// --- requests of this node ------------------------------------------------------------------

static void ask_done(struct ask *a, status_t status) {
    a->state = ASK_DONE;
    a->status = status;
    a->deadline_ns = time_now_ns() + ASK_MAX_NS;
    // Nobody takes the answer of one that moved itself: its call runs again where it went.
    // One that this node took out of the shared queue itself is still here, and does.
    if (a->asker_pid == a->pid && status == S_OK && !proc_find(a->pid)) a->used = false;
    askers_to_wake = true;
    asks_run_at(0);
    edge_request(EDGE_NETPOLL);
}

// It is here. A move that is under way already ends first: then it is looked for again.
static void ask_here(struct ask *a, struct proc *p) {
    a->look_at_ns = ~0ull;
    if (a->target != MOVE_AUTO && other_move(p)) return;
    const bool stays = a->target == node_id || a->target == MOVE_AUTO;
    status_t s = stays ? S_OK : move_begin(p, WHERE_NONE, a->target, a->how);
    if (s == S_RESTART || s == S_OK) pin(p, a->target);
    if (s == S_RESTART) a->state = ASK_HERE;
    else ask_done(a, s);
}

static void ask_there(struct ask *a, const struct where_found *found) {
    // It is away, as wanted. A guess from the pid alone is asked: nobody may have it.
    if (a->target == NODE_ANY && found->kind == WHERE_THERE) {
        ask_done(a, S_OK);
    } else if (!cluster_is_up(found->node)) {
        ask_done(a, E_HOSTUNREACH);
    } else {
        a->node = found->node;
        a->state = ASK_SEND;
        asks_run_at(0);
        edge_request(EDGE_NETPOLL);
    }
}

static void ask_look(struct ask *a) {
    const struct where_found found = where_look(a->pid);
    switch (found.kind) {
    case WHERE_HERE: ask_here(a, proc_find(a->pid)); return;
    case WHERE_TRANSIT: a->look_at_ns = time_now_ns() + ASK_AGAIN_NS; return;
    case WHERE_THERE:
    case WHERE_GUESS: ask_there(a, &found); return;
    case WHERE_GONE: ask_done(a, E_SRCH); return;
    }
}

static struct ask *ask_find(u32 pid, u32 asker_pid, u8 target) {
    for (u32 i = 0; i < asks_end; i++)
        if (asks[i].used && asks[i].pid == pid && asks[i].asker_pid == asker_pid &&
            asks[i].target == target)
            return &asks[i];
    return NULL;
}

static struct ask *ask_new(u32 pid, u32 asker_pid, u8 target) {
    for (u32 i = 0; i < ASKS_MAX; i++) {
        if (asks[i].used) continue;
        asks_end = MAX(asks_end, i + 1);
        asks[i] = (struct ask){.used = true, .pid = pid, .asker_pid = asker_pid, .target = target,
                               .deadline_ns = time_now_ns() + ASK_MAX_NS};
        return &asks[i];
    }
    return NULL;
}

// proc_lock held.
static status_t request(u32 asker_pid, u32 pid, u8 target, u8 how) {
    struct ask *a = ask_find(pid, asker_pid, target);
    if (!a) {
        // What moved itself asks from where it went.
        if (asker_pid == pid && where_look(pid).kind != WHERE_HERE) return S_OK;
        a = ask_new(pid, asker_pid, target);
        if (!a) return E_AGAIN;
        a->how = how;
        ask_look(a);
    }
    if (!a->used) return S_OK;
    if (a->state != ASK_DONE) {
        asks_run_at(MIN(a->look_at_ns, a->deadline_ns));
        return S_RESTART;
    }
    a->used = false;
    return a->status;
}

// The program that the asker executes next begins on that node: nothing of it has looked at
// a CPU then, so it may go where the asker could not.
static status_t exec_goes_to(u32 asker_pid, u32 pid, const char *text) {
    u8 target;
    status_t s = move_target_parse(text, &target, NULL);
    if (s != S_OK) return s;
    if (asker_pid != pid) return E_INVAL;
    if (target != NODE_ANY && !cluster_is_up(target)) return E_HOSTUNREACH;
    spin_lock(&proc_lock);
    struct proc *p = proc_find(pid);
    if (p) proc_desc(p)->exec_node = target + 1u;
    spin_unlock(&proc_lock);
    return p ? S_OK : E_SRCH;
}

// Its exec is done, and it has not run since. No lock held.
void migrate_exec(struct proc *p) {
    struct proc_desc *d = proc_desc(p);
    if (d->exec_node == 0) return;
    const u8 target = (u8)(d->exec_node - 1);
    status_t s = S_OK;
    d->exec_node = 0;
    spin_lock(&proc_lock);
    if (target != node_id)
        s = other_move(p) ? E_BUSY : move_begin(p, WHERE_NONE, target, MOVE_HOWS);
    if (s == S_OK || s == S_RESTART) pin(p, target);
    spin_unlock(&proc_lock);
    if (s != S_OK && s != S_RESTART)
        klog("move: process %u (%s) begins here, not on node %u (%d)", d->pid, d->name, target, s);
}

// See migrate.h. Waits on move_wait, but for a process that moves itself and can be frozen now:
// that one goes to the edge, where it is, and its call runs again at the other end.
status_t migrate_request(u32 asker_pid, u32 pid, const char *text) {
    u8 target = MOVE_AUTO, how;
    const char *word = "";
    if (strcmp(text, "storm") == 0 || strcmp(text, "storm\n") == 0) return storm_begin(pid);
    if (strncmp(text, "exec ", 5) == 0) return exec_goes_to(asker_pid, pid, text + 5);
    if (strncmp(text, "fork ", 5) == 0) return remote_fork_choose(asker_pid, pid, text + 5);
    status_t s = strncmp(text, "auto", 4) == 0 ? S_OK : move_target_parse(text, &target, &word);
    if (s == S_OK) s = how_parse(word, &how);
    if (s != S_OK) return s;
    spin_lock(&proc_lock);
    s = request(asker_pid, pid, target, how);
    const struct proc *p = asker_pid == pid ? proc_find(pid) : NULL;
    const bool at_edge = p && p == proc_current() && !migrate_must_finish_first(p);
    spin_unlock(&proc_lock);
    if (s == S_RESTART && !at_edge) file_wait(&move_wait);
    return s;
}

void migrate_answered(const struct cluster_msg *m) {
    const struct msg_process *p = &m->process;
    if (m->type == MSG_TWIN) {
        precopy_told(p->stay);
        return;
    }
    spin_lock(&proc_lock);
    if (m->status == S_OK && p->stay) where_heard(p->pid, p->node, p->stay);
    for (u32 i = 0; i < asks_end; i++) {
        struct ask *a = &asks[i];
        if (!a->used || a->state != ASK_OUT || a->pid != p->pid) continue;
        if (a->target != NODE_ANY && a->target != p->node) continue;
        if (m->status != E_AGAIN) {
            ask_done(a, m->status);
            continue;
        }
        a->state = ASK_LOOK;
        a->look_at_ns = time_now_ns() + ASK_AGAIN_NS;
        asks_run_at(a->look_at_ns);
    }
    spin_unlock(&proc_lock);
}

void move_request_look(u32 pid) {
    for (u32 i = 0; i < asks_end; i++) {
        if (!asks[i].used || asks[i].state != ASK_LOOK || asks[i].pid != pid) continue;
        asks[i].look_at_ns = 0;
        asks_run_at(0);
        edge_request(EDGE_NETPOLL);
    }
}

// Runs what is due; fills `out` with those to send. Returns how many. proc_lock held.
static u32 asks_step(u64 now_ns, struct ask out[SENDS_MAX]) {
    u32 count = 0;
    __atomic_store_n(&asks_at_ns, ~0ull, __ATOMIC_RELAXED);
    while (asks_end != 0 && !asks[asks_end - 1].used) asks_end--;
    for (u32 i = 0; i < asks_end; i++) {
        struct ask *a = &asks[i];
        if (!a->used) continue;
        if (a->state != ASK_HERE && now_ns >= a->deadline_ns) {
            if (a->state == ASK_DONE) {
                a->used = false;
                continue;
            }
            ask_done(a, a->state == ASK_LOOK ? E_BUSY : E_TIMEDOUT);
        }
        if (a->state == ASK_LOOK && now_ns >= a->look_at_ns) ask_look(a);
        if (!a->used) continue;
        if (a->state == ASK_SEND && count == SENDS_MAX) asks_run_at(0);
        else if (a->state == ASK_SEND) {
            a->state = ASK_OUT;
            out[count++] = *a;
        }
        if (a->state == ASK_LOOK) asks_run_at(a->look_at_ns);
        if (a->state != ASK_HERE) asks_run_at(a->deadline_ns);
    }
    return count;
}

// Looks for what is due, sends what is to be asked of other nodes. net_lock held.
void move_request_poll(u64 now_ns) {
    struct ask out[SENDS_MAX];
    if (now_ns < __atomic_load_n(&asks_at_ns, __ATOMIC_RELAXED)) return;
    spin_lock(&proc_lock);
    const u32 count = asks_step(now_ns, out);
    spin_unlock(&proc_lock);
    for (u32 i = 0; i < count; i++) {
        u8 target = out[i].target == NODE_ANY ? out[i].node : out[i].target;
        struct cluster_msg m = {.type = MSG_MOVE, .process = {.pid = out[i].pid, .node = target,
                                                              .asker = node_id,
                                                              .how = out[i].how}};
        (void)cluster_send(out[i].node, &m);
    }
}

u64 move_request_deadline_ns(void) { return __atomic_load_n(&asks_at_ns, __ATOMIC_RELAXED); }

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
    spin_lock(&proc_lock);
    for (u32 i = 0; i < asks_end; i++)
        if (asks[i].used && asks[i].state == ASK_OUT && asks[i].node == node)
            ask_done(&asks[i], E_HOSTUNREACH);
    spin_unlock(&proc_lock);
}

// --- requests of other nodes ----------------------------------------------------------------

static void answer(u8 asker, const struct cluster_msg *m) {
    if (asker == node_id) migrate_answered(m);
    else (void)cluster_send(asker, m);
}

void migrate_answer(u8 asker, u32 pid, u8 target, status_t status) {
    const struct cluster_msg m = {.type = MSG_MOVED, .status = status,
                                  .process = {.pid = pid, .node = target}};
    answer(asker, &m);
}

bool migrate_asked(u8 from, u32 pid, u8 target, u32 how) {
    spin_lock(&proc_lock);
    struct proc *p = proc_find(pid);
    status_t s = S_OK;
    // Another move ends first; a request of this very node's, passed round, begins here.
    if (p && (from == node_id || (target != MOVE_AUTO && other_move(p)))) s = E_AGAIN;
    else if (p && target != node_id && target != MOVE_AUTO)
        s = move_begin(p, from, target, (u8)MIN(how, (u32)MOVE_HOWS));
    if (p && (s == S_RESTART || s == S_OK)) pin(p, target);
    spin_unlock(&proc_lock);
    if (p && s != S_RESTART) migrate_answer(from, pid, target, s);
    return p != NULL;
}

// The request on p has come to an end. Its asker, here or on another node, is told.
// net_lock and proc_lock held.
void migrate_settle(struct proc *p, status_t status) {
    struct proc_cluster *cl = &p->cl;
    const u32 pid = proc_desc(p)->pid;
    list_remove(&cl->move);
    p->freeze_wanted = false;
    thread_held_go_on_locked();
    if (!cl->wanted) return;
    cl->wanted = cl->precopying = false;
    migrate_auto_end(p, status);
    for (u32 i = 0; i < asks_end; i++)
        if (asks[i].used && asks[i].state == ASK_HERE && asks[i].pid == pid)
            ask_done(&asks[i], status);
    move_request_look(pid);
    if (cl->asker_node == WHERE_NONE) return;
    const bool left = status == S_OK && p->state == PROC_AWAY;
    const struct cluster_msg m = {.type = MSG_MOVED, .status = status,
                                  .process = {.pid = pid, .node = cl->target,
                                              .stay = left ? proc_desc(p)->stay + 1 : 0}};
    (void)cluster_send(cl->asker_node, &m);
    cl->asker_node = WHERE_NONE;
}
