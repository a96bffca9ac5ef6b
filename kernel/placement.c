// Carries out placement. At a process's edge its uses and its CPU time, priced, are told to
// sched/place.c; a move that it wants takes a unit of the target's capacity by a remote
// fetch-and-add, where the process is CPU-bound, and is then an ordinary request to move.
// Every tick of the cluster part this node looks which of its processes want the CPU, keeps
// its capacity word, and READs those of the others: all that they tell each other about load.
// Callers: the edge, file calls, migrate.c, the tick in cluster.c.
// Locks: struct proc_place as the descriptor; struct proc's `placing`: step, target,
// reserved, refused, unit under proc_lock, the rest its CPU's hints; moves and prices under
// net_lock.
#include "kernel/placement_priv.h"

#include "base/string.h"
#include "kernel/cluster.h"
#include "kernel/file.h"
#include "kernel/may_run.h"
#include "kernel/migrate.h"
#include "kernel/netpoll.h"
#include "kernel/options.h"
#include "kernel/random.h"
#include "kernel/remote_drive.h"
#include "kernel/trap.h"
#include "kernel/x86/cpu.h"
#include "sched/runq.h"

#define QUIET_TICKS 10u              // peers are looked at so rarely while nobody computes
#define BACKOFF_NS (500 * NS_PER_MS) // after a refused move: once to twice
#define PLACE_TICKS 8u               // that are remembered
#define BOUND_TICKS 6u               // of them: from so many on it is CPU-bound
#define UNBOUND_TICKS 2u             // and no more from so few down
#define RESERVES_MAX 16u             // moves whose unit is being taken
#define RECOUNT_TICKS 110u           // after a death: no move of before lasts so long
#define QUEUE_MAX_NS (200 * NS_PER_MS)   // an exec waits in the shared queue at most so long
#define CANCEL_MAX 16u               // at one tick
#define HANDLES_LOOKED_AT 16u
#define NR_EXECVE 59                 // Linux x86-64: arch/x86/entry/syscalls/syscall_64.tbl
#define NR_EXECVEAT 322

// A move whose unit of capacity is being taken. net_lock.
struct reserve {
    bool used;
    u32 index, pid;
    struct place_reserve m;
};
// What is known of a peer. net_lock; read without it for prices.
struct known { bool valid; u32 used, cpus; };

static struct reserve reserves[RESERVES_MAX];
static struct known known[NODES_MAX];
struct prices placement_prices;      // net_lock
static u32 units_back[NODES_MAX];    // units to give back; atomic
static u32 any_back;                 // atomic
static u32 ticks_quiet, recount_left, recount_lost;
static bool ready;                   // set at the end of boot, where placement is on
static struct {
    u64 decisions, moves, moved, refused, full, ticks, lost, visits;
} counters;

static u32 bits_of(u32 v) {
    u32 count = 0;
    for (; v != 0; v &= v - 1) count++;
    return count;
}

bool placement_is_on(void) { return !options.place_off; }

// Nodes whose number has a bit in the masks of the rule.
static u64 members(void) { return cluster_up_mask(); }

static bool is_init(u32 pid) { return (pid & 0xffff) == 1; }

// A console's shell stays where people sit: they would lose it with another node.
static bool is_console_shell(const struct proc_desc *d) {
    return d->sid == d->pid && is_init(d->ppid);
}

bool placement_may_move(const struct proc *p) {
    const struct proc_desc *d = proc_desc(p);
    return placement_is_on() && d->node_wanted == ~0u && !is_init(d->pid) &&
           !is_console_shell(d);
}

// --- a process's life ----------------------------------------------------------------------

// D of p: what moving it now costs, all its pages taken as needed again.
u64 placement_move_ns(const struct proc *p) {
    const struct place_prices prices = prices_for_place(&placement_prices);
    const struct proc_desc *d = proc_desc(p);
    return place_price_move(&prices, d->pages_resident + d->pages_remote);
}

void placement_new(struct proc *p) {
    struct proc_place *pl = place_of(p);
    memset(pl, 0, sizeof *pl);
    place_init(&pl->rule, (u8)node_id, placement_move_ns(p));
    account_reset(&pl->account, time_now_ns());
}

