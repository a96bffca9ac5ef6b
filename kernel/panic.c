// A panic: names the cause, the CPU, the process, registers and the way there, stops the
// other CPUs of this node, and halts (or leaves QEMU, option panic=exit). No lock, no
// allocation. Other nodes go on.
#include "kernel/panic.h"

#include <stdarg.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/string.h"
#include "kernel/klog.h"
#include "kernel/options.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/msr.h"
#include "kernel/x86/port.h"
#include "kernel/x86/smp.h"
#include "kernel/x86/trap.h"

#define BACKTRACE_MAX 24
#define TEXT_MAX 400
#define STOP_LIMIT_NS 100000000ull   // for the other CPUs to halt
#define DEBUG_EXIT_PORT 0xf4         // QEMU's isa-debug-exit; exit status (v << 1) | 1
#define DEBUG_EXIT_PANIC 0x21

extern const u8 kernel_text_start[], kernel_text_end[];
extern const u32 ksyms_count __attribute__((weak));
extern const u32 ksyms_table[][2] __attribute__((weak));   // offset, offset of the name
extern const char ksyms_names[] __attribute__((weak));
#define KSYMS_BASE 0xffffffff80000000ull

void (*panic_hook)(const char *cause);
static u32 panic_cpu_plus_one;       // 0: none yet

static u32 stopped_cpus;             // those that the panic has stopped

// By a CPU that takes the NMI of another CPU's panic: counts itself and halts.
_Noreturn void panic_stop_self(void) {
    __atomic_add_fetch(&stopped_cpus, 1, __ATOMIC_RELEASE);
    cpu_halt_forever();
}

bool panic_running(void) { return __atomic_load_n(&panic_cpu_plus_one, __ATOMIC_ACQUIRE) != 0; }

// The symbol that holds an address.
//   to: "name+0x1f", or "?" where it is no kernel text
static void ksym_name(u64 address, char *to, u64 size_bytes) {
    const u32 offset = (u32)(address - KSYMS_BASE);
    if (address < (u64)kernel_text_start || address >= (u64)kernel_text_end || !&ksyms_count) {
        ksnprintf(to, size_bytes, "?");
        return;
    }
    u32 low = 0, high = ksyms_count;
    while (high - low > 1) {
        const u32 mid = low + (high - low) / 2;
        if (ksyms_table[mid][0] <= offset) low = mid;
        else high = mid;
    }
    ksnprintf(to, size_bytes, "%s+0x%x", ksyms_names + ksyms_table[low][1],
              offset - ksyms_table[low][0]);
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...) {
    static char line[TEXT_MAX + 64];
    va_list args;
    va_start(args, format);
    kvsnprintf(line, sizeof line, format, args);
    va_end(args);
    klog_raw(line);
}

// A return address may lie behind the end of its function: the call is named.
static void say_address(u64 address, bool is_return) {
    static char name[96];
    ksym_name(address - is_return, name, sizeof name);
    say("  %016lx %s\n", address, name);
}

static bool in_stack(u64 at) {
    extern const u8 kernel_end[];
    return (at & 7) == 0 && at >= (u64)kernel_text_end && at + 16 <= (u64)kernel_end;
}

static void backtrace(u64 rip, bool is_return, u64 rbp) {
    say("backtrace:\n");
    say_address(rip, is_return);
    for (u32 i = 0; i < BACKTRACE_MAX && in_stack(rbp); i++) {
        const u64 *frame = (const u64 *)rbp;
        if (!frame[1]) break;
        say_address(frame[1], true);
        if (frame[0] <= rbp) break;
        rbp = frame[0];
    }
}

static void say_registers(const struct user_regs *r) {
    say("rip %016lx rsp %016lx rflags %08lx cs %lx\n", r->rip, r->rsp, r->rflags, r->cs);
    say("rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", r->rax, r->rbx, r->rcx, r->rdx);
    say("rsi %016lx rdi %016lx rbp %016lx r8  %016lx\n", r->rsi, r->rdi, r->rbp, r->r8);
    say("r9  %016lx r10 %016lx r11 %016lx r12 %016lx\n", r->r9, r->r10, r->r11, r->r12);
    say("r13 %016lx r14 %016lx r15 %016lx cr2 %016lx\n", r->r13, r->r14, r->r15, cr2_read());
    say("cr0 %lx cr3 %lx cr4 %lx\n", cr0_read(), cr3_read(), cr4_read());
}

static _Noreturn void stop(void) {
    if (options.panic_action == PANIC_EXIT) port_out8(DEBUG_EXIT_PORT, DEBUG_EXIT_PANIC);
    cpu_halt_forever();
}

// Only the first panic of a node speaks; a panic inside it stops at once.
static void enter(const char *cause) {
    const u32 me = cpu_this()->index + 1;
    u32 none = 0;
    if (!__atomic_compare_exchange_n(&panic_cpu_plus_one, &none, me, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        if (none == me) {
            say("PANIC: inside the panic: %s\n", cause);
            stop();
        }
        panic_stop_self();
    }
    smp_stop_others();
    const u64 until = time_now_ns() + STOP_LIMIT_NS;
    while (__atomic_load_n(&stopped_cpus, __ATOMIC_ACQUIRE) + 1 < cpu_count &&
           time_now_ns() < until)
        cpu_relax();
    if (panic_hook) panic_hook(cause);
}

static _Noreturn void speak(const char *cause, const struct user_regs *r, u64 rip, u64 rbp) {
    enter(cause);
    const struct cpu *c = cpu_this();
    say("\nPANIC: %s\n", cause);
    say("cpu %u of %u, uptime %lu ms\n", c->index, cpu_count, time_now_ns() / 1000000);
    if (c->current && c->regs) {
        const struct proc_desc *d = CONTAINER_OF(c->regs, struct proc_desc, regs);
        say("process %u (%.*s)\n", d->pid, PROC_NAME_MAX, d->name);
    } else {
        say("process none\n");
    }
    if (r) say_registers(r);
    backtrace(rip, r == NULL, rbp);
    say("%u of %u other CPUs stopped; this node has stopped\n", stopped_cpus, cpu_count - 1);
    stop();
}

// In this CPU's own place: nothing can be allocated any more.
static const char *cause_text(const char *format, va_list args) {
    static char cause[CPU_MAX][TEXT_MAX];
    char *text = cause[cpu_this()->index];
    kvsnprintf(text, TEXT_MAX, format, args);
    return text;
}

// Stops this node. See base/assert.h.
_Noreturn void panic(const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *text = cause_text(format, args);
    va_end(args);
    speak(text, NULL, (u64)__builtin_return_address(0),
          *(const u64 *)__builtin_frame_address(0));
}

// Stops this node for a trap in the kernel.
//   r: the registers of the trap
_Noreturn void panic_trap(const struct user_regs *r, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *text = cause_text(format, args);
    va_end(args);
    speak(text, r, r->rip, r->rbp);
}
