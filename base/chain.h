// A chain: one-sided operations that a pure machine asks its host to post in one go
// on the RC queue pair to one node (its own node: the loopback pair, or the CPU where
// the words are coherent). RC runs them in order; one that fails breaks the pair and
// all later ones. The machine owns the memory; the host fills `result` of each atomic,
// the bytes of each READ, and `status`, then hands the chain back.
#pragma once

#include "base/status.h"
#include "base/types.h"

#define CHAIN_MAX 20   // a migration fetches 18 auxiliary frames and the root, then a CAS

enum chain_op { CHAIN_READ, CHAIN_CAS, CHAIN_ADD, CHAIN_WRITE_IMM };

// Where at the peer. The host turns (region, offset) into address and key out of the
// peer's KEYS message.
enum chain_region {
    REGION_SHARD,    // offset in bytes into its struct dq_shard
    REGION_OWNER,    // offset = index in the descriptor table; the 8-byte owner word
    REGION_DESC,     // offset = index; the descriptor's first frame
    REGION_FRAME,    // offset = physical address of a frame, in bytes
    REGION_INBOX,    // offset in bytes into its inbox for this sender
};

struct chain_wr {
    enum chain_op op;
    enum chain_region region;
    u64 offset;
    void *buf;             // READ: where to; WRITE_IMM: where from. Registered memory.
    u32 len_bytes;         // READ and WRITE_IMM; an atomic has 8
    u32 imm;               // WRITE_IMM
    u64 compare, operand;  // CAS: expected and desired; ADD: operand
    u64 result;            // atomics: the value found
};

struct chain {
    u8 node;
    u8 count;
    status_t status;       // S_OK, or E_HOSTUNREACH: the pair is dead, outcomes unknown
    struct chain_wr wr[CHAIN_MAX];
};

static inline struct chain_wr *chain_begin(struct chain *c, u8 node) {
    c->node = node;
    c->count = 0;
    c->status = S_OK;
    return c->wr;
}
static inline struct chain_wr *chain_add(struct chain *c, enum chain_op op,
                                         enum chain_region region, u64 offset) {
    struct chain_wr *wr = &c->wr[c->count++];
    *wr = (struct chain_wr){.op = op, .region = region, .offset = offset, .len_bytes = 8};
    return wr;
}
static inline void chain_read(struct chain *c, enum chain_region region, u64 offset, void *buf,
                              u32 len_bytes) {
    struct chain_wr *wr = chain_add(c, CHAIN_READ, region, offset);
    wr->buf = buf;
    wr->len_bytes = len_bytes;
}
static inline void chain_cas(struct chain *c, enum chain_region region, u64 offset, u64 compare,
                             u64 desired) {
    struct chain_wr *wr = chain_add(c, CHAIN_CAS, region, offset);
    wr->compare = compare;
    wr->operand = desired;
}
// Did the CAS at position i of a finished chain take place?
static inline bool chain_cas_won(const struct chain *c, u32 i) {
    return c->status == S_OK && c->wr[i].result == c->wr[i].compare;
}
