// Traps, interrupts and the edge. entry.S calls trap_user, trap_kernel, trap_exceptional and
// syscall_user; each way to user mode or to rest goes through edge_exit. Interrupt handlers
// mask their source and set a bit of edge_work; the work runs here. No lock is held on
// entry or exit. Spec: SDM Vol. 3A ch. 6.
#include "base/assert.h"
#include "kernel/trap.h"
#include "kernel/panic.h"
#include "kernel/time.h"
#include "kernel/x86/lapic.h"
#include "kernel/x86/msr.h"
#include "kernel/x86/spinlock.h"
#include "kernel/x86/trap.h"

#define EDGE_BITS_MAX 32
#define EDGE_ROUNDS_MAX 8u           // then a process runs, if there is one
#define EDGE_AGAIN_NS 100000ull

struct irq_slot {
    void (*handler)(void *arg);
    void *arg;
    u32 edge_bits;
};
struct ex_entry { u64 at, fixup; };
extern const struct ex_entry ex_table_start[], ex_table_end[];

struct process_hooks process_hooks;
static void (*edge_hooks[EDGE_BITS_MAX])(void);
static struct irq_slot irq_slots[256];       // written at boot and by irq_vector_alloc
static struct timer edge_again[CPU_MAX];
static u32 irq_next = TRAP_DEVICE_FIRST;

void edge_hook_set(u32 edge_bit, void (*run)(void)) {
    ASSERT(edge_bit && (edge_bit & (edge_bit - 1)) == 0);
    edge_hooks[__builtin_ctz(edge_bit)] = run;
}

void edge_request(u32 edge_bits) {
    __atomic_fetch_or(&cpu_this()->edge_work, edge_bits, __ATOMIC_RELAXED);
}

// Gives an interrupt vector to a device.
//   handler(arg): interrupt context, masks its source; edge_bits: work to mark after it
//   vector: out
// E_NOBUFS where all are taken. Boot and driver start only.
status_t irq_vector_alloc(void (*handler)(void *arg), void *arg, u32 edge_bits, u32 *vector) {
    const u32 v = __atomic_fetch_add(&irq_next, 1, __ATOMIC_RELAXED);
    if (v > TRAP_DEVICE_LAST) return E_NOBUFS;
    irq_slots[v] = (struct irq_slot){handler, arg, edge_bits};
    *vector = v;
    return S_OK;
}

static enum cpu_wake wake_of(u32 vector) {
    if (vector == TRAP_TIMER) return CPU_WAKE_TIMER;
    if (vector == TRAP_KICK) return CPU_WAKE_KICK;
    return irq_slots[vector].edge_bits & EDGE_NETPOLL ? CPU_WAKE_CARD : CPU_WAKE_DEVICE;
}

static void interrupt(u32 vector) {
    struct cpu *c = cpu_this();
    c->irq_tsc = tsc_read();
    c->interrupts++;
    if (c->idle) {                   // a handler that hangs is not rest: kernel/beat.c
        __atomic_store_n(&c->idle, false, __ATOMIC_RELAXED);
        c->wake = (u8)wake_of(vector);
    }
    if (vector >= TRAP_PIC && vector < TRAP_PIC + 16) return;    // spurious, masked PIC
    if (vector == TRAP_SPURIOUS) return;
    if (vector == TRAP_TIMER) {
        c->timer_interrupts++;
        edge_request(EDGE_TIMER);
    }
    const struct irq_slot *s = &irq_slots[vector];
    if (s->handler) {
        s->handler(s->arg);
        edge_request(s->edge_bits);
    }
    lapic_eoi();
}

// A trap from user mode; r is in the current descriptor. Returns to edge_exit.
void trap_user(struct user_regs *r, u32 vector, u64 error, u64 cr2) {
    if (vector >= TRAP_EXCEPTIONS) {
        interrupt(vector);
        return;
    }
    if (!process_hooks.exception)
        panic_trap(r, "%s in user mode (error %lx, address %lx)", trap_name(vector), error, cr2);
    process_hooks.exception(vector, error, cr2);
}

void syscall_user(struct user_regs *r) {
    if (!process_hooks.syscall) panic_trap(r, "a system call without processes");
    process_hooks.syscall();
}

