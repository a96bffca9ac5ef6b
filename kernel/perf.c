// Instruction counts of the responder: TSC at the card's interrupt, TSC after the
// doorbell of the answer, the halts between them taken off; the last PERF_SAMPLES are
// kept. Meant for one CPU under -icount (DESIGN 5): there TSC ticks are instructions.
// Lock: none; written by the one CPU that runs the benchmark.
#include "kernel/perf.h"

#include "base/bits.h"
#include "kernel/klog.h"
#include "kernel/x86/cpu.h"

static bool perf_on;
static u64 irq_tsc, irq_hlt_tsc;     // 0: no interrupt is being answered
static u32 sample[PERF_SAMPLES];
static u64 sample_count;

static u64 tsc_read(void) {
    u32 low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (u64)high << 32 | low;
}

void perf_init(bool on) { perf_on = on; }

void perf_mark_irq(void) {
    if (!perf_on || irq_tsc != 0) return;
    irq_tsc = tsc_read();
}

// The halt that the interrupt ended is added to hlt_tsc only after the handler, so halts
// are counted from here.
void perf_mark_poll(void) {
    if (perf_on) irq_hlt_tsc = cpu_this()->hlt_tsc;
}

void perf_mark_doorbell(void) {
    if (!perf_on || irq_tsc == 0) return;
    u64 ticks = tsc_read() - irq_tsc - (cpu_this()->hlt_tsc - irq_hlt_tsc);
    sample[sample_count++ % PERF_SAMPLES] = (u32)MIN(ticks, 0xffffffffull);
    irq_tsc = 0;
}

// Shell sort: in place, no recursion, no memory.
static void sort_u32(u32 *a, u32 count) {
    for (u32 gap = count / 2; gap > 0; gap /= 2)
        for (u32 i = gap; i < count; i++)
            for (u32 k = i; k >= gap && a[k - gap] > a[k]; k -= gap) {
                u32 t = a[k];
                a[k] = a[k - gap];
                a[k - gap] = t;
            }
}

// Sorts the samples where they are and starts anew.
u64 perf_text(char *to, u64 size_bytes) {
    u32 count = (u32)MIN(sample_count, (u64)PERF_SAMPLES);
    if (count == 0) return (u64)ksnprintf(to, size_bytes, "irq_to_doorbell_count 0\n");
    sort_u32(sample, count);
    int len = ksnprintf(to, size_bytes,
                        "irq_to_doorbell_count %u\nirq_to_doorbell_min %u\n"
                        "irq_to_doorbell_median %u\nirq_to_doorbell_p99 %u\n",
                        count, sample[0], sample[count / 2], sample[count * 99 / 100]);
    sample_count = 0;
    return MIN((u64)len, size_bytes - 1);
}

// Also writes the figures of each full set of samples to the log.
void perf_mark_idle(void) {
    irq_tsc = 0;
    if (sample_count < PERF_SAMPLES) return;
    char text[160];
    perf_text(text, sizeof text);
    klog("bench.count:\n%s", text);
}
