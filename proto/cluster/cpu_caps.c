// The table of user-visible CPU features: one row is one place in a set, so rows are only
// ever added at the end. Left out: what the kernel does not let user mode use (FSGSBASE,
// PKU, AMX, SGX, shadow stacks), and what every x86-64 CPU has (to SSE2). Callers:
// kernel/may_run.c, kernel/x86/features.c, unit tests. Spec: SDM Vol. 2A CPUID; APM Vol. 3
// appendix E; SDM Vol. 1 13.4.3 (standard format of XSAVE).
#include "proto/cluster/cpu_caps.h"

#include "base/bits.h"

#define XCR0_AVX 0x4ull
#define XCR0_AVX512 0xe0ull
#define XCR0_ALWAYS 3ull             // x87 and SSE

struct cap { const char *name; u8 word, bit; u8 state; };
enum { S_NONE, S_AVX, S_AVX512 };    // what of XCR0 it needs
static const u64 state_of[] = {0, XCR0_AVX, XCR0_AVX | XCR0_AVX512};

static const struct cap table[] = {
    {"sse3", CPUID_1_ECX, 0, S_NONE}, {"pclmulqdq", CPUID_1_ECX, 1, S_NONE},
    {"ssse3", CPUID_1_ECX, 9, S_NONE}, {"fma", CPUID_1_ECX, 12, S_AVX},
    {"cx16", CPUID_1_ECX, 13, S_NONE}, {"sse4.1", CPUID_1_ECX, 19, S_NONE},
    {"sse4.2", CPUID_1_ECX, 20, S_NONE}, {"movbe", CPUID_1_ECX, 22, S_NONE},
    {"popcnt", CPUID_1_ECX, 23, S_NONE}, {"aes", CPUID_1_ECX, 25, S_NONE},
    {"xsave", CPUID_1_ECX, 26, S_NONE}, {"avx", CPUID_1_ECX, 28, S_AVX},
    {"f16c", CPUID_1_ECX, 29, S_AVX}, {"rdrand", CPUID_1_ECX, 30, S_NONE},
    {"bmi1", CPUID_7_EBX, 3, S_NONE}, {"hle", CPUID_7_EBX, 4, S_NONE},
    {"avx2", CPUID_7_EBX, 5, S_AVX}, {"bmi2", CPUID_7_EBX, 8, S_NONE},
    {"erms", CPUID_7_EBX, 9, S_NONE}, {"rtm", CPUID_7_EBX, 11, S_NONE},
    {"avx512f", CPUID_7_EBX, 16, S_AVX512}, {"avx512dq", CPUID_7_EBX, 17, S_AVX512},
    {"rdseed", CPUID_7_EBX, 18, S_NONE}, {"adx", CPUID_7_EBX, 19, S_NONE},
    {"avx512ifma", CPUID_7_EBX, 21, S_AVX512}, {"clflushopt", CPUID_7_EBX, 23, S_NONE},
    {"clwb", CPUID_7_EBX, 24, S_NONE}, {"avx512pf", CPUID_7_EBX, 26, S_AVX512},
    {"avx512er", CPUID_7_EBX, 27, S_AVX512}, {"avx512cd", CPUID_7_EBX, 28, S_AVX512},
    {"sha", CPUID_7_EBX, 29, S_NONE}, {"avx512bw", CPUID_7_EBX, 30, S_AVX512},
    {"avx512vl", CPUID_7_EBX, 31, S_AVX512}, {"avx512vbmi", CPUID_7_ECX, 1, S_AVX512},
    {"waitpkg", CPUID_7_ECX, 5, S_NONE}, {"avx512vbmi2", CPUID_7_ECX, 6, S_AVX512},
    {"gfni", CPUID_7_ECX, 8, S_NONE}, {"vaes", CPUID_7_ECX, 9, S_AVX},
    {"vpclmulqdq", CPUID_7_ECX, 10, S_AVX}, {"avx512vnni", CPUID_7_ECX, 11, S_AVX512},
    {"avx512bitalg", CPUID_7_ECX, 12, S_AVX512}, {"avx512vpopcntdq", CPUID_7_ECX, 14, S_AVX512},
    {"rdpid", CPUID_7_ECX, 22, S_NONE}, {"cldemote", CPUID_7_ECX, 25, S_NONE},
    {"movdiri", CPUID_7_ECX, 27, S_NONE}, {"movdir64b", CPUID_7_ECX, 28, S_NONE},
    {"avx512_4vnniw", CPUID_7_EDX, 2, S_AVX512}, {"avx512_4fmaps", CPUID_7_EDX, 3, S_AVX512},
    {"fsrm", CPUID_7_EDX, 4, S_NONE}, {"avx512vp2intersect", CPUID_7_EDX, 8, S_AVX512},
    {"serialize", CPUID_7_EDX, 14, S_NONE}, {"avx512fp16", CPUID_7_EDX, 23, S_AVX512},
    {"avxvnni", CPUID_7_1_EAX, 4, S_AVX}, {"avx512bf16", CPUID_7_1_EAX, 5, S_AVX512},
    {"fzrm", CPUID_7_1_EAX, 10, S_NONE}, {"fsrs", CPUID_7_1_EAX, 11, S_NONE},
    {"fsrc", CPUID_7_1_EAX, 12, S_NONE}, {"avxifma", CPUID_7_1_EAX, 23, S_AVX},
    {"lahf", CPUID_EXT1_ECX, 0, S_NONE}, {"lzcnt", CPUID_EXT1_ECX, 5, S_NONE},
    {"sse4a", CPUID_EXT1_ECX, 6, S_NONE}, {"misalignsse", CPUID_EXT1_ECX, 7, S_NONE},
    {"prefetchw", CPUID_EXT1_ECX, 8, S_NONE}, {"xop", CPUID_EXT1_ECX, 11, S_AVX},
    {"fma4", CPUID_EXT1_ECX, 16, S_AVX}, {"tbm", CPUID_EXT1_ECX, 21, S_NONE},
    {"mmxext", CPUID_EXT1_EDX, 22, S_NONE}, {"rdtscp", CPUID_EXT1_EDX, 27, S_NONE},
    {"3dnowext", CPUID_EXT1_EDX, 30, S_NONE}, {"3dnow", CPUID_EXT1_EDX, 31, S_NONE},
    {"clzero", CPUID_EXT8_EBX, 0, S_NONE}, {"rdpru", CPUID_EXT8_EBX, 4, S_NONE},
    {"xsaveopt", CPUID_D_1_EAX, 0, S_NONE}, {"xsavec", CPUID_D_1_EAX, 1, S_NONE},
    {"xgetbv1", CPUID_D_1_EAX, 2, S_NONE},
};
_Static_assert(ARRAY_COUNT(table) <= 64 * CPU_CAPS_WORDS, "each row has a bit");

