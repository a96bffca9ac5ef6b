// The local APIC, by its registers in memory, or by MSRs where the firmware left it in
// x2APIC mode. Called by kernel/ on each CPU for itself, interrupts off; no lock.
// Spec: SDM Vol. 3A ch. 11 (local APIC), 11.5.4 (timer), 11.6.1 (ICR), 11.12 (x2APIC).
#include "kernel/x86/lapic.h"

#include "base/bits.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/mmio.h"
#include "kernel/x86/msr.h"
#include "kernel/x86/trap.h"

enum lapic_reg {                     // SDM table 11-1
    LAPIC_ID = 0x20, LAPIC_TPR = 0x80, LAPIC_EOI = 0xb0, LAPIC_SVR = 0xf0, LAPIC_ESR = 0x280,
    LAPIC_ICR_LOW = 0x300, LAPIC_ICR_HIGH = 0x310, LAPIC_LVT_TIMER = 0x320,
    LAPIC_LVT_LINT0 = 0x350, LAPIC_LVT_LINT1 = 0x360, LAPIC_LVT_ERROR = 0x370,
    LAPIC_TIMER_INITIAL = 0x380, LAPIC_TIMER_CURRENT = 0x390, LAPIC_TIMER_DIVIDE = 0x3e0,
};
#define APIC_BASE_ENABLE (1ull << 11)
#define APIC_BASE_X2APIC (1ull << 10)
#define APIC_BASE_MASK 0x000ffffffffff000ull
#define SVR_ENABLE 0x100u
#define LVT_MASKED (1u << 16)
#define LVT_NMI (4u << 8)
#define LVT_TSC_DEADLINE (2u << 17)
#define TIMER_DIVIDE_BY_16 3u
#define TIMER_TICKS_MAX 0xffffffffull
#define WAIT_TSC_MAX (1ull << 48)    // more than such a count can hold
#define ICR_FIXED 0u
#define ICR_NMI (4u << 8)
#define ICR_INIT (5u << 8)
#define ICR_STARTUP (6u << 8)
#define ICR_PENDING (1u << 12)
#define ICR_ASSERT (1u << 14)
#define ICR_ALL_BUT_SELF (3u << 18)
#define ICR_POLLS_MAX 1000000u
#define CALIBRATE_NS 3000000ull
#define CALIBRATE_TRIES 4u

static volatile void *lapic_mmio;
static bool x2apic;
static u64 timer_hz;                 // ticks a second after the divider; not more than they are
// Each CPU's own: when it was armed, for how many ticks; whether LVT and divider are set.
static struct { u64 tsc; u32 ticks; bool is_set; } armed[CPU_MAX];

static u32 get(u32 reg) {
    return x2apic ? (u32)rdmsr(MSR_X2APIC_BASE + (reg >> 4)) : mmio_get32(lapic_mmio, reg);
}
static void set(u32 reg, u32 value) {
    if (x2apic) wrmsr(MSR_X2APIC_BASE + (reg >> 4), value);
    else mmio_set32(lapic_mmio, reg, value);
}

u64 lapic_base_pa(void) { return rdmsr(MSR_APIC_BASE) & APIC_BASE_MASK; }
bool lapic_is_x2apic(void) { return (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC) != 0; }

// use_x2apic: the firmware left it so, or the CPU has it and it is wanted
void lapic_init(volatile void *mmio, bool use_x2apic) {
    lapic_mmio = mmio;
    x2apic = use_x2apic;
}

static u32 lapic_id(void) { return x2apic ? get(LAPIC_ID) : get(LAPIC_ID) >> 24; }

// Turns the calling CPU's on: NMI at LINT1, everything else masked.
void lapic_cpu_init(void) {
    u64 base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;
    wrmsr(MSR_APIC_BASE, base);                  // 11.12.5: enabled first, then x2APIC
    if (x2apic) wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
    set(LAPIC_TPR, 0);
    set(LAPIC_LVT_TIMER, LVT_MASKED | TRAP_TIMER);
    set(LAPIC_LVT_LINT0, LVT_MASKED);
    set(LAPIC_LVT_LINT1, LVT_NMI);
    set(LAPIC_LVT_ERROR, LVT_MASKED | TRAP_SPURIOUS);
    set(LAPIC_SVR, SVR_ENABLE | TRAP_SPURIOUS);
    cpu_this()->apic_id = lapic_id();
}

void lapic_eoi(void) { set(LAPIC_EOI, 0); }

