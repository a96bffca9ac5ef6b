// Starting the other CPUs by INIT and STARTUP, and interrupting them. smp_start runs at
// boot on CPU 0, one CPU at a time. Spec: SDM Vol. 3A 8.4.4 (MP initialization).
#include "kernel/x86/smp.h"

#include "base/string.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/lapic.h"
#include "kernel/x86/msr.h"
#include "kernel/x86/trap.h"

#define INIT_WAIT_NS 10000000ull
#define START_LIMIT_NS 1000000000ull

// Sets the bits on that CPU, and interrupts it where it is another one.
//   cpu_index: below cpu_count; edge_bits: enum edge_bits
void cpu_kick(u32 cpu_index, u32 edge_bits) {
    struct cpu *c = &cpus[cpu_index];
    const u32 before = __atomic_fetch_or(&c->edge_work, edge_bits, __ATOMIC_SEQ_CST);
    if (c == cpu_this() || (before & edge_bits) == edge_bits) return;
    lapic_ipi(c->apic_id, TRAP_KICK);
}

extern const u8 ap_trampoline[], ap_trampoline_end[], ap_trampoline_gdt[], ap_trampoline_jump[],
    ap_trampoline_table[], ap_trampoline_long[];
u64 ap_start_stack;
u32 ap_start_index;
static u32 ap_running;               // CPUs that have arrived in ap_main

// Called by a CPU that has arrived: the next one may be started.
void smp_arrived(void) { __atomic_fetch_add(&ap_running, 1, __ATOMIC_RELEASE); }

static void trampoline_install(u8 *page, u64 pa) {
    memcpy(page, ap_trampoline, (u64)(ap_trampoline_end - ap_trampoline));
    const u32 table = (u32)(pa + (u64)(ap_trampoline_table - ap_trampoline));
    const u32 code = (u32)(pa + (u64)(ap_trampoline_long - ap_trampoline));
    memcpy(page + (ap_trampoline_gdt - ap_trampoline) + 2, &table, 4);
    memcpy(page + (ap_trampoline_jump - ap_trampoline), &code, 4);
}

static bool arrived_by(u32 count, u64 deadline_ns) {
    do {
        if (__atomic_load_n(&ap_running, __ATOMIC_ACQUIRE) >= count) return true;
        cpu_relax();
    } while (time_now_ns() < deadline_ns);
    return false;
}

static void wait_ns(u64 ns) {
    const u64 until = time_now_ns() + ns;
    while (time_now_ns() < until) cpu_relax();
}

// Starts one CPU as cpus[index]: INIT, 10 ms, STARTUP, and once more where it is late.
// False: it did not come in START_LIMIT_NS (it is kept in wait for INIT then).
static bool start_one(u32 apic_id, u32 index, u64 trampoline_pa) {
    cpu_tables_prepare(index);
    ap_start_index = index;
    ap_start_stack = cpus[index].kernel_stack_top;
    const u32 count = __atomic_load_n(&ap_running, __ATOMIC_ACQUIRE) + 1;
    lapic_send_init(apic_id);
    wait_ns(INIT_WAIT_NS);
    lapic_send_startup(apic_id, (u32)(trampoline_pa >> 12));
    if (arrived_by(count, time_now_ns() + INIT_WAIT_NS)) return true;
    lapic_send_startup(apic_id, (u32)(trampoline_pa >> 12));
    if (arrived_by(count, time_now_ns() + START_LIMIT_NS)) return true;
    lapic_send_init(apic_id);
    return false;
}

// Starts the CPUs with these APIC ids (not this one's), one after the other.
//   page: the trampoline's page, writable, at physical trampoline_pa below 1 MiB
// Returns how many came; cpu_count counts them. Boot, CPU 0.
u32 smp_start(const u32 *apic_ids, u32 count, u8 *page, u64 trampoline_pa) {
    u32 started = 0;
    trampoline_install(page, trampoline_pa);
    for (u32 i = 0; i < count && cpu_count < CPU_MAX; i++) {
        if (!start_one(apic_ids[i], cpu_count, trampoline_pa)) continue;
        cpu_count++;
        started++;
    }
    return started;
}

void smp_stop_others(void) {
    if (cpu_count > 1) lapic_nmi_others();
}