static bool fixup(struct user_regs *r) {
    for (const struct ex_entry *e = ex_table_start; e < ex_table_end; e++) {
        if (e->at != r->rip) continue;
        r->rip = e->fixup;
        return true;
    }
    return false;
}

// A trap in the kernel: interrupts of the idle loop, faults of copies to and from user
// memory; all else is a bug of ours.
void trap_kernel(struct user_regs *r, u32 vector, u64 error, u64 cr2) {
    if (vector >= TRAP_EXCEPTIONS) {
        interrupt(vector);
        return;
    }
    if ((vector == TRAP_PAGE_FAULT || vector == TRAP_PROTECTION) && fixup(r)) return;
    if (vector == TRAP_PAGE_FAULT)
        panic_trap(r, "page fault in the kernel: %s of %016lx (error %lx)",
                   error & PF_FETCH ? "execution" : error & PF_WRITE ? "write" : "read", cr2,
                   error);
    panic_trap(r, "%s in the kernel (error %lx)", trap_name(vector), error);
}

// NMI, double fault, machine check, on stacks of their own. An NMI during a panic of
// another CPU stops this one.
void trap_exceptional(struct user_regs *r, u32 vector, u64 error) {
    if (vector == TRAP_NMI) {
        if (panic_running()) panic_stop_self();
        cpu_this()->interrupts++;
        return;
    }
    const u64 at = cr2_read();
    panic_trap(r, "%s (error %lx)%s", trap_name(vector), error,
               vector == TRAP_DOUBLE_FAULT && cpu_is_guard_page(at)
                   ? ": the kernel stack of this CPU overflowed" : "");
}

// Runs the marked work, EDGE_ROUNDS_MAX times over at most. True: some is left.
static bool run_edge_work(void) {
    struct cpu *c = cpu_this();
    for (u32 round = 0; round < EDGE_ROUNDS_MAX; round++) {
        u32 work = __atomic_exchange_n(&c->edge_work, 0, __ATOMIC_ACQUIRE);
        if (!work) return false;
        for (; work; work &= work - 1) {
            void (*run)(void) = edge_hooks[__builtin_ctz(work)];
            if (run) run();
        }
    }
    return __atomic_load_n(&c->edge_work, __ATOMIC_RELAXED) != 0;
}

static void nothing(void *arg) { (void)arg; }

// Work is left (a flood of frames): the process gets its share, and the edge comes again.
static void come_back_soon(void) {
    timer_arm(&edge_again[cpu_this()->index], time_now_ns() + EDGE_AGAIN_NS, nothing, NULL);
}

// Halts until an interrupt, unless work was marked: interrupts are off from the look
// to `sti; hlt`, which lets none in between, so no wake-up is lost.
static void idle_once(void) {
    struct cpu *c = cpu_this();
    spin_assert_none_held();
    __atomic_store_n(&c->idle, true, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&c->edge_work, __ATOMIC_SEQ_CST)) {
        const u64 start_tsc = tsc_read(), start_ns = time_now_ns();
        c->wake = CPU_WAKE_NONE;
        __asm__ volatile("sti; hlt; cli" : : : "memory");
        c->hlt_tsc += tsc_read() - start_tsc;
        c->idle_ns += time_now_ns() - start_ns;
        c->halts++;
        c->halts_by[c->wake]++;
    }
    __atomic_store_n(&c->idle, false, __ATOMIC_RELAXED);
}

// The only way out of the kernel: runs what is due, then goes to the current process, or
// rests until there is one. Interrupts off, this CPU's stack, no lock held. process_hooks.edge
// answers for the registers: entry.S trusts them.
_Noreturn void edge_exit(void) {
    struct cpu *c = cpu_this();
    for (;;) {
        const bool left = run_edge_work();
        if (!process_hooks.edge || !process_hooks.edge()) {
            idle_once();
            continue;
        }
        struct user_regs *r = c->regs;
        ASSERT(r);
        if (left) come_back_soon();
        else if (__atomic_load_n(&c->edge_work, __ATOMIC_RELAXED)) continue;
        spin_assert_none_held();
        return_to_user(r);
    }
}
