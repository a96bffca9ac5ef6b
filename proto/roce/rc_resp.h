// The RC responder: what a request packet asks for and whether it may. Pure: the caller
// looks up keys and touches memory between rc_resp_check and rc_resp_commit.
#pragma once

#include "proto/roce/packet.h"
#include "proto/roce/psn.h"

#define RC_RD_ATOMIC_MAX 16u
#define RC_READ_MAX (1u << 30)     // bytes of one READ that we serve

enum rc_resp_verdict {
    RESP_DROP,          // silently
    RESP_DUP_ACK,       // executed before: acknowledge the newest PSN
    RESP_NAK,           // answer with syndrome; fatal ones put the QP into ERR
    RESP_RNR,           // no receive posted
    RESP_SEND,          // place payload into the receive at `offset`
    RESP_WRITE,         // write payload at va under rkey
    RESP_READ,          // stream len bytes from va
    RESP_ATOMIC,        // execute on va
    RESP_DUP_READ,      // stream again from psn on
    RESP_DUP_ATOMIC,    // answer `orig` again
};

struct rc_resp_attr {
    u32 rq_psn, mtu_shift;
    u8 max_dest_rd_atomic;
    bool allow_write, allow_read, allow_atomic;
};

// A READ or atomic that was executed, kept for duplicates.
struct rc_resp_saved {
    bool used, atomic;
    u32 first_psn, last_psn, rkey, len;
    u64 va, orig;
};

struct rc_resp {
    struct rc_resp_attr attr;
    u32 epsn, msn;
    u32 message;                   // OPF_SEND or OPF_WRITE while inside one, else 0
    bool nak_sent;                 // one NAK or RNR until the expected packet comes
    bool fresh;                    // no request accepted yet
    u32 own_answer_psn;            // last PSN of the newest READ or atomic
    u64 va;                        // WRITE: where the next packet goes
    u32 rkey, left, offset;        // WRITE: bytes left; bytes of the message that came
    u32 saved_next;
    struct rc_resp_saved saved[RC_RD_ATOMIC_MAX];
};

struct rc_resp_act {
    enum rc_resp_verdict verdict;
    u8 syndrome;
    bool first, last, imm;         // of the message
    bool needs_recv;               // takes (first of SEND) or consumes (imm) a receive
    bool check_key;                // len != 0: the caller must check rkey, va, len
    u64 va, orig;
    u32 rkey, len;                 // WRITE: of the whole message on `first`, see check_len
    u32 check_len;                 // bytes from va that the key must cover
    u32 offset, psn, original_psn; // DUP_READ: PSN of the READ it repeats part of
};

void rc_resp_start(struct rc_resp *r, const struct rc_resp_attr *attr);
void rc_resp_check(struct rc_resp *r, const struct roce_pkt *pkt, bool recv_posted,
                   u32 reads_pending, struct rc_resp_act *act);
void rc_resp_commit(struct rc_resp *r, const struct roce_pkt *pkt,
                    const struct rc_resp_act *act);
