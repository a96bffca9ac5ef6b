// What programs can see and use of a CPU: instructions that user mode may execute, and the
// register state that XSAVE keeps. Sent with the keys at the join; each process carries
// those that it may have chosen by. Pure: CPUID's words in, sets and text out.
#pragma once

#include "base/types.h"

#define CPU_CAPS_WORDS 2
#define CPU_CAPS_TEXT 1024           // bytes that hold the names of a full set

struct cpu_caps {
    u64 bits[CPU_CAPS_WORDS];        // by place in the table of cpu_caps.c
    u64 xcr0;                        // state components in use; x87 and SSE always
    u64 layout;                      // where XSAVE puts AVX, AVX-512 and PKRU
};

// Registers of the leaves that the table names.
enum cpuid_word { CPUID_1_ECX, CPUID_7_EBX, CPUID_7_ECX, CPUID_7_EDX, CPUID_7_1_EAX,
                  CPUID_EXT1_ECX, CPUID_EXT1_EDX, CPUID_EXT8_EBX, CPUID_D_1_EAX, CPUID_WORDS };
// offset: bytes of component n in XSAVE's standard format, 0 where it is not in xcr0.
void cpu_caps_make(struct cpu_caps *caps, const u32 word[CPUID_WORDS], u64 xcr0,
                   const u32 offset[16]);
// True: a program that may use all of `need` can run where there is `have`.
bool cpu_caps_cover(const struct cpu_caps *have, const struct cpu_caps *need);
// Names of what `need` has and `have` has not (NULL: all of need), by blanks. Its length.
u32 cpu_caps_text(const struct cpu_caps *need, const struct cpu_caps *have, char *to, u32 size);