// A program begins on node `at`: what the one before it used says nothing.
static void rule_begin(struct proc_place *pl, u8 at, u64 move_ns) {
    const u64 allowed = pl->rule.allowed;
    const u8 advice = pl->rule.advice;
    place_init(&pl->rule, at, move_ns);
    pl->rule.allowed = allowed;
    pl->rule.advice = advice;
}

// The frozen descriptor tells the target what it needs to know.
void placement_giving(struct proc *p) {
    struct proc_desc *d = proc_desc(p);
    d->place_unit = p->placing.reserved ? (u8)(p->placing.target + 1) : 0;
    d->place_auto = p->cl.automatic;
    d->place_ticks = p->placing.reserved ? 0xff : p->placing.ticks;
}

void placement_arrived(struct proc *p) {
    const struct proc_desc *d = proc_desc(p);
    struct proc_place *pl = place_of(p);
    p->placing.ticks = d->place_ticks;
    p->placing.unit = d->place_unit == node_id + 1;
    place_moved(&pl->rule, (u8)node_id);
    if (pl->fresh || !d->place_auto) rule_begin(pl, (u8)node_id, pl->rule.price_move_ns);
    pl->rule.not_before_ns = 0;                  // of the giver's clock, as are these:
    const u64 delta = time_now_ns() - d->frozen_ns;
    pl->begun.time_ns += delta;
    pl->last.time_ns += delta;
    pl->account.since_ns += delta;
    if (!d->place_auto) return;
    pl->move = pl->begun;
    pl->moves++;
    counters.moved++;
}

static void unit_set(struct proc *p, bool unit) {
    if (p->placing.unit == unit) return;
    p->placing.unit = unit;
    cluster_capacity_add_own(unit ? 1 : ~0ull);
}

void placement_left(struct proc *p) { unit_set(p, false); }

void placement_ended(struct proc *p) {
    unit_set(p, false);
    if (ready) placement_exec_ended(p);
}

static void unit_back(u8 node) {
    if (node == node_id) {
        cluster_capacity_add_own(~0ull);
        return;
    }
    __atomic_fetch_add(&units_back[node], 1, __ATOMIC_RELAXED);
    __atomic_store_n(&any_back, 1, __ATOMIC_RELEASE);
}

// A move came to nothing: the rule is told at p's next edge. proc_lock held.
static void refuse(struct proc *p, status_t why) {
    p->placing.step = PLACE_IDLE;
    p->placing.refused = why;
    p->placing.due = true;
    counters.refused++;
    if (why == E_NOBUFS) counters.full++;
}

void placement_settled(struct proc *p, status_t status) {
    struct proc_placing *g = &p->placing;
    if (g->step != PLACE_MOVING) return;
    if (status != S_OK && g->reserved) unit_back(g->target);
    g->reserved = false;
    if (status == S_OK) g->step = PLACE_IDLE;
    else refuse(p, status);
}

// --- uses ----------------------------------------------------------------------------------

static u64 bytes_of(const struct p9_call *c) {
    switch (c->type) {
    case P9_TREAD: case P9_TREADDIR: case P9_TREADLINK: return c->status == S_OK ? c->result : 0;
    case P9_TWRITE: return c->status == S_OK ? c->result : c->count;
    default: return 0;
    }
}

void placement_used_here(struct proc *p, const struct p9_call *c, enum account_kind kind) {
    struct account *a = &place_of(p)->account;
    if (c->type == P9_TPAGE) {       // fetched once, then its own: as a page after a move
        account_page(a, (u8)node_id);
        return;
    }
    // From elsewhere it would most likely be one-sided, so it has that price here as well.
    const bool one_sided = kind == ACCOUNT_DRIVE && remote_drive_wanted(c);
    const bool due = one_sided ? account_one_sided(a, (u8)node_id, 2, bytes_of(c))
                               : account_message(a, (u8)node_id, kind, bytes_of(c));
    if (due) p->placing.due = true;
}

void placement_used_pipe(struct proc *p, u64 bytes) {
    if (account_message(&place_of(p)->account, (u8)node_id, ACCOUNT_PIPE, bytes))
        p->placing.due = true;
}