static void icr(u32 apic_id, u32 low) {
    if (x2apic) {
        wrmsr(MSR_X2APIC_BASE + (LAPIC_ICR_LOW >> 4), (u64)apic_id << 32 | low);
        return;
    }
    for (u32 i = 0; i < ICR_POLLS_MAX && (get(LAPIC_ICR_LOW) & ICR_PENDING); i++) cpu_relax();
    set(LAPIC_ICR_HIGH, apic_id << 24);
    set(LAPIC_ICR_LOW, low);
}

void lapic_ipi(u32 apic_id, u32 vector) {
    __asm__ volatile("mfence" : : : "memory");   // what we wrote is seen before the interrupt
    icr(apic_id, ICR_FIXED | ICR_ASSERT | vector);
}
void lapic_send_init(u32 apic_id) { icr(apic_id, ICR_INIT | ICR_ASSERT); }
void lapic_send_startup(u32 apic_id, u32 page) { icr(apic_id, ICR_STARTUP | ICR_ASSERT | page); }
void lapic_nmi_others(void) { icr(0, ICR_NMI | ICR_ASSERT | ICR_ALL_BUT_SELF); }

// Measures the timer against now_ns; needless where there is the TSC deadline. A pause of the
// host makes it seem slower, never faster: so the fastest counts, and timers are never late.
void lapic_timer_calibrate(u64 (*now_ns)(void)) {
    if (cpu_features.tsc_deadline) return;
    set(LAPIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_16);
    for (u32 i = 0; i < CALIBRATE_TRIES; i++) {
        const u64 start = now_ns();
        set(LAPIC_TIMER_INITIAL, 0xffffffff);
        while (now_ns() - start < CALIBRATE_NS) cpu_relax();
        const u64 ticks = 0xffffffffu - get(LAPIC_TIMER_CURRENT);
        const u64 hz = ticks * 1000000000ull / (now_ns() - start);
        timer_hz = MAX(timer_hz, hz);
    }
    set(LAPIC_TIMER_INITIAL, 0);
}

// Once a CPU: most machines emulate each of these writes.
static void timer_set(void) {
    if (armed[cpu_this()->index].is_set) return;
    armed[cpu_this()->index].is_set = true;
    if (!cpu_features.tsc_deadline) set(LAPIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_16);
    set(LAPIC_LVT_TIMER, (cpu_features.tsc_deadline ? LVT_TSC_DEADLINE : 0) | TRAP_TIMER);
    __asm__ volatile("mfence" : : : "memory");   // 11.5.4.1: before the deadline
}

// One interrupt at deadline_tsc, or at once where that has passed.
void lapic_timer_arm(u64 deadline_tsc, u64 tsc_hz) {
    timer_set();
    if (cpu_features.tsc_deadline) {
        wrmsr(MSR_TSC_DEADLINE, deadline_tsc ? deadline_tsc : 1);
        return;
    }
    const u64 now = tsc_read();
    const u64 wait_tsc = deadline_tsc > now ? MIN(deadline_tsc - now, WAIT_TSC_MAX) : 0;
    const u64 hz = __atomic_load_n(&timer_hz, __ATOMIC_RELAXED);
    // What a count cannot hold is cut: the interrupt finds nothing due and arms anew.
    const u64 ticks = MIN(mul_div64(wait_tsc, hz, tsc_hz) + 1, TIMER_TICKS_MAX);
    armed[cpu_this()->index].tsc = now;
    armed[cpu_this()->index].ticks = (u32)ticks;
    set(LAPIC_TIMER_INITIAL, (u32)ticks);
}

// The count is down, and earlier than it was to be: its rate is higher than was known. That of
// the whole count, which the interrupt's own delay makes seem slower only, is a better bound.
void lapic_timer_learn(u64 tsc_hz) {
    if (cpu_features.tsc_deadline || get(LAPIC_TIMER_CURRENT) != 0) return;
    const u32 ticks = armed[cpu_this()->index].ticks;
    const u64 took_tsc = tsc_read() - armed[cpu_this()->index].tsc;
    if (ticks == 0 || took_tsc == 0) return;
    const u64 hz = mul_div64(ticks, tsc_hz, took_tsc);
    if (hz > timer_hz) __atomic_store_n(&timer_hz, hz, __ATOMIC_RELAXED);
}

void lapic_timer_stop(void) {
    if (cpu_features.tsc_deadline) wrmsr(MSR_TSC_DEADLINE, 0);
    else set(LAPIC_TIMER_INITIAL, 0);
    armed[cpu_this()->index].ticks = 0;
}
