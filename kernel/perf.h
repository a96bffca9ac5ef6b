// Counts the cycles (under -icount: instructions) from a card's interrupt to the doorbell
// of the answer. On with the option bench.count=1.
#pragma once

#include "base/types.h"

#define PERF_SAMPLES 1000u
#define PERF_CARDS 2u                // requester, responder

// A point that a counter outside the machine can see (bench/count_plugin.c): a long nop whose
// displacement names it. It costs one instruction and does nothing.
enum perf_point { PERF_FROZEN = 1, PERF_DOORBELL = 2, PERF_IRQ = 3, PERF_RESUMED = 4 };
#define PERF_MARK(point)                                                                   \
    __asm__ volatile(".byte 0x0f, 0x1f, 0x80; .long %c0" : : "i"(0x49530000 + (point)))

void perf_init(void);                // switches it on
bool perf_is_on(void);
void perf_reset(void);
void perf_mark_irq(u32 card);        // interrupt context
void perf_mark_poll(void);           // netpoll begins; the interrupted halt is over
void perf_mark_doorbell(u32 card);   // after the doorbell that answers
void perf_mark_idle(void);           // nothing was left to answer
// Lines "# instructions ..."; returns the length, at most size_bytes - 1.
u64 perf_text(char *to, u64 size_bytes);
void perf_sort(u32 *a, u32 count);
