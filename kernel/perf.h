// Counts the cycles (under -icount: instructions) from the card's interrupt to the
// doorbell of the answer. On with the option bench.count=1.
#pragma once

#include "base/types.h"

#define PERF_SAMPLES 1000u

void perf_init(bool on);
void perf_mark_irq(void);            // interrupt context
void perf_mark_poll(void);           // netpoll begins; the interrupted halt is over
void perf_mark_doorbell(void);       // after the doorbell that answers
void perf_mark_idle(void);           // nothing was left to answer
// Lines "name value"; returns the length, at most size_bytes - 1.
u64 perf_text(char *to, u64 size_bytes);
