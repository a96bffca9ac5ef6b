// Per-CPU run queues: first come, first served, with a time slice; an idle CPU takes
// from the longest other queue. Called by the edge and by who makes a process ready.
// Lock: each queue's own (LOCK_RANK_RUNQ), inside proc_lock.
#include "sched/runq.h"

#include "kernel/x86/cpu.h"

static struct runq {
    struct spinlock lock;
    struct list_node ready;
    u32 length;
} runqs[CPU_MAX];

void runq_init(void) {
    for (u32 i = 0; i < CPU_MAX; i++) {
        spin_init(&runqs[i].lock, LOCK_RANK_RUNQ, "runq");
        list_init(&runqs[i].ready);
    }
}

static bool cpu_is_free(u32 i) { return !cpus[i].current && runqs[i].length == 0; }

// The CPU a ready process goes to: its last one where that is free, another free one,
// else the shorter of its own and the shortest queue.
static u32 pick_cpu(const struct proc *p) {
    u32 best = p->cpu < cpu_count ? p->cpu : 0;
    if (cpu_is_free(best)) return best;
    for (u32 i = 0; i < cpu_count; i++) {
        if (cpu_is_free(i)) return i;
        if (runqs[i].length < runqs[best].length) best = i;
    }
    return best;
}

// Puts a ready process into a queue and wakes its CPU. proc_lock held; p is on no CPU.
void runq_put(struct proc *p) {
    ASSERT(p->state == PROC_READY && !p->on_cpu && !list_linked(&p->run));
    u32 i = pick_cpu(p);
    spin_lock(&runqs[i].lock);
    list_push_back(&runqs[i].ready, &p->run);
    runqs[i].length++;
    spin_unlock(&runqs[i].lock);
    // A busy one takes notice as well: from now on its process has a time slice.
    if (i != cpu_this()->index) cpu_kick(i, EDGE_RESCHED);
}

// Takes p out of whichever queue it is in. proc_lock held.
void runq_remove(struct proc *p) {
    for (u32 i = 0; i < cpu_count; i++) {
        spin_lock(&runqs[i].lock);
        LIST_FOR_EACH_SAFE(it, &runqs[i].ready) {
            if (it != &p->run) continue;
            list_remove(it);
            runqs[i].length--;
        }
        spin_unlock(&runqs[i].lock);
    }
}

static struct proc *take_from(u32 i) {
    struct runq *q = &runqs[i];
    if (__atomic_load_n(&q->length, __ATOMIC_RELAXED) == 0) return NULL;
    spin_lock(&q->lock);
    struct list_node *n = list_pop_front(&q->ready);
    if (n) q->length--;
    spin_unlock(&q->lock);
    return n ? LIST_ENTRY(n, struct proc, run) : NULL;
}

// The next process for this CPU: its own queue first, then the others'. proc_lock held.
struct proc *runq_take(void) {
    u32 me = cpu_this()->index;
    struct proc *p = take_from(me);
    for (u32 i = 1; !p && i < cpu_count; i++) p = take_from((me + i) % cpu_count);
    return p;
}

// Whether anybody may be ready; a look without a lock: who puts one there, kicks its CPU.
bool runq_any(void) {
    for (u32 i = 0; i < cpu_count; i++)
        if (__atomic_load_n(&runqs[i].length, __ATOMIC_RELAXED) != 0) return true;
    return false;
}

u32 runq_length(u32 cpu_index) { return runqs[cpu_index].length; }

u32 runq_running_count(void) {
    u32 n = 0;
    for (u32 i = 0; i < cpu_count; i++) n += cpus[i].current != NULL;
    return n;
}

bool runq_others_wait(void) { return runqs[cpu_this()->index].length != 0; }
