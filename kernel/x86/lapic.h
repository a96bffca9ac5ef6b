// The local APIC of the calling CPU: end of interrupt, IPIs, one-shot timer.
#pragma once

#include "base/types.h"

// First CPU: registers mapped at mmio, or x2APIC mode for all. Each CPU: lapic_cpu_init.
void lapic_init(volatile void *mmio, bool use_x2apic);
void lapic_cpu_init(void);
u64 lapic_base_pa(void);
bool lapic_is_x2apic(void);
void lapic_eoi(void);
void lapic_ipi(u32 apic_id, u32 vector);
void lapic_send_init(u32 apic_id);
void lapic_send_startup(u32 apic_id, u32 page);
void lapic_nmi_others(void);
// Timer. Calibrate once (CPU 0), against a clock; then arm in TSC ticks from now.
void lapic_timer_calibrate(u64 (*now_ns)(void));
void lapic_timer_arm(u64 deadline_tsc, u64 tsc_hz);
void lapic_timer_learn(u64 tsc_hz);  // it came, and nothing was due
void lapic_timer_stop(void);
