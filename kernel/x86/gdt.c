// Descriptor tables, stacks and SYSCALL registers of each CPU. Called once a CPU, at
// its start. Spec: SDM Vol. 3A 3.5 (GDT), 6.14 (IDT, IST), 7.7 (TSS), 5.8.8 (SYSCALL).
#include "base/assert.h"
#include "base/bits.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/msr.h"
#include "kernel/x86/trap.h"

struct tss {
    u32 reserved0;
    u64 rsp[3];
    u64 reserved1, ist[7], reserved2;
    u16 reserved3, io_map;
} __attribute__((packed));
struct table_pointer { u16 limit; u64 base; } __attribute__((packed));
struct gate { u16 offset_low, selector; u8 ist, type; u16 offset_mid; u32 offset_high, zero; };

#define GDT_ENTRIES 10
// A guard page lies below each stack (left unmapped by mm/kmap.c).
struct cpu_stacks {
    u8 guard[4096];
    u8 kernel[KERNEL_STACK_BYTES];
    u8 ist[3][IST_STACK_BYTES];
};

struct cpu cpus[CPU_MAX];
u32 cpu_count = 1;
static u64 gdt[CPU_MAX][GDT_ENTRIES];
static struct tss tss[CPU_MAX];
static struct gate idt[256];
static struct cpu_stacks cpu_stacks[CPU_MAX]
    __attribute__((section(".bss.stacks"), aligned(4096)));

extern const u8 trap_stubs[];
void syscall_entry(void);

_Static_assert(offsetof(struct cpu, kernel_stack_top) == CPU_STACK_TOP, "entry.S");
_Static_assert(offsetof(struct cpu, user_rsp_scratch) == CPU_USER_RSP, "entry.S");
_Static_assert(offsetof(struct cpu, regs) == CPU_REGS, "entry.S");
_Static_assert(offsetof(struct cpu, current) == CPU_CURRENT, "entry.S");
_Static_assert(offsetof(struct cpu, edge_work) == CPU_EDGE_WORK, "entry.S");
_Static_assert(offsetof(struct cpu, locks_held) == CPU_EDGE_WORK + 4, "entry.S: one look");
_Static_assert(offsetof(struct user_regs, rbp) == REGS_RBP, "entry.S");
_Static_assert(offsetof(struct user_regs, rbx) == REGS_RBX, "entry.S");
_Static_assert(offsetof(struct user_regs, r11) == REGS_R11, "entry.S");
_Static_assert(offsetof(struct user_regs, r10) == REGS_R10, "entry.S");
_Static_assert(offsetof(struct user_regs, r9) == REGS_R9, "entry.S");
_Static_assert(offsetof(struct user_regs, r8) == REGS_R8, "entry.S");
_Static_assert(offsetof(struct user_regs, rax) == REGS_RAX, "entry.S");
_Static_assert(offsetof(struct user_regs, rcx) == REGS_RCX, "entry.S");
_Static_assert(offsetof(struct user_regs, rdx) == REGS_RDX, "entry.S");
_Static_assert(offsetof(struct user_regs, rsi) == REGS_RSI, "entry.S");
_Static_assert(offsetof(struct user_regs, rdi) == REGS_RDI, "entry.S");
_Static_assert(offsetof(struct user_regs, orig_rax) == REGS_ORIG_RAX, "entry.S");
_Static_assert(offsetof(struct user_regs, rip) == REGS_RIP, "entry.S");
_Static_assert(offsetof(struct user_regs, cs) == REGS_CS, "entry.S");
_Static_assert(offsetof(struct user_regs, rflags) == REGS_RFLAGS, "entry.S");
_Static_assert(offsetof(struct user_regs, rsp) == REGS_RSP, "entry.S");
_Static_assert(sizeof(struct user_regs) == REGS_SIZE, "entry.S");
_Static_assert(sizeof(struct tss) == 104 && sizeof(struct gate) == 16, "SDM Vol. 3A");

// Data that user mode may load and read nothing by: base 0 and a limit, which LSL tells.
//   limit: 20 bits. This CPU runs no user code meanwhile.
void cpu_limit_set(u32 limit) {
    const u64 low = limit & 0xffff, high = limit >> 16 & 0xf;
    gdt[cpu_this()->index][SEL_CPU_WORD / 8] = low | 0xf1ull << 40 | high << 48;
}