// Another node's object: by what is known here of its kind.
static enum account_kind kind_of(const struct proc *p, const struct p9_call *c) {
    struct remote_drive_map map;
    const struct proc_desc *d = proc_desc(p);
    if (remote_drive_find(c->object, &map) == REMOTE_DRIVE_MAPPED) return ACCOUNT_DRIVE;
    if (c->type != P9_TREAD && c->type != P9_TWRITE) return ACCOUNT_FILE;
    for (u32 fd = 0; fd < d->handle_max && fd < HANDLES_LOOKED_AT; fd++) {
        const struct handle *h = handle_get(p, fd);
        if (h && object_id_equal(h->object, c->object))
            return h->flags & HANDLE_PIPE ? ACCOUNT_PIPE : ACCOUNT_FILE;
    }
    return ACCOUNT_FILE;
}

void placement_used_there(struct proc *p, const struct p9_call *c, bool one_sided, u64 wait_ns) {
    struct account *a = &place_of(p)->account;
    const u8 node = (u8)c->object.node;
    account_wait(a, node, wait_ns);
    if (c->type == P9_TPAGE) {
        account_page(a, node);
        return;
    }
    const bool due = one_sided ? account_one_sided(a, node, 2, bytes_of(c))
                               : account_message(a, node, kind_of(p, c), bytes_of(c));
    if (due) p->placing.due = true;
}

void placement_price(enum price which, u64 ns) { prices_sample(&placement_prices, which, ns); }

// What is left of a one-sided read without its round trips is the price of its bytes.
void placement_price_of_drive(u64 ns, u64 bytes) {
    const u64 trips = 2 * prices_now(&placement_prices, PRICE_ROUND_TRIP);
    if (bytes >= PAGE_SIZE && ns > trips) placement_price(PRICE_KIB, (ns - trips) / (bytes / KIB));
}

// --- the decision --------------------------------------------------------------------------

// How many others want the same CPU where `used` processes share `on_cpus`, this one counted.
static u32 queue_of(u32 used, u32 on_cpus) {
    return used <= on_cpus || on_cpus == 0 ? 0 : (used + on_cpus - 1) / on_cpus - 1;
}

u32 placement_queue(u8 node) {
    const u32 own = (u32)FIELD_GET(PLACE_CAPACITY_USED, cluster_capacity_own());
    if (node == node_id) return queue_of(own + 1, cpu_count);
    return known[node].valid ? queue_of(known[node].used + 1, known[node].cpus) : 1;
}

// This node computes on all its CPUs, and another has one free: what lies in the shared
// queue is left to that. Any context.
bool placement_leaves_work(void) {
    if (!ready || placement_queue((u8)node_id) == 0) return false;
    for (u64 left = members() & ~BIT(node_id); left != 0; left &= left - 1)
        if (placement_queue((u8)__builtin_ctzll(left)) == 0) return true;
    return false;
}

// What the CPU time since the last time cost here, and would have cost on the others. Those
// of which nothing is known count as this one: nothing draws it there.
static void charge_cpu(struct proc *p, struct proc_place *pl, u64 up) {
    struct place_cost cost[PLACE_TOUCHED_MAX];
    u64 all_ns = proc_desc(p)->account.cpu_ns;
    if (p->on_cpu) all_ns += time_now_ns() - p->run_start_ns;
    const u64 cpu_ns = MIN(all_ns - p->placing.charged_ns, (u64)PLACE_CHARGE_MAX_NS);
    u32 count = 0;
    p->placing.charged_ns = all_ns;
    const u32 here = MAX((u32)FIELD_GET(PLACE_CAPACITY_USED, cluster_capacity_own()), 1u);
    const u64 cost_here = place_price_load(queue_of(here, cpu_count), cpu_ns);
    for (u64 left = up; left != 0 && count < PLACE_TOUCHED_MAX; left &= left - 1) {
        const u8 node = (u8)__builtin_ctzll(left);
        const struct known *k = &known[node];
        const u64 there = place_price_load(queue_of(k->used + 1, k->cpus), cpu_ns);
        cost[count++] = (struct place_cost){node, node != node_id && k->valid ? there : cost_here};
    }
    place_load(&pl->rule, up, cost, count);
}

static void charge_uses(struct proc_place *pl, u64 up) {
    const struct place_prices prices = prices_for_place(&placement_prices);
    struct place_use use[ACCOUNT_NODES];
    const u32 count = account_take(&pl->account, use);
    for (u32 i = 0; i < count; i++)
        place_access(&pl->rule, up, use[i].node, place_price_use(&prices, &use[i]));
}

