// The heartbeat as its readers see it. See pulse.h.
#include "proto/cluster/pulse.h"

#define ACK_UNIT_NS 4096ull          // time-out code t: 4.096 us * 2^t
#define CODE_MIN 10u
#define CODE_MAX 22u

u64 pulse_bound_ns(const struct pulse *p, u32 multiples, u64 floor_ns) {
    const u64 bound_ns = MAX(floor_ns, p->rtt_ns * multiples);
    return MIN(bound_ns, PULSE_BOUND_MAX_NS);
}

u8 pulse_timeout_code(u64 floor_ns) {
    u32 code = CODE_MIN;
    while (code < CODE_MAX && PULSE_RETRIES * (ACK_UNIT_NS << (code + 1)) <= floor_ns) code++;
    return (u8)code;
}

void pulse_begin(struct pulse *p, u64 now_ns) {
    *p = (struct pulse){.changed_ns = now_ns, .next_ns = now_ns};
}

bool pulse_due(const struct pulse *p, u64 now_ns) { return !p->out && now_ns >= p->next_ns; }

// Three READs within a bound at least, so that one lost is no death.
void pulse_asked(struct pulse *p, u64 bound_ns, u64 now_ns) {
    p->out = true;
    p->asked_ns = now_ns;
    p->next_ns = now_ns + MIN(bound_ns / 3, PULSE_PERIOD_MAX_NS);
}

void pulse_answered(struct pulse *p, u64 word, u64 now_ns) {
    const u64 rtt_ns = now_ns - p->asked_ns;
    p->out = false;
    p->rtt_ns = MAX(rtt_ns, p->rtt_ns - p->rtt_ns / 8);
    if (word != p->word) p->changed_ns = now_ns;
    p->word = word;
}

// SILENT counts from the question, not from the last answer: who was not asked owes none.
// STUCK: it answers READs, which one CPU or a card does, but its CPUs make no progress.
enum pulse_verdict pulse_verdict(const struct pulse *p, u64 heard_ns, u64 bound_ns, u64 now_ns) {
    if (p->word & PULSE_DEAD) return PULSE_PANICKED;
    if (p->out && now_ns - MAX(heard_ns, p->asked_ns) > bound_ns) return PULSE_SILENT;
    if (!p->out && now_ns - p->changed_ns > bound_ns + PULSE_PERIOD_MAX_NS) return PULSE_STUCK;
    return PULSE_ALIVE;
}

const char *pulse_verdict_name(enum pulse_verdict v) {
    static const char *const names[] = {"it lives", "it does not answer",
                                        "its heartbeat stands still", "it panicked"};
    return (u32)v < 4 ? names[v] : "?";
}
