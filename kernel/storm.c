// See kernel/storm.h. The state moves with the process (struct proc_place), so that a storm is
// one sequence from its seed. Called at the edge, by fork, exit and procfs; belongs to whom the
// descriptor belongs to.
#include "kernel/storm.h"

#include "kernel/cluster.h"
#include "kernel/klog.h"
#include "kernel/migrate.h"
#include "kernel/options.h"
#include "kernel/placement.h"
#include "kernel/x86/cpu.h"

#define STORM_MIN_NS (5 * NS_PER_MS)
#define STORM_SPAN_NS (45 * NS_PER_MS)

static struct storm *storm_of(const struct proc *p) { return &place_of(p)->storm; }

// The next number of p's own sequence. Source: Marsaglia, "Xorshift RNGs", 2003.
static u64 draw(struct storm *s) {
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random;
}

static u64 used_ns(const struct proc *p) {
    const u64 running = proc_current() == p ? time_now_ns() - p->run_start_ns : 0;
    return proc_desc(p)->account.cpu_ns + running;
}

static void next_set(struct proc *p) {
    struct storm *s = storm_of(p);
    const bool over = options.storm_moves && proc_desc(p)->account.moves >= options.storm_moves;
    s->due_cpu_ns = over ? ~0ull : used_ns(p) + STORM_MIN_NS + draw(s) % STORM_SPAN_NS;
}

// E_OPNOTSUPP: the kernel was started without storm=SEED; E_SRCH: no such process here.
status_t storm_begin(u32 pid) {
    if (options.storm == 0) return E_OPNOTSUPP;
    spin_lock(&proc_lock);
    struct proc *p = proc_find(pid);
    if (p) {
        storm_of(p)->random = options.storm * 0x9e3779b97f4a7c15ull;
        proc_desc(p)->flags |= PROC_FLAG_STORM;
        next_set(p);
    }
    spin_unlock(&proc_lock);
    return p ? S_OK : E_SRCH;
}

// A child has a sequence of its own, from its parent's.
void storm_fork(struct proc *child, const struct proc *parent) {
    if (!storm_has(parent)) return;
    storm_of(child)->random = draw(storm_of(parent)) | 1;
    proc_desc(child)->flags |= PROC_FLAG_STORM;
    next_set(child);
}

u64 storm_due_ns(const struct proc *p) {
    const u64 used = used_ns(p), due = storm_of(p)->due_cpu_ns;
    return due == ~0ull ? due : time_now_ns() + (due > used ? due - used : 0);
}

// Another member, or this node where it is alone.
static u8 other_node(struct storm *s) {
    u8 others[NODES_MAX], count = 0;
    for (u8 n = 0; n < NODES_MAX; n++)
        if (n != node_id && cluster_is_up(n)) others[count++] = n;
    return count ? others[draw(s) % count] : (u8)node_id;
}

void storm_edge(struct proc *p) {
    struct storm *s = storm_of(p);
    if (used_ns(p) < s->due_cpu_ns) return;
    next_set(p);
    const u8 target = other_node(s);
    if (target == node_id) return;
    spin_lock(&proc_lock);
    const status_t status = migrate_begin(p, target);
    spin_unlock(&proc_lock);
    s->asked++;
    if (status != S_RESTART) s->refused++;
}

void storm_ended(const struct proc *p) {
    const struct proc_desc *d = proc_desc(p);
    const struct storm *s = storm_of(p);
    const u64 ms = used_ns(p) / NS_PER_MS;
    if (!storm_has(p)) return;
    klog("storm: process %u (%s) moved %lu times in %lu ms of its CPU (%lu due, %lu refused)",
         d->pid, d->name, d->account.moves, ms, s->asked, s->refused);
}
