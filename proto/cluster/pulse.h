// Whether a peer lives: READs of its heartbeat word at a period, and what they say. Pure: the
// caller (kernel/cluster_chain.c, under net_lock) posts the READs and fences. The bound is the
// longest time from a peer's last sign of life to its fencing: docs/reference/join.md.
#pragma once

#include "base/bits.h"
#include "base/types.h"
#include "base/units.h"

#define PULSE_DEAD BIT(63)           // of the word: that node panicked
#define PULSE_PERIOD_MAX_NS (1000 * NS_PER_MS)
#define PULSE_BOUND_MAX_NS (120 * NS_PER_S)
#define PULSE_RETRIES 8u             // times that a pair sends a packet before it breaks

enum pulse_verdict { PULSE_ALIVE, PULSE_SILENT, PULSE_STUCK, PULSE_PANICKED };

struct pulse {
    bool out;                        // a READ is under way
    u64 asked_ns, next_ns;           // it was posted then; the next one is due
    u64 word, changed_ns;            // as last read; when it was last seen to differ
    u64 rtt_ns;                      // of READs: the longest, forgotten slowly
};

// The bound: `multiples` of the round trip, at least `floor_ns`, at most PULSE_BOUND_MAX_NS.
u64 pulse_bound_ns(const struct pulse *p, u32 multiples, u64 floor_ns);
// ACK time-out code (IBTA 9.7.6.1.3) with which a pair breaks within `floor_ns`.
u8 pulse_timeout_code(u64 floor_ns);
void pulse_begin(struct pulse *p, u64 now_ns);
bool pulse_due(const struct pulse *p, u64 now_ns);
void pulse_asked(struct pulse *p, u64 bound_ns, u64 now_ns);
void pulse_answered(struct pulse *p, u64 word, u64 now_ns);
// `heard_ns`: when anything of the peer last completed.
enum pulse_verdict pulse_verdict(const struct pulse *p, u64 heard_ns, u64 bound_ns, u64 now_ns);
const char *pulse_verdict_name(enum pulse_verdict v);