// Components whose place is compared, 8 bits each: AVX, the three of AVX-512, PKRU.
static const u8 placed[] = {2, 5, 6, 7, 9};

static bool has(const struct cpu_caps *c, u32 row) {
    return (c->bits[row / 64] & BIT(row % 64)) && (state_of[table[row].state] & ~c->xcr0) == 0;
}

// word: CPUID's registers, 0 for a leaf that the CPU has not; xcr0 as enabled (3 without
// XSAVE); offset: see the header. Units of 64 bytes fit a byte: an area ends below 16 KiB.
void cpu_caps_make(struct cpu_caps *caps, const u32 word[CPUID_WORDS], u64 xcr0,
                   const u32 offset[16]) {
    *caps = (struct cpu_caps){.xcr0 = xcr0 | XCR0_ALWAYS};
    for (u32 i = 0; i < ARRAY_COUNT(table); i++) {
        if (!(word[table[i].word] >> table[i].bit & 1)) continue;
        caps->bits[i / 64] |= BIT(i % 64);
        if (!has(caps, i)) caps->bits[i / 64] &= ~BIT(i % 64);
    }
    for (u32 i = 0; i < ARRAY_COUNT(placed); i++)
        if (xcr0 & BIT(placed[i])) caps->layout |= (u64)(offset[placed[i]] / 64 & 0xff) << 8 * i;
}

static bool same_place(const struct cpu_caps *have, const struct cpu_caps *need, u32 i) {
    if (!(need->xcr0 & BIT(placed[i]))) return true;
    return ((have->layout ^ need->layout) >> 8 * i & 0xff) == 0;
}

bool cpu_caps_cover(const struct cpu_caps *have, const struct cpu_caps *need) {
    if (need->xcr0 & ~(have->xcr0 | XCR0_ALWAYS)) return false;
    for (u32 i = 0; i < ARRAY_COUNT(placed); i++)
        if (!same_place(have, need, i)) return false;
    for (u32 i = 0; i < CPU_CAPS_WORDS; i++)
        if (need->bits[i] & ~have->bits[i]) return false;
    return true;
}

struct words { char *to; u32 size, at; };

// Whole words only; after one that does not fit comes no other.
static void put(struct words *w, const char *word) {
    u32 len = 0;
    while (word[len]) len++;
    if (w->at + len + 2 > w->size) {
        w->size = 0;
        return;
    }
    if (w->at) w->to[w->at++] = ' ';
    for (u32 i = 0; i < len; i++) w->to[w->at++] = word[i];
}

// have NULL: all that `need` names. to: ends with 0; size at least 1. A state component at
// another place counts as "xsave-layout".
u32 cpu_caps_text(const struct cpu_caps *need, const struct cpu_caps *have, char *to, u32 size) {
    struct words w = {to, size, 0};
    bool moved = false;
    for (u32 i = 0; i < ARRAY_COUNT(table); i++)
        if (has(need, i) && (!have || !has(have, i))) put(&w, table[i].name);
    for (u32 i = 0; have && i < ARRAY_COUNT(placed); i++)
        moved |= (have->xcr0 & BIT(placed[i])) && !same_place(have, need, i);
    if (moved) put(&w, "xsave-layout");
    to[w.at] = 0;
    return w.at;
}