// D as it is now; the values are capped anew only where it changed by more than an eighth.
static void update_price(struct proc *p, struct proc_place *pl) {
    const u64 d = placement_move_ns(p), was = pl->rule.price_move_ns;
    if (d > was + was / 8 || d < was - was / 8) place_set_price(&pl->rule, d);
}

// p is to go to `target`. reserved: a unit of it was taken. proc_lock held.
static void move_begin(struct proc *p, u8 target, bool reserved) {
    p->placing.target = target;
    p->placing.reserved = reserved;
    p->placing.step = PLACE_MOVING;
    const status_t s = placement_may_move(p) ? migrate_auto(p, target) : E_BUSY;
    if (s == S_RESTART) counters.moves++;
    else placement_settled(p, s);
}

static void added(void *ctx, status_t status, const struct cluster_load *found);

// Goes on until an add is out or it is settled. net_lock held, proc_lock not.
static void reserve_run(struct reserve *r, enum place_reserve_next next) {
    while (next == PLACE_RESERVE_ADD) {
        if (cluster_capacity_add(r->m.node, r->m.addend, added, r) == S_OK) return;
        next = place_reserve_step(&r->m, E_HOSTUNREACH, 0);
    }
    struct proc *p = &procs[r->index];
    spin_lock(&proc_lock);
    const bool same = proc_desc(p)->pid == r->pid && p->placing.step == PLACE_RESERVING &&
                      p->state != PROC_FREE && p->state != PROC_ZOMBIE && p->state != PROC_AWAY;
    if (next == PLACE_RESERVE_GOT && same) move_begin(p, r->m.node, true);
    else if (next == PLACE_RESERVE_GOT) unit_back(r->m.node);
    else if (same) refuse(p, E_NOBUFS);
    spin_unlock(&proc_lock);
    r->used = false;
}

// An add that was to give a unit back and found its node dead needs no more.
static void added(void *ctx, status_t status, const struct cluster_load *found) {
    struct reserve *r = ctx;
    reserve_run(r, place_reserve_step(&r->m, status, found->capacity));
}

// The rule wants p, current here, to go to one of `ties`. One that computes takes a unit.
static void begin(struct proc *p, struct proc_place *pl, u64 ties, bool computes) {
    u32 i = 0;
    netpoll_lock();
    while (i < RESERVES_MAX && reserves[i].used) i++;
    spin_lock(&proc_lock);
    const bool idle = p->placing.step == PLACE_IDLE && !p->cl.wanted;
    if (idle && !computes) move_begin(p, pl->last.target, false);
    else if (idle && i < RESERVES_MAX) p->placing.step = PLACE_RESERVING;
    else if (idle) refuse(p, E_AGAIN);
    spin_unlock(&proc_lock);
    if (idle && computes && i < RESERVES_MAX) {
        reserves[i] = (struct reserve){.used = true, .index = p->index, .pid = proc_desc(p)->pid};
        reserve_run(&reserves[i],
                    place_reserve_begin(&reserves[i].m, &pl->rule, ties, &kernel_rng));
    }
    netpoll_unlock();
}

// The last move was refused: the rule waits a while.
static void note_refusal(struct proc *p, struct proc_place *pl, const struct place_world *world) {
    const status_t why = p->placing.refused;
    p->placing.refused = S_OK;
    pl->refusals++;
    place_not_moved(&pl->rule, world);
    if (why == E_NOBUFS) pl->last.reason = PLACE_R_FULL;
    if (why == E_NOBUFS) pl->last.verdict = PLACE_STAY;
}

// What exec itself uses says nothing of the program that follows.
static bool in_exec(const struct proc *p) {
    const i32 nr = proc_desc(p)->wait.nr;
    return nr == NR_EXECVE || nr == NR_EXECVEAT;
}

// Another program begins: a move costs least now.
static void begin_exec(struct proc *p, struct proc_place *pl, const struct place_world *world) {
    struct place_exec_choice choice;
    const enum place_verdict verdict = placement_exec_decide(p, world, &choice);
    rule_begin(pl, (u8)node_id, placement_move_ns(p));
    pl->fresh = verdict != PLACE_STAY;
    if (verdict == PLACE_STAY) return;
    pl->begun = pl->last;
    if (verdict == PLACE_MOVE) {
        begin(p, pl, choice.ties, choice.computes);
        return;
    }
    spin_lock(&proc_lock);
    if (p->placing.step == PLACE_IDLE && !p->cl.wanted) move_begin(p, NODE_ANY, false);
    spin_unlock(&proc_lock);
}