static void gdt_init(u32 index) {
    u64 *g = gdt[index];
    g[SEL_KERNEL_CODE / 8] = 0x00209a0000000000;
    g[SEL_KERNEL_DATA / 8] = 0x0000920000000000;
    g[SEL_USER_CODE32 / 8] = 0;      // no 32-bit user mode
    g[SEL_USER_DATA / 8] = 0x0000f20000000000;
    g[SEL_USER_CODE / 8] = 0x0020fa0000000000;
    const u64 base = (u64)&tss[index];
    g[SEL_TSS / 8] = (sizeof(struct tss) - 1) | ((base & 0xffffff) << 16) | (0x89ull << 40) |
                     ((base >> 24 & 0xff) << 56);
    g[SEL_TSS / 8 + 1] = base >> 32;
    const struct table_pointer p = {sizeof gdt[0] - 1, (u64)g};
    __asm__ volatile(
        "lgdt %0\n\t"
        "push %1\n\t"
        "lea 1f(%%rip), %%rax\n\t"
        "push %%rax\n\t"
        "lretq\n"
        "1:\tmov %2, %%ss\n\tmov %2, %%ds\n\tmov %2, %%es\n\t"
        "mov %3, %%fs\n\tmov %3, %%gs\n\t"
        "ltr %w4"
        : : "m"(p), "i"(SEL_KERNEL_CODE), "r"(SEL_KERNEL_DATA), "r"(0), "r"(SEL_TSS)
        : "rax", "memory");
}

static void idt_init(void) {
    for (u32 v = 0; v < 256; v++) {
        const u64 at = (u64)trap_stubs + v * 16;
        const u8 ist = v == TRAP_NMI             ? 1
                       : v == TRAP_DOUBLE_FAULT  ? 2
                       : v == TRAP_MACHINE_CHECK ? 3
                                                 : 0;
        // Interrupt gates; breakpoint alone may be raised by a user.
        const u8 type = v == TRAP_BREAKPOINT ? 0xee : 0x8e;
        idt[v] = (struct gate){(u16)at, SEL_KERNEL_CODE, ist, type, (u16)(at >> 16),
                               (u32)(at >> 32), 0};
    }
}

// Fills in what a CPU needs before its first instruction: its stack.
void cpu_tables_prepare(u32 index) {
    cpus[index].kernel_stack_top = (u64)cpu_stacks[index].kernel + KERNEL_STACK_BYTES;
}

// Sets up the calling CPU as cpus[index].
//   index: below CPU_MAX; 0 first
void cpu_tables_init(u32 index) {
    struct cpu *c = &cpus[index];
    struct cpu_stacks *s = &cpu_stacks[index];
    if (index == 0) idt_init();
    c->self = c;
    c->index = index;
    cpu_tables_prepare(index);
    tss[index].rsp[0] = c->kernel_stack_top;
    c->trap_stack = (u8 *)&tss[index] + offsetof(struct tss, rsp);
    for (u32 i = 0; i < 3; i++) tss[index].ist[i] = (u64)s->ist[i] + IST_STACK_BYTES;
    tss[index].io_map = sizeof(struct tss);
    gdt_init(index);
    const struct table_pointer p = {sizeof idt - 1, (u64)idt};
    __asm__ volatile("lidt %0" : : "m"(p));
    wrmsr(MSR_GS_BASE, (u64)c);
    wrmsr(MSR_KERNEL_GS_BASE, 0);
    cpu_limit_set(index);            // as its clock_word: 0
    wrmsr(MSR_STAR, ((u64)SEL_USER_CODE32 << 48) | ((u64)SEL_KERNEL_CODE << 32));
    wrmsr(MSR_LSTAR, (u64)syscall_entry);
    // NT, too: IRETQ faults in the kernel where a user had set it.
    wrmsr(MSR_SFMASK, RFLAGS_IF | RFLAGS_TF | RFLAGS_DF | RFLAGS_AC | RFLAGS_NT | RFLAGS_IOPL);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
}

// Where the next trap or call from user mode on this CPU saves the registers.
//   regs: in a descriptor; NULL where no process is current
void cpu_set_user_regs(struct user_regs *regs) {
    struct cpu *c = cpu_this();
    ASSERT(((u64)(regs + 1) & 15) == 0 || !regs);
    c->regs = regs;
    tss[c->index].rsp[0] = regs ? (u64)(regs + 1) : c->kernel_stack_top;
}

// Whether this page of the image lies below a stack, to catch its overflow.
bool cpu_is_guard_page(u64 va) {
    const u64 offset = va - (u64)cpu_stacks;
    return va >= (u64)cpu_stacks && offset < sizeof cpu_stacks &&
           offset % sizeof(struct cpu_stacks) < sizeof cpu_stacks[0].guard;
}

// The manual's name of an exception.
const char *trap_name(u32 vector) {
    static const char *const names[] = {
        "divide error", "debug", "NMI", "breakpoint", "overflow", "bound range",
        "invalid opcode", "no FPU", "double fault", "FPU overrun", "invalid TSS",
        "segment not present", "stack fault", "general protection", "page fault", "15",
        "FPU error", "alignment check", "machine check", "SIMD error", "virtualization",
        "control protection",
    };
    return vector < ARRAY_COUNT(names) ? names[vector] : "interrupt";
}
