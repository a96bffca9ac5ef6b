// Joining: what travels in the private data of REQ, REP and RTU, how both sides prove that
// they have the cluster's key, and when to call, to answer and to refuse. Pure: bytes,
// time and a MAC function in; bytes and decisions out. See member.c.
#pragma once

#include "base/status.h"
#include "base/types.h"

#define MEMBER_VERSION 2
#define MEMBER_NONCE 16
#define MEMBER_KEY 32
#define MEMBER_MAC 32
#define MEMBER_REQ_BYTES 36
#define MEMBER_REP_BYTES (MEMBER_REQ_BYTES + MEMBER_MAC)
#define MEMBER_RTU_BYTES MEMBER_MAC

#define MEMBER_CALL_MIN_NS (200ull * 1000 * 1000)     // first wait after a failed call
#define MEMBER_CALL_MAX_NS (5000ull * 1000 * 1000)    // it doubles up to this
#define MEMBER_LOG_NS (60000ull * 1000 * 1000)        // one line a peer and reason this often

// One side of a connection, as both MACs cover it.
struct member_side {
    u8 id;
    u64 incarnation;
    u8 nonce[MEMBER_NONCE];
    u32 ipv4;                    // host byte order; the GID of RoCEv2
    u32 qpn, start_psn;
    u8 members, lowest;          // how many are up in its view, itself too; their lowest id
    u64 fenced;                  // incarnation of the other side that it has fenced; 0: none
};

// HMAC-SHA-256 of len bytes, into mac.
typedef void (*member_hmac)(const u8 key[MEMBER_KEY], const void *bytes, u32 len,
                            u8 mac[MEMBER_MAC]);

struct member_proof {
    const u8 *key;
    member_hmac hmac;
    const struct member_side *active, *passive;
};

void member_req_pack(const struct member_side *active, u8 to[MEMBER_REQ_BYTES]);
// Fills id, incarnation and nonce. E_PROTO: too short, another version, an id out of range.
status_t member_req_unpack(const u8 *from, u32 len, struct member_side *active);
void member_rep_pack(const struct member_proof *p, u8 to[MEMBER_REP_BYTES]);
status_t member_rep_unpack(const u8 *from, u32 len, struct member_side *passive);
// E_KEYREJECTED: the other side does not have the key, or something was changed.
status_t member_rep_check(const struct member_proof *p, const u8 *from, u32 len);
void member_rtu_pack(const struct member_proof *p, u8 to[MEMBER_RTU_BYTES]);
status_t member_rtu_check(const struct member_proof *p, const u8 *from, u32 len);

// A cut heals: one side has fenced this very incarnation of the other, so each has said that
// what ran at the other is dead. True: `us` is the smaller side and has to join as new.
bool member_healed(const struct member_side *us, const struct member_side *them);
bool member_is_smaller(const struct member_side *us, const struct member_side *them);

// --- one peer ----------------------------------------------------------------------------
enum member_state {
    MEMBER_DOWN,        // waits until call_at_ns
    MEMBER_CALLING,     // our REQ is out
    MEMBER_ANSWERING,   // our REP is out
    MEMBER_KEYS,        // proved; keys and further queue pairs are being exchanged
    MEMBER_UP,
};

enum member_answer {
    MEMBER_ACCEPT,            // answer by REP
    MEMBER_ACCEPT_DROP_OWN,   // drop our call, or our answer to an older one, first
    MEMBER_REJECT_CROSSED,    // ours stays
    MEMBER_REJECT_PROBE,      // we think it is up: refuse, and see whether it still lives
};

struct member_peer {
    enum member_state state;
    u64 call_at_ns, wait_ns;
    u64 logged_ns[6];             // by enum member_reason; 0: never
};

enum member_reason {              // first byte of a REJ's private data; a hint only
    MEMBER_STRANGER = 1, MEMBER_CROSSED = 2, MEMBER_BUSY = 3, MEMBER_WRONG_KEY = 4,
    MEMBER_ID_ANSWER = 5,         // not a refusal: ask.h
    MEMBER_HEALED = 6,            // one side of a cut joins as new first
};

void member_peer_init(struct member_peer *p, u64 now_ns);
// True: call it now (the state is CALLING after that).
bool member_call_due(struct member_peer *p, u64 now_ns);
u64 member_next_ns(const struct member_peer *p);   // when a call is due; ~0: none is
enum member_answer member_request(const struct member_peer *p, u8 self, u8 from);
// The attempt or the membership ended: when to call next. `random` spreads the calls.
void member_failed(struct member_peer *p, u64 now_ns, u32 random);
void member_joined(struct member_peer *p);
// Whether a line about this may be logged now.
bool member_may_log(struct member_peer *p, enum member_reason why, u64 now_ns);
const char *member_reason_name(enum member_reason why);
