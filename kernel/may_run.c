// What each node's CPUs can do, and which nodes a process may run on. A program looks at
// CPUID itself, which needs no call, so it counts as having chosen by all that the node has
// on which it ran its first instruction; until then (PROC_FLAG_FRESH) it may go anywhere.
// Callers: requests to move, placement, adoption (migrate_host.c), the edge, /nodes.
// Locks: none. A peer's row is written before the peer counts as up, under net_lock.
#include "kernel/may_run.h"

#include "base/bits.h"
#include "base/owner.h"
#include "kernel/cluster.h"
#include "kernel/klog.h"
#include "kernel/proc.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/fpu.h"
#include "kernel/x86/msr.h"

static struct cpu_caps own, peers[NODES_MAX];

static u32 cpuid_register(u32 leaf, u32 sub, u32 which) {
    const u32 max = cpuid(leaf & 0x80000000, 0).eax;
    if (leaf > max || (leaf == 7 && sub > cpuid(7, 0).eax)) return 0;
    const struct cpuid_regs r = cpuid(leaf, sub);
    return which == 0 ? r.eax : which == 1 ? r.ebx : which == 2 ? r.ecx : r.edx;
}

void may_run_init(void) {
    enum { EAX, EBX, ECX, EDX };
    const u32 word[CPUID_WORDS] = {
        [CPUID_1_ECX] = cpuid_register(1, 0, ECX), [CPUID_7_EBX] = cpuid_register(7, 0, EBX),
        [CPUID_7_ECX] = cpuid_register(7, 0, ECX), [CPUID_7_EDX] = cpuid_register(7, 0, EDX),
        [CPUID_7_1_EAX] = cpuid_register(7, 1, EAX),
        [CPUID_EXT1_ECX] = cpuid_register(0x80000001, 0, ECX),
        [CPUID_EXT1_EDX] = cpuid_register(0x80000001, 0, EDX),
        [CPUID_EXT8_EBX] = cpuid_register(0x80000008, 0, EBX),
        [CPUID_D_1_EAX] = cpu_features.xsave ? cpuid_register(0xd, 1, EAX) : 0,
    };
    u32 offset[16] = {0};
    for (u32 i = 2; i < ARRAY_COUNT(offset); i++)
        if (cpu_features.xcr0 & BIT(i)) offset[i] = cpuid_register(0xd, i, EBX);
    cpu_caps_make(&own, word, cpu_features.xcr0, offset);
}

const struct cpu_caps *may_run_own(void) { return &own; }

void may_run_peer(u8 node, const struct cpu_caps *caps) { peers[node] = *caps; }

static const struct cpu_caps *caps_of(u32 node) { return node == node_id ? &own : &peers[node]; }

bool may_run_on(const struct proc_desc *d, u32 node) {
    return (d->flags & PROC_FLAG_FRESH) || cpu_caps_cover(caps_of(node), &d->cpu);
}

u64 may_run_mask(const struct proc_desc *d, u64 up) {
    u64 mask = up;
    for (u64 left = up; left != 0; left &= left - 1) {
        const u32 node = (u32)__builtin_ctzll(left);
        if (!may_run_on(d, node)) mask &= ~BIT(node);
    }
    return mask;
}

status_t may_run_check(const struct proc_desc *d, u8 target) {
    char lacks[CPU_CAPS_TEXT];
    const u64 up = target == NODE_ANY ? cluster_up_mask() : BIT(target);
    const u64 cannot = up & ~may_run_mask(d, up);
    if (cannot == 0) return S_OK;
    const u32 node = (u32)__builtin_ctzll(cannot);
    (void)cpu_caps_text(&d->cpu, caps_of(node), lacks, sizeof lacks);
    klog("move: process %u (%s) cannot run on node %u, whose CPU lacks: %s", d->pid, d->name, node,
         lacks);
    return E_OPNOTSUPP;
}

void may_run_begin(struct proc_desc *d) {
    d->flags &= ~PROC_FLAG_FRESH;
    d->cpu = own;
}

u64 may_run_text(u32 node, char *to, u64 size) {
    char names[CPU_CAPS_TEXT];
    if (size == 0) return 0;
    (void)cpu_caps_text(caps_of(node), NULL, names, sizeof names);
    const int n = ksnprintf(to, size, "features: %s\n", names);
    return MIN((u64)n, size - 1);
}

u64 may_run_lacks(const struct proc_desc *d, u64 up, char *to, u64 size) {
    char names[CPU_CAPS_TEXT];
    u64 at = 0;
    for (u64 left = up & ~may_run_mask(d, up); left != 0 && at + 1 < size; left &= left - 1) {
        const u32 node = (u32)__builtin_ctzll(left);
        (void)cpu_caps_text(&d->cpu, caps_of(node), names, sizeof names);
        const int n = ksnprintf(to + at, size - at, "never on node %u, whose CPU lacks: %s\n", node,
                                names);
        at = MIN(at + (u64)n, size - 1);
    }
    return at;
}
