// What a node's programs may know of its clock without a call: one page, which the kernel writes
// and the vDSO (user/vdso) reads. Pure: the CPU's words are asked by functions of the host's.
//
// Not every process may compute by it: one that has moved has another TSC and perhaps another
// offset, and one that was there when the line made a step has an offset. Which one runs is said
// by a word of the CPU itself (the limit of a segment, by LSL), which the kernel sets when the
// process comes onto the CPU: CLOCK_WORD_CALL, or else the page's epoch as it was then. Each step
// begins an epoch, so a process on a CPU meanwhile finds that the two differ. What has moved has
// CLOCK_WORD_CALL on every node until its next exec: so a process that finds its CPU's word
// good after it has read all else was on this node all the time.
#pragma once

#include "base/clock_line.h"
#include "base/units.h"

#define CLOCK_WORD_CPU 0xfu          // the CPU's number
#define CLOCK_WORD_CALL 0x10u        // time is asked by system call
#define CLOCK_EPOCH_NEXT 0x20u       // the epoch lies above these two,
#define CLOCK_EPOCH_MASK 0xfffe0u    // in the 20 bits of a segment's limit
#define CLOCK_TRIES_MAX 64           // readings that the kernel disturbed; then it is asked

struct clock_page {
    u32 seq;                         // odd while the rest is written
    u32 epoch;                       // multiple of CLOCK_EPOCH_NEXT
    u32 node;                        // this one, for getcpu
    u32 unused;
    u64 start_tsc, ns_per_tick_q32;  // the node's own clock
    struct clock_line line;          // the cluster's, over it
    u64 wall_ns;                     // since 1970 at the cluster's time 0
    u64 floor_ns;                    // the cluster's time that is the least to be shown
};

// The cluster's time when the TSC says so.
static inline u64 clock_page_at(const struct clock_page *c, u64 tsc) {
    const u64 local_ns = clock_ticks_ns(tsc - c->start_tsc, c->ns_per_tick_q32);
    const u64 ns = clock_at(&c->line, local_ns);
    return ns > c->floor_ns ? ns : c->floor_ns;
}

// Reads the clock for the running process, as a system call would.
//   cpu_word   the CPU's word now
//   read_tsc   the TSC, after all reads before it and before all behind it
//   wall       CLOCK_REALTIME, else CLOCK_MONOTONIC
// False: a system call is to be made. No locks; may be cut short and moved at any instruction.
static inline __attribute__((always_inline)) bool clock_page_read(
    const struct clock_page *c, u32 (*cpu_word)(void), u64 (*read_tsc)(void), bool wall, u64 *ns) {
    for (u32 i = 0; i < CLOCK_TRIES_MAX; i++) {
        const u32 seq = __atomic_load_n(&c->seq, __ATOMIC_ACQUIRE);
        if (seq & 1) {
            __builtin_ia32_pause();
            continue;
        }
        const u32 epoch = __atomic_load_n(&c->epoch, __ATOMIC_RELAXED);
        if ((cpu_word() & ~CLOCK_WORD_CPU) != epoch) return false;
        *ns = clock_page_at(c, read_tsc()) + (wall ? c->wall_ns : 0);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if ((cpu_word() & ~CLOCK_WORD_CPU) == epoch &&
            __atomic_load_n(&c->seq, __ATOMIC_RELAXED) == seq)
            return true;
    }
    return false;
}
