// ChaCha20's block function, pure. Called by the random generator alone.
// Spec: RFC 8439 section 2.1 (quarter round), 2.3 (block); checked against its vectors.
#include "kernel/chacha20.h"

#include "base/string.h"

static u32 rotate(u32 v, u32 bits) { return v << bits | v >> (32 - bits); }

static void quarter_round(u32 *a, u32 *b, u32 *c, u32 *d) {
    *a += *b;
    *d = rotate(*d ^ *a, 16);
    *c += *d;
    *b = rotate(*b ^ *c, 12);
    *a += *b;
    *d = rotate(*d ^ *a, 8);
    *c += *d;
    *b = rotate(*b ^ *c, 7);
}

// Writes the 64 bytes of block `counter`; words are little-endian. Pure.
void chacha20_block(const u32 key[8], u32 counter, const u32 nonce[3],
                    u8 out[CHACHA20_BLOCK_BYTES]) {
    const u32 start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574,   // 2.3: constants
                           key[0], key[1], key[2], key[3], key[4], key[5], key[6], key[7],
                           counter, nonce[0], nonce[1], nonce[2]};
    u32 s[16];
    memcpy(s, start, sizeof s);
    for (u32 round = 0; round < 10; round++) {
        for (u32 i = 0; i < 4; i++)                          // columns, then diagonals
            quarter_round(&s[i], &s[4 + i], &s[8 + i], &s[12 + i]);
        for (u32 i = 0; i < 4; i++)
            quarter_round(&s[i], &s[4 + (i + 1) % 4], &s[8 + (i + 2) % 4], &s[12 + (i + 3) % 4]);
    }
    for (u32 i = 0; i < 16; i++) s[i] += start[i];
    memcpy(out, s, CHACHA20_BLOCK_BYTES);
}
