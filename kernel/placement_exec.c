// Placement at exec, when there is no memory to copy: what each executable used when it ran
// last, kept where it was started; and the choice of a node for one that begins. Called by
// exec, the edge and the end of a process through kernel/placement.c.
// Locks: profiles and notes under proc_lock; sending under net_lock.
#include "base/string.h"
#include "kernel/cluster.h"
#include "kernel/file.h"
#include "kernel/placement_priv.h"
#include "kernel/random.h"
#include "kernel/x86/cpu.h"

#define NOTES_MAX 32u                // profiles to tell to the nodes where the programs began
#define PROFILE_WORDS 2u             // key and CPU time; then a node and its cost at a time

struct note {
    u8 node;
    u64 key, cpu_ns;
    u32 count;
    struct place_cost cost[PLACE_PROFILE_NODES];
};

static struct place_profiles profiles;
static struct note notes[NOTES_MAX];
static u32 note_count;
static struct { u64 stay, move, queue, notes_lost; } counters;

// One name for a program: its path, by which of its names it was called, whose file it is.
static u64 key_of(const struct proc *p) {
    const struct proc_paths *paths = paths_of(p);
    u64 h = 0xcbf29ce484222325ull ^ proc_desc(p)->exe.node;     // FNV-1a
    for (const char *c = paths->exe; *c; c++) h = (h ^ (u8)*c) * 0x100000001b3ull;
    for (const char *c = paths->args; *c; c++) h = (h ^ (u8)*c) * 0x100000001b3ull;
    return h ? h : 1;
}

// The process runs another program from its next edge on.
void placement_exec(struct proc *p) {
    struct proc_place *pl = place_of(p);
    account_reset(&pl->account, time_now_ns());
    p->placing.charged_ns = proc_desc(p)->account.cpu_ns;
    pl->exec_key = key_of(p);
    pl->exec_node = (u8)node_id;
    pl->rule.advice = PLACE_NONE;
    p->placing.exec = p->placing.due = placement_is_on();
}

// The adviser believes in the node that the last run used for more than half.
static u8 advice_of(const struct place_profile *profile) {
    u64 sum = 0, most = 0;
    u8 node = PLACE_NONE;
    for (u32 i = 0; profile && i < profile->count; i++) {
        sum += profile->cost_ns[i];
        if (profile->cost_ns[i] <= most) continue;
        most = profile->cost_ns[i];
        node = profile->node[i];
    }
    return most > sum / 2 ? node : PLACE_NONE;
}

// Where a program that begins here should run: see place_exec. An executable without a
// clear home is left to the shared queue only where this node has no free CPU and another
// one has: else this node would be the first to take it.
enum place_verdict placement_exec_decide(struct proc *p, const struct place_world *world,
                                         struct place_exec_choice *choice) {
    struct proc_place *pl = place_of(p);
    struct place_load load[PLACE_TOUCHED_MAX];
    const struct place_prices prices = prices_for_place(&placement_prices);
    struct place_exec e = {.at = (u8)node_id, .allowed = pl->rule.allowed, .load = load,
                           .exec_move_ns = prices.exec_move_ns};
    bool free_elsewhere = false;
    for (u64 left = world->members; left != 0 && e.n_loads < PLACE_TOUCHED_MAX;
         left &= left - 1) {
        const u8 node = (u8)__builtin_ctzll(left);
        const u32 queue_len = placement_queue(node);
        load[e.n_loads++] = (struct place_load){node, queue_len};
        free_elsewhere |= node != node_id && queue_len == 0;
    }
    spin_lock(&proc_lock);
    const struct place_profile *profile = place_profile_find(&profiles, pl->exec_key);
    enum place_verdict verdict = place_exec(profile, &e, world, &choice->ties, &pl->last);
    choice->computes = profile && profile->cpu_ns > PLACE_CHARGE_MAX_NS;
    pl->rule.advice = advice_of(profile);
    spin_unlock(&proc_lock);
    if (verdict == PLACE_QUEUE && (placement_queue((u8)node_id) == 0 || !free_elsewhere)) {
        verdict = PLACE_STAY;
        pl->last.verdict = PLACE_STAY;
    }
    if (verdict == PLACE_STAY) counters.stay++;
    else if (verdict == PLACE_MOVE) counters.move++;
    else counters.queue++;
    return verdict;
}

// The program ended here: its profile is learnt, or told to where it began. proc_lock held.
void placement_exec_ended(struct proc *p) {
    const struct proc_place *pl = place_of(p);
    const struct place_prices prices = prices_for_place(&placement_prices);
    struct place_cost cost[ACCOUNT_NODES];
    if (pl->exec_key == 0 || cluster_member_count() < 2) return;
    const u32 count = account_costs(&pl->account, &prices, cost);
    const u64 cpu_ns = account_cpu_all(&pl->account);
    if (pl->exec_node == node_id) {
        place_profile_learn(&profiles, pl->exec_key, cost, count, cpu_ns);
    } else if (note_count == NOTES_MAX) {
        counters.notes_lost++;
    } else {
        struct note *n = &notes[note_count++];
        *n = (struct note){pl->exec_node, pl->exec_key, cpu_ns, MIN(count, PLACE_PROFILE_NODES),
                           {{0}}};
        memcpy(n->cost, cost, n->count * sizeof cost[0]);
    }
}

// Tells what ended here to where it began. net_lock held.
void placement_exec_tick(void) {
    struct note copy[NOTES_MAX];
    if (note_count == 0) return;
    spin_lock(&proc_lock);
    const u32 count = note_count;
    memcpy(copy, notes, count * sizeof notes[0]);
    note_count = 0;
    spin_unlock(&proc_lock);
    for (u32 i = 0; i < count; i++) {
        const struct note *n = &copy[i];
        struct cluster_msg m = {.type = MSG_PROFILE, .status = S_OK};
        m.stat.word[0] = n->key;
        m.stat.word[1] = n->cpu_ns;
        m.stat.count = PROFILE_WORDS + 2 * n->count;
        for (u32 k = 0; k < n->count; k++) {
            m.stat.word[PROFILE_WORDS + 2 * k] = n->cost[k].node;
            m.stat.word[PROFILE_WORDS + 2 * k + 1] = n->cost[k].cost_ns;
        }
        (void)cluster_send(n->node, &m);
    }
}

// A program that began here ended on another node. net_lock held.
void placement_exec_told(const struct cluster_msg *m) {
    struct place_cost cost[PLACE_PROFILE_NODES];
    u32 count = 0;
    if (m->stat.count < PROFILE_WORDS) return;
    for (u32 i = PROFILE_WORDS; i + 1 < m->stat.count && count < PLACE_PROFILE_NODES; i += 2) {
        if (m->stat.word[i] >= NODES_MAX) return;
        cost[count++] = (struct place_cost){(u8)m->stat.word[i], m->stat.word[i + 1]};
    }
    spin_lock(&proc_lock);
    place_profile_learn(&profiles, m->stat.word[0], cost, count, m->stat.word[1]);
    spin_unlock(&proc_lock);
}

// Boot: its figures in /nodes/N/status.
void placement_exec_init(void) {
    cluster_status_add_u64("exec_stay", &counters.stay);
    cluster_status_add_u64("exec_move", &counters.move);
    cluster_status_add_u64("exec_queue", &counters.queue);
    cluster_status_add_u64("exec_notes_lost", &counters.notes_lost);
}
