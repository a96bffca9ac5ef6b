// The kernel's random generator: ChaCha20 in counter mode under a key made at boot.
// Keys, QP numbers, first PSNs, epochs, AT_RANDOM and getrandom come from here.
// Lock: none; each call takes counters of its own by an atomic addition. The key never
// changes after random_init and lies in no memory that a peer can read.
// Spec: RFC 8439 (ChaCha20); SDM Vol. 1 7.3.17 (RDRAND, RDSEED).
#include "kernel/random.h"

#include "base/bits.h"
#include "base/string.h"
#include "kernel/chacha20.h"
#include "kernel/klog.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/port.h"

#define RDRAND_TRIES 10              // SDM Vol. 1 7.3.17.1
#define SEED_ROUNDS 256              // timings taken; each is worth a bit or so

static u32 seed_key[8];
static u64 next_block;               // atomic

static bool rdrand_word(u64 *word) {
    for (u32 i = 0; i < RDRAND_TRIES; i++) {
        u8 ok;
        __asm__ volatile("rdrand %0; setc %1" : "=r"(*word), "=qm"(ok) : : "cc");
        if (ok) return true;
    }
    return false;
}

static u64 tsc_word(void) {
    u32 low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (u64)high << 32 | low;
}

// Stirs one word into the key: the key becomes the key stream under itself.
static void stir(u64 word) {
    const u32 nonce[3] = {(u32)word, (u32)(word >> 32), 0x73746972};
    u8 block[CHACHA20_BLOCK_BYTES];
    chacha20_block(seed_key, 0, nonce, block);
    memcpy(seed_key, block, sizeof seed_key);
}

// Boot, CPU 0, after the CPU's features and the clock are known. Stirs in RDRAND where
// it is there, and always how long port accesses take (port 0x80: POST codes) and the
// real-time clock. Without RDRAND it says so: the timings alone are a weaker seed.
void random_init(void) {
    u32 from_cpu = 0;
    for (u32 i = 0; i < SEED_ROUNDS; i++) {
        u64 word;
        if (cpu_features.rdrand && i < 8 && rdrand_word(&word)) {
            stir(word);
            from_cpu++;
        }
        (void)port_in8(0x80);
        stir(tsc_word());
    }
    for (u8 reg = 0; reg < 10; reg++) {                  // MC146818: seconds to year
        port_out8(0x70, (u8)(0x80 | reg));
        stir(port_in8(0x71));
    }
    if (from_cpu == 0) klog("random: no RDRAND; seeded by timings alone");
}

// Fills len_bytes at `to`. Any context, any lock held. At 2^64 blocks it would repeat.
void random_fill(void *to, size_t len_bytes) {
    u8 *out = to;
    while (len_bytes > 0) {
        u64 n = __atomic_fetch_add(&next_block, 1, __ATOMIC_RELAXED);
        const u32 nonce[3] = {(u32)(n >> 32), 0, 0x66696c6c};
        u8 block[CHACHA20_BLOCK_BYTES];
        chacha20_block(seed_key, (u32)n, nonce, block);
        size_t part = MIN(len_bytes, sizeof block);
        memcpy(out, block, part);
        out += part;
        len_bytes -= part;
    }
}

static void rng_fill(void *ctx, void *to, size_t len_bytes) {
    (void)ctx;
    random_fill(to, len_bytes);
}

const struct rng kernel_rng = {.fill = rng_fill};
