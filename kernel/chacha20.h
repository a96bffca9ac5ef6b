// The ChaCha20 block function. Spec: RFC 8439 section 2.3.
#pragma once

#include "base/types.h"

#define CHACHA20_KEY_BYTES 32
#define CHACHA20_BLOCK_BYTES 64

// One block of key stream. nonce: three words; counter: of the block.
void chacha20_block(const u32 key[8], u32 counter, const u32 nonce[3],
                    u8 out[CHACHA20_BLOCK_BYTES]);
