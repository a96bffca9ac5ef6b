// The heartbeat: each CPU's housekeeping in turn advances the word, at the edge and never in
// an interrupt handler, so a CPU that hangs in the kernel stops it for all to see. A panic
// marks it DEAD. Called by cluster.c's tick and by the edge. docs/reference/join.md.
#include "kernel/beat.h"

#include "kernel/cluster_priv.h"
#include "kernel/trap.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/words.h"

#define REST_TURNS 10u               // of so many beats one may be a resting CPU's

static u32 turn;                     // atomic: the CPU that is to advance the word
static u32 beats;

// The edge of any CPU: atomics alone, no lock. Members only READ the word, so the CPU's will do
// with any card.
static void beat(void) {
    if (cpu_this()->index != __atomic_load_n(&turn, __ATOMIC_RELAXED)) return;
    word_add(&cpu_word_ops, &cluster.words->heartbeat, 1);
    __atomic_store_n(&turn, (turn + 1) % cpu_count, __ATOMIC_RELEASE);
}

// One that is being woken is none: it must come by here.
static bool rests(u32 cpu) {
    return __atomic_load_n(&cpus[cpu].idle, __ATOMIC_RELAXED) &&
           __atomic_load_n(&cpus[cpu].edge_work, __ATOMIC_RELAXED) == 0;
}

void beat_init(void) { edge_hook_set(EDGE_BEAT, beat); }

// A CPU that rests cannot hang, so its turn is mostly the next one's that does not: this one's at
// the latest. But one that does not wake any more stops the word too.
void beat_tick(void) {
    u32 cpu = __atomic_load_n(&turn, __ATOMIC_ACQUIRE);
    if (beats++ % REST_TURNS != 0)
        for (u32 n = 0; n < cpu_count && rests(cpu); n++) cpu = (cpu + 1) % cpu_count;
    __atomic_store_n(&turn, cpu, __ATOMIC_RELEASE);
    if (cpu == cpu_this()->index) {
        beat();                      // netpoll runs at the edge
        return;
    }
    cpu_kick(cpu, EDGE_BEAT);
}
