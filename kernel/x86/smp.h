// The other CPUs: starting them, waking them, stopping them.
#pragma once

#include "base/types.h"

// Starts the CPUs with these APIC ids; they run ap_main. Returns how many came.
u32 smp_start(const u32 *apic_ids, u32 count, u8 *page, u64 trampoline_pa);
void smp_arrived(void);              // by a CPU that runs: the next may be started
void smp_stop_others(void);          // panic: halts all other CPUs of this node by NMI
extern u64 ap_start_stack;           // of the CPU being started (boot.S)
extern u32 ap_start_index;
