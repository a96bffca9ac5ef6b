// Instruction counts from a card's interrupt to the doorbell of the answer: TSC at the trap,
// TSC after the doorbell, the halts between them taken off, the trap's own entry added; the
// last PERF_SAMPLES of each card are kept. Meant for one CPU under -icount, where TSC ticks are
// instructions (docs/reference/bench.md). With two cards in one machine the first is the
// requester, the second the responder. Lock: none; written by the one CPU that runs the benchmark.
#include "kernel/perf.h"

#include "base/bits.h"
#include "kernel/klog.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/msr.h"
#include "kernel/x86/trap.h"

struct perf_card {
    u64 irq_tsc, hlt_tsc;            // irq_tsc 0: no interrupt is being answered
    u64 count;
    u32 sample[PERF_SAMPLES];
};
static bool perf_on;
static u32 entry_ticks;              // from the interrupt to its mark
static struct perf_card cards[PERF_CARDS];

// Boot, interrupts off: measures the way into the interrupt handler once, by an interrupt
// that the handler ignores.
void perf_init(void) {
    struct cpu *c = cpu_this();
    perf_on = true;
    const u64 before = tsc_read();
    __asm__ volatile("int %0" : : "i"(TRAP_SPURIOUS) : "memory");
    entry_ticks = (u32)(c->irq_tsc - before);
    klog("bench.count: %u ticks from an interrupt to its handler", entry_ticks);
}

// Whether times are taken (docs/reference/bench.md).
bool perf_is_on(void) { return perf_on; }

// Counts begin anew.
void perf_reset(void) {
    for (u32 i = 0; i < PERF_CARDS; i++) cards[i].count = cards[i].irq_tsc = 0;
}

void perf_mark_irq(u32 card) {
    if (!perf_on || card >= PERF_CARDS || cards[card].irq_tsc != 0) return;
    cards[card].irq_tsc = cpu_this()->irq_tsc;
}

// The halt that the interrupt ended is added to hlt_tsc only after the handler, so halts
// are counted from here.
void perf_mark_poll(void) {
    if (!perf_on) return;
    for (u32 i = 0; i < PERF_CARDS; i++) cards[i].hlt_tsc = cpu_this()->hlt_tsc;
}

void perf_mark_doorbell(u32 card) {
    if (!perf_on || card >= PERF_CARDS || cards[card].irq_tsc == 0) return;
    struct perf_card *p = &cards[card];
    const u64 ticks = tsc_read() - p->irq_tsc - (cpu_this()->hlt_tsc - p->hlt_tsc) + entry_ticks;
    p->sample[p->count++ % PERF_SAMPLES] = (u32)MIN(ticks, 0xffffffffull);
    p->irq_tsc = 0;
}

// Shell sort: in place, no recursion, no memory.
void perf_sort(u32 *a, u32 count) {
    for (u32 gap = count / 2; gap > 0; gap /= 2)
        for (u32 i = gap; i < count; i++)
            for (u32 k = i; k >= gap && a[k - gap] > a[k]; k -= gap) {
                u32 t = a[k];
                a[k] = a[k - gap];
                a[k - gap] = t;
            }
}

static u64 card_text(struct perf_card *p, const char *name, char *to, u64 size_bytes) {
    const u32 count = (u32)MIN(p->count, (u64)PERF_SAMPLES);
    if (count == 0) return 0;
    perf_sort(p->sample, count);
    const int len = ksnprintf(to, size_bytes, "# instructions %s n %u min %u median %u p99 %u\n",
                              name, count, p->sample[0], p->sample[count / 2],
                              p->sample[count * 99 / 100]);
    p->count = 0;
    return MIN((u64)len, size_bytes - 1);
}

// Sorts the samples where they are and starts anew.
u64 perf_text(char *to, u64 size_bytes) {
    static const char *const names[PERF_CARDS] = {"requester", "responder"};
    u64 len = 0;
    for (u32 i = 0; i < PERF_CARDS; i++)
        len += card_text(&cards[i], names[i], to + len, size_bytes - len);
    return len;
}

// Nothing was left to answer.
void perf_mark_idle(void) {
    for (u32 i = 0; i < PERF_CARDS; i++) cards[i].irq_tsc = 0;
}