void placement_edge(struct proc *p) {
    struct proc_place *pl = place_of(p);
    const u64 up = members(), visits = pl->rule.visits;
    u64 ties;
    p->placing.due = false;
    const bool ticked = p->placing.ticked, exec = p->placing.exec;
    p->placing.ticked = p->placing.exec = false;
    if (!ready || in_exec(p)) return;
    const struct place_world world = {time_now_ns(), up, BACKOFF_NS, &kernel_rng};
    pl->rule.pinned = !placement_may_move(p);
    pl->rule.moving = p->placing.step != PLACE_IDLE;
    pl->rule.allowed = may_run_mask(proc_desc(p), up);
    update_price(p, pl);
    if (exec && !pl->rule.pinned && !pl->rule.moving && (up & ~BIT(node_id)) != 0) {
        begin_exec(p, pl, &world);
        return;
    }
    if (!pl->rule.moving) pl->fresh = false;     // it goes to where its exec wants it first
    charge_uses(pl, up);
    if (ticked) charge_cpu(p, pl, up);
    if (p->placing.refused != S_OK) {
        note_refusal(p, pl, &world);
        return;
    }
    const enum place_verdict verdict = place_decide(&pl->rule, &world, &ties, &pl->last);
    counters.decisions++;
    counters.visits += pl->rule.visits - visits;
    if (verdict != PLACE_MOVE) return;
    pl->begun = pl->last;
    begin(p, pl, ties, p->placing.unit);
}

// --- the tick ------------------------------------------------------------------------------

// What nobody took out of the shared queue goes on here.
static void queue_cancel(void) {
    u32 late[CANCEL_MAX], count = 0;
    const u64 now = time_now_ns();
    spin_lock(&proc_lock);
    for (u32 i = 0; i < proc_end && count < CANCEL_MAX; i++) {
        const struct proc_cluster *cl = &procs[i].cl;
        if (procs[i].state == PROC_AWAY && cl->frozen && cl->giving && cl->automatic &&
            cl->target == NODE_ANY && now - proc_desc(&procs[i])->frozen_ns > QUEUE_MAX_NS)
            late[count++] = i;
    }
    spin_unlock(&proc_lock);
    for (u32 i = 0; i < count; i++) cluster_node_cancel(cluster_node(), late[i], E_AGAIN);
}

// Which processes want the CPU now; in ticks that were left out none did. CPU-bound ones count in
// the capacity word and are charged for their time at their edge. Returns how many there are.
static u32 look_at_processes(u64 left_out) {
    const u32 shift = (u32)MIN(left_out, (u64)PLACE_TICKS) + 1;
    bool any = false;
    u32 count = 0;
    spin_lock(&proc_lock);
    for (u32 i = 0; i < proc_end; i++) {
        struct proc *p = &procs[i];
        if (p->state == PROC_FREE || p->state == PROC_AWAY || p->state == PROC_ZOMBIE) continue;
        const bool wants = p->state == PROC_RUNNING || p->state == PROC_READY;
        any |= wants || p->on_cpu;
        if (!wants && p->placing.ticks == 0) continue;
        p->placing.ticks = (u8)((u32)p->placing.ticks << shift | wants);
        if (bits_of(p->placing.ticks) >= BOUND_TICKS) unit_set(p, true);
        if (bits_of(p->placing.ticks) <= UNBOUND_TICKS) unit_set(p, false);
        if (!p->placing.unit) continue;
        count++;
        p->placing.ticked = p->placing.due = true;
        if (p->on_cpu && p->cpu != cpu_this()->index) cpu_kick(p->cpu, EDGE_RESCHED);
    }
    __atomic_store_n(&runq_rests, !any && count == 0, __ATOMIC_RELAXED);
    spin_unlock(&proc_lock);
    return count;
}

// This node's share of all CPU-bound processes, by its share of the CPUs.
static void capacity_update(u64 up) {
    const u64 word = cluster_capacity_own();
    u64 sum = FIELD_GET(PLACE_CAPACITY_USED, word), all_cpus = cpu_count;
    for (u64 left = up & ~BIT(node_id); left != 0; left &= left - 1) {
        const struct known *k = &known[__builtin_ctzll(left)];
        if (!k->valid) continue;
        sum += k->used;
        all_cpus += k->cpus;
    }
    const u64 share = MAX((sum * cpu_count + all_cpus - 1) / all_cpus, (u64)cpu_count);
    const u64 change = place_capacity_set(word, (u32)share);
    if (change != 0) cluster_capacity_add_own(change);
}

