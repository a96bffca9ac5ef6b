// The heartbeat: each CPU's housekeeping in turn advances the word, at the edge and never in
// an interrupt handler, so a CPU that hangs in the kernel stops it for all to see. A panic
// marks it DEAD. Called by cluster.c's tick and by the edge. docs/reference/join.md.
#include "kernel/beat.h"

#include "kernel/cluster_priv.h"
#include "kernel/trap.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/words.h"

static u32 turn;                     // atomic: the CPU that is to advance the word

// The edge of any CPU: atomics alone, no lock. Members only READ the word, so the CPU's will do
// with any card.
static void beat(void) {
    if (cpu_this()->index != __atomic_load_n(&turn, __ATOMIC_RELAXED)) return;
    word_add(&cpu_word_ops, &cluster.words->heartbeat, 1);
    __atomic_store_n(&turn, (turn + 1) % cpu_count, __ATOMIC_RELEASE);
}

void beat_init(void) { edge_hook_set(EDGE_BEAT, beat); }

void beat_tick(void) {
    const u32 cpu = __atomic_load_n(&turn, __ATOMIC_ACQUIRE);
    if (cpu == cpu_this()->index) {
        beat();                      // netpoll runs at the edge
        return;
    }
    cpu_kick(cpu, EDGE_BEAT);
}
