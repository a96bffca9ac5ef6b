// Per-CPU run queues, each shared fairly by weight (sched/fair.h). sched/nearby.h says to which a
// ready process goes, and from which an idle CPU takes. Called by the edge and by who makes a
// process ready.
// Lock: proc_lock, but for the looks at lengths.
#include "sched/runq.h"

#include "kernel/x86/cpu.h"
#include "mm/frame.h"
#include "sched/nearby.h"

struct fair_queue runqs[CPU_MAX];
struct runq_counters runq_counters;
bool runq_rests;
static u32 weights[FAIR_NICE_MAX - FAIR_NICE_MIN + 1];

// Makes the queues. Context: boot, once proc_count is known, before there is a process.
void runq_init(void) {
    const u64 heap_bytes = (proc_count * sizeof(struct fair_entity *) + PAGE_MASK) & ~PAGE_MASK;
    const paddr_t heaps = frame_alloc_contiguous(CPU_MAX * heap_bytes / PAGE_SIZE, FRAME_KERNEL);
    ASSERT(heaps.v);
    u8 *at = phys_to_virt(heaps);
    for (u32 i = 0; i < CPU_MAX; i++)
        fair_init(&runqs[i], (struct fair_entity **)(void *)(at + i * heap_bytes), proc_count);
    for (u32 i = 0; i < ARRAY_COUNT(weights); i++)
        weights[i] = fair_weight((i32)i + FAIR_NICE_MIN);
}

static u32 length_of(u32 i) { return __atomic_load_n(&runqs[i].count, __ATOMIC_RELAXED); }

static bool cpu_runs(u32 i) { return cpus[i].current != NULL; }

// The CPU that a ready process goes to.
static u32 pick_cpu(const struct proc *p) {
    const u32 last = p->cpu < cpu_count ? p->cpu : 0;
    if (!cpu_runs(last) && length_of(last) == 0) {
        runq_counters.last++;
        return last;
    }
    runq_counters.other++;
    if (cpu_count == 1) return last;
    const struct nearby v = {cpu_count, cpu_runs, length_of};
    return nearby_wake(&v, last, cpu_this()->index);
}

static u32 weight_of(const struct proc_desc *d) {
    if (d->sched_policy == SCHED_IDLE) return FAIR_WEIGHT_IDLE;
    return weights[d->nice - FAIR_NICE_MIN];
}

// Puts a ready process into a queue and wakes its CPU. proc_lock held; p is on no CPU.
void runq_put(struct proc *p) {
    ASSERT(p->state == PROC_READY && !p->on_cpu && p->fair.place == 0);
    const u32 i = pick_cpu(p);
    if (runq_rests) {
        __atomic_store_n(&runq_rests, false, __ATOMIC_RELAXED);
        __atomic_or_fetch(&cpu_this()->edge_work, EDGE_NETPOLL, __ATOMIC_RELAXED);
    }
    p->fair.weight = weight_of(proc_desc(p));
    fair_put(&runqs[i], &p->fair);
    struct proc *running = cpus[i].current;
    if (running && proc_desc(p)->sched_policy == SCHED_OTHER &&
        fair_preempts(&p->fair, &running->fair, time_now_ns() - running->run_start_ns))
        running->slice_over = true;
    // A busy one takes notice as well: from now on its process has a time slice.
    if (i != cpu_this()->index) cpu_kick(i, EDGE_RESCHED);
}

// Takes p out of the queue it is in, if any. proc_lock held.
void runq_remove(struct proc *p) {
    if (p->fair.place != 0) fair_remove(p->fair.home, &p->fair);
}

// The next process for this CPU: its own queue's, else one that a neighbour can spare.
// proc_lock held.
struct proc *runq_take(void) {
    const u32 me = cpu_this()->index;
    struct fair_entity *e = fair_take(&runqs[me]);
    if (!e && cpu_count > 1) {
        const struct nearby v = {cpu_count, cpu_runs, length_of};
        const u32 from = nearby_victim(&v, me);
        if (from < cpu_count) e = fair_steal(&runqs[me], &runqs[from]);
        runq_counters.stolen += e != NULL;
    }
    return e ? CONTAINER_OF(e, struct proc, fair) : NULL;
}

// Charges p, which leaves this CPU, with the time it ran (ns). proc_lock held.
void runq_charge(struct proc *p, u64 ran_ns) {
    fair_charge(&runqs[cpu_this()->index], &p->fair, ran_ns);
}

// p, which waited, runs on this CPU at once, in another's turn: its place is in this queue's time
// from now on. proc_lock held.
void runq_join(struct proc *p) {
    fair_join(&runqs[cpu_this()->index], &p->fair, weight_of(proc_desc(p)));
}

// Whether anybody may be ready; a look without a lock: who puts one there, kicks its CPU.
bool runq_any(void) {
    for (u32 i = 0; i < cpu_count; i++)
        if (length_of(i) != 0) return true;
    return false;
}

// How many are ready for that CPU. Any context; a hint.
u32 runq_length(u32 cpu_index) { return length_of(cpu_index); }

u32 runq_running_count(void) {
    u32 n = 0;
    for (u32 i = 0; i < cpu_count; i++) n += cpus[i].current != NULL;
    return n;
}

bool runq_others_wait(void) { return length_of(cpu_this()->index) != 0; }