static void learned(void *ctx, status_t status, const struct cluster_load *found) {
    struct known *k = ctx;
    if (status != S_OK) return;
    k->used = (u32)FIELD_GET(PLACE_CAPACITY_USED, found->capacity);
    k->cpus = (u32)MIN(found->cpus, 1024ull);
    k->valid = true;
}

// True: peers are to be looked at in this tick.
static bool look_wanted(u32 here, u64 up) {
    bool any = here != 0 || FIELD_GET(PLACE_CAPACITY_USED, cluster_capacity_own()) != 0;
    for (u64 left = up & ~BIT(node_id); left != 0; left &= left - 1)
        any |= known[__builtin_ctzll(left)].used != 0 || !known[__builtin_ctzll(left)].valid;
    return any;
}

// Units that moves of a dead node took here and nobody stands behind: the fewest seen over
// so long a time that no move of before its death can last.
static void recount(u32 present) {
    if (recount_left == 0) return;
    const u64 lost = place_capacity_lost(cluster_capacity_own(), present);
    recount_lost = (u32)MIN((u64)recount_lost, lost);
    if (--recount_left != 0 || recount_lost == 0) return;
    counters.lost += recount_lost;
    cluster_capacity_add_own(-(u64)recount_lost);
}

static void give_back_done(void *ctx, status_t status, const struct cluster_load *found) {
    (void)ctx; (void)status; (void)found;
}

static void give_back(void) {
    __atomic_store_n(&any_back, 0, __ATOMIC_RELAXED);
    for (u32 node = 0; node < NODES_MAX; node++) {
        const u32 count = __atomic_exchange_n(&units_back[node], 0, __ATOMIC_ACQUIRE);
        if (count == 0) continue;
        const status_t s = cluster_capacity_add(node, -(u64)count, give_back_done, NULL);
        if (s != E_AGAIN) continue;              // done, or the node and its word are gone
        __atomic_fetch_add(&units_back[node], count, __ATOMIC_RELAXED);
        __atomic_store_n(&any_back, 1, __ATOMIC_RELAXED);
    }
}

bool placement_tick_wanted(void) {
    return ready && (!__atomic_load_n(&runq_rests, __ATOMIC_RELAXED) || recount_left != 0 ||
                     __atomic_load_n(&any_back, __ATOMIC_RELAXED));
}

void placement_tick(u64 left_out) {
    if (!ready) return;
    if (__atomic_load_n(&any_back, __ATOMIC_RELAXED)) give_back();
    const u64 up = members();
    const u32 count = look_at_processes(left_out);
    counters.ticks++;
    queue_cancel();
    placement_exec_tick();
    recount(count);
    capacity_update(up);
    if (!look_wanted(count, up) && ++ticks_quiet < QUIET_TICKS) return;
    ticks_quiet = 0;
    for (u64 left = up & ~BIT(node_id); left != 0; left &= left - 1) {
        const u32 node = (u32)__builtin_ctzll(left);
        (void)cluster_load_read(node, learned, &known[node]);   // E_AGAIN: the next tick
    }
}

void placement_peer_down(u8 node) {
    known[node] = (struct known){0};
    __atomic_store_n(&units_back[node], 0, __ATOMIC_RELAXED);
    recount_left = RECOUNT_TICKS;
    recount_lost = ~0u;
}

static u64 get_bound(const void *ctx) {
    (void)ctx;
    return FIELD_GET(PLACE_CAPACITY_USED, cluster_capacity_own());
}

void placement_init(void) {
    cluster_load_init();
    cluster_status_add("cpu_bound", get_bound, NULL);
    cluster_status_add_u64("place_moves", &counters.moves);
    cluster_status_add_u64("place_moved", &counters.moved);
    cluster_status_add_u64("place_refused", &counters.refused);
    cluster_status_add_u64("place_full", &counters.full);
    cluster_status_add_u64("place_lost", &counters.lost);
    cluster_status_add_u64("place_ticks", &counters.ticks);
    cluster_status_add_u64("place_decisions", &counters.decisions);
    cluster_status_add_u64("place_visits", &counters.visits);
    placement_exec_init();
    ready = placement_is_on();
}
