// The RC requester: which packet to send next, what a response means, and when to try
// again. Pure: it knows work requests by index and PSN range, never their memory.
#pragma once

#include "base/ring.h"
#include "proto/roce/packet.h"
#include "proto/roce/psn.h"

#define RC_WINDOW_PSN 128u         // packets of ours in flight
#define RC_ACK_EVERY 32u           // AckReq at least every so many PSNs
#define RC_PSN_SPAN_MAX (1u << 22) // PSNs in flight, READ responses included
#define RC_BACKOFF_MAX 2u          // the timer doubles at most so often: wait <= 4x
#define RC_RNR_INFINITE 7u

enum rc_op { RC_OP_SEND, RC_OP_SEND_IMM, RC_OP_WRITE, RC_OP_WRITE_IMM, RC_OP_READ, RC_OP_CAS,
             RC_OP_FAA };

static inline bool rc_op_reads(enum rc_op op) { return op >= RC_OP_READ; }

struct rc_wqe {
    enum rc_op op;
    bool fence, solicited, done;
    u32 len, rkey, imm;
    u64 va, compare_add, swap;
    u32 first_psn, last_psn;       // set by rc_req_post
};

struct rc_req_attr {
    u32 sq_psn, mtu_shift;
    u8 timeout, retry_cnt, rnr_retry, max_rd_atomic;
};

struct rc_req_counters {
    u64 rcvd_rnr_err, rcvd_seq_err, completer_retry_err, ghost_response, read_gap_asked;
};

struct rc_req {
    struct rc_wqe *wqes;           // ring.size entries, the owner's memory
    struct ring ring;              // head: oldest not popped; tail: next to post
    struct rc_req_attr attr;
    u32 cur;                       // free-running index of the WQE being sent
    u32 send_psn;                  // next PSN to send (inside cur)
    u32 una;                       // oldest PSN not answered
    u32 next_psn;                  // of the next WQE posted
    u32 max_psn;                   // one behind the highest PSN ever used in a request
    u32 reads_out, read_psns;      // READs and atomics sent and unanswered; their PSNs
    u32 retry_left, rnr_left, backoff;
    u32 first_index;               // free-running index of the first WQE of this start
    u32 doubts;                    // answers to READs that were made after a later request had run
    bool gap_asked, drain, timer_on;
    u64 timer_ns, rnr_until_ns;    // rnr_until 0: not in RNR wait
    struct rc_req_counters *counters;
};

// One packet to send.
struct rc_tx {
    u32 wqe;                       // array index
    u8 opcode;
    bool ack_req;
    u32 psn, offset, len;          // payload bytes of the message; READ: what is left
    u64 va;
    u32 dma_len;
};

enum rc_req_verdict {
    RC_REQ_IGNORE,                 // ghost or stale
    RC_REQ_OK,                     // progress: pop what is done
    RC_REQ_PLACE,                  // READ payload for wqe at offset; then pop
    RC_REQ_ATOMIC,                 // the original value for wqe; then pop
    RC_REQ_FAILED,                 // wqe failed with `error`: QP to ERR
};
enum rc_req_error {
    RC_ERR_NONE, RC_ERR_BAD_RESP, RC_ERR_REM_INV_REQ, RC_ERR_REM_ACCESS, RC_ERR_REM_OP,
    RC_ERR_RETRY_EXC, RC_ERR_RNR_EXC,
};
struct rc_req_result {
    enum rc_req_verdict verdict;
    enum rc_req_error error;
    u32 wqe, offset;
};

void rc_req_init(struct rc_req *q, struct rc_wqe *wqes, u32 count,
                 struct rc_req_counters *counters);
void rc_req_start(struct rc_req *q, const struct rc_req_attr *attr);
// The entry to fill for the next post; NULL where the queue is full.
struct rc_wqe *rc_req_slot(struct rc_req *q, u32 *index);
void rc_req_post(struct rc_req *q);
bool rc_req_next(struct rc_req *q, u64 now_ns, struct rc_tx *tx);
void rc_req_sent(struct rc_req *q, const struct rc_tx *tx, u64 now_ns);
struct rc_req_result rc_req_response(struct rc_req *q, const struct roce_pkt *pkt, u64 now_ns);
// Timer due: goes back, or fails. OK also where nothing was due.
struct rc_req_result rc_req_tick(struct rc_req *q, u64 now_ns);
u64 rc_req_deadline(const struct rc_req *q);       // ~0: none
// Takes the oldest WQE off where it is done.
bool rc_req_pop(struct rc_req *q, u32 *index);
// Takes the oldest off whatever its state (flush).
bool rc_req_pop_any(struct rc_req *q, u32 *index);
