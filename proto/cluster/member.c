// The join's proof and its policy. Called by kernel/cluster_join.c, tests and the simulator
// under the caller's lock. docs/reference/join.md: REQ {version, id, incarnation, nonce}, REP
// the same and a MAC, RTU a MAC; both MACs cover both sides whole (ids, incarnations,
// nonces, GIDs, QPNs, start PSNs) under labels of their own, so that neither can be
// replayed, reflected or used for another queue pair.
#include "proto/cluster/member.h"

#include "base/owner.h"
#include "base/string.h"

#define LABEL 16
#define SIDE_BYTES (1 + 8 + MEMBER_NONCE + 16 + 4 + 4 + 2 + 8)
#define PROOF_BYTES (LABEL + 1 + 2 * SIDE_BYTES)

static const char rep_label[LABEL] = "isthmus-join-rep";
static const char rtu_label[LABEL] = "isthmus-join-rtu";

static u8 *put_be(u8 *to, u64 value, u32 bytes) {
    for (u32 i = 0; i < bytes; i++) to[i] = (u8)(value >> (8 * (bytes - 1 - i)));
    return to + bytes;
}

static u64 get_be(const u8 *from, u32 bytes) {
    u64 v = 0;
    for (u32 i = 0; i < bytes; i++) v = v << 8 | from[i];
    return v;
}

// version u8, id u8, members u8, lowest u8, incarnation u64, nonce[16], fenced u64; big-endian
static void pack_head(const struct member_side *s, u8 *to) {
    to[0] = MEMBER_VERSION;
    to[1] = s->id;
    to[2] = s->members;
    to[3] = s->lowest;
    put_be(to + 4, s->incarnation, 8);
    memcpy(to + 12, s->nonce, MEMBER_NONCE);
    put_be(to + 12 + MEMBER_NONCE, s->fenced, 8);
}

static status_t unpack_head(const u8 *from, u32 len, u32 need, struct member_side *s) {
    if (len < need || from[0] != MEMBER_VERSION || from[1] >= NODES_MAX) return E_PROTO;
    s->id = from[1];
    s->members = from[2];
    s->lowest = from[3];
    s->fenced = get_be(from + 12 + MEMBER_NONCE, 8);
    s->incarnation = get_be(from + 4, 8);
    memcpy(s->nonce, from + 12, MEMBER_NONCE);
    return S_OK;
}

// What REQ carries.
void member_req_pack(const struct member_side *active, u8 to[MEMBER_REQ_BYTES]) {
    pack_head(active, to);
}

// Reads a REQ's private data (zero-padded by the CM, so longer is fine).
status_t member_req_unpack(const u8 *from, u32 len, struct member_side *active) {
    return unpack_head(from, len, MEMBER_REQ_BYTES, active);
}

static u8 *put_side(u8 *at, const struct member_side *s) {
    *at++ = s->id;
    at = put_be(at, s->incarnation, 8);
    memcpy(at, s->nonce, MEMBER_NONCE);
    at += MEMBER_NONCE;
    memset(at, 0, 10);               // ::ffff:a.b.c.d, the GID of RoCEv2 over IPv4
    at[10] = at[11] = 0xff;
    at = put_be(at + 12, s->ipv4, 4);
    at = put_be(at, s->qpn, 4);
    at = put_be(at, s->start_psn, 4);
    *at++ = s->members;
    *at++ = s->lowest;
    return put_be(at, s->fenced, 8);
}

static void proof_mac(const struct member_proof *p, const char label[LABEL],
                      u8 mac[MEMBER_MAC]) {
    u8 bytes[PROOF_BYTES];
    memcpy(bytes, label, LABEL);
    bytes[LABEL] = MEMBER_VERSION;
    u8 *at = put_side(bytes + LABEL + 1, p->active);
    put_side(at, p->passive);
    p->hmac(p->key, bytes, PROOF_BYTES, mac);
}

// Compares without telling by its time where the first difference is.
static status_t check(const u8 mac[MEMBER_MAC], const u8 *given) {
    u8 differs = 0;
    for (u32 i = 0; i < MEMBER_MAC; i++) differs |= mac[i] ^ given[i];
    return differs ? E_KEYREJECTED : S_OK;
}

// What REP carries: the passive side's words and its MAC.
void member_rep_pack(const struct member_proof *p, u8 to[MEMBER_REP_BYTES]) {
    pack_head(p->passive, to);
    proof_mac(p, rep_label, to + MEMBER_REQ_BYTES);
}

status_t member_rep_unpack(const u8 *from, u32 len, struct member_side *passive) {
    return unpack_head(from, len, MEMBER_REP_BYTES, passive);
}

// The active side, with the passive side whole: unpacked, and what the CM's REP said.
status_t member_rep_check(const struct member_proof *p, const u8 *from, u32 len) {
    u8 mac[MEMBER_MAC];
    if (len < MEMBER_REP_BYTES) return E_PROTO;
    proof_mac(p, rep_label, mac);
    return check(mac, from + MEMBER_REQ_BYTES);
}

void member_rtu_pack(const struct member_proof *p, u8 to[MEMBER_RTU_BYTES]) {
    proof_mac(p, rtu_label, to);
}

// The passive side: until this is S_OK it gives no access and no keys.
status_t member_rtu_check(const struct member_proof *p, const u8 *from, u32 len) {
    u8 mac[MEMBER_MAC];
    if (len < MEMBER_RTU_BYTES) return E_PROTO;
    proof_mac(p, rtu_label, mac);
    return check(mac, from);
}

bool member_healed(const struct member_side *us, const struct member_side *them) {
    return us->fenced == them->incarnation || them->fenced == us->incarnation;
}

// The side with fewer members; of equal ones the one without the lowest id. Views that
// overlap (a cut between two of three) can tie in both: then the higher id.
bool member_is_smaller(const struct member_side *us, const struct member_side *them) {
    if (us->members != them->members) return us->members < them->members;
    if (us->lowest != them->lowest) return us->lowest > them->lowest;
    return us->id > them->id;
}

// --- one peer ----------------------------------------------------------------------------

// A peer that nothing is known of yet: it is called at once.
void member_peer_init(struct member_peer *p, u64 now_ns) {
    memset(p, 0, sizeof *p);
    p->call_at_ns = now_ns;
    p->wait_ns = MEMBER_CALL_MIN_NS;
}

bool member_call_due(struct member_peer *p, u64 now_ns) {
    if (p->state != MEMBER_DOWN || now_ns < p->call_at_ns) return false;
    p->state = MEMBER_CALLING;
    return true;
}

u64 member_next_ns(const struct member_peer *p) {
    return p->state == MEMBER_DOWN ? p->call_at_ns : ~0ull;
}

// What to do with a REQ of `from`. Of two crossed calls the one begun by the lower id
// stays. A REQ does not prove who sent it, so it never tears down what works.
enum member_answer member_request(const struct member_peer *p, u8 self, u8 from) {
    switch (p->state) {
    case MEMBER_DOWN: return MEMBER_ACCEPT;
    case MEMBER_CALLING: return from < self ? MEMBER_ACCEPT_DROP_OWN : MEMBER_REJECT_CROSSED;
    case MEMBER_ANSWERING: return MEMBER_ACCEPT_DROP_OWN;   // it began again
    case MEMBER_KEYS:
    case MEMBER_UP: break;
    }
    return MEMBER_REJECT_PROBE;
}

void member_failed(struct member_peer *p, u64 now_ns, u32 random) {
    p->state = MEMBER_DOWN;
    p->call_at_ns = now_ns + p->wait_ns + random % (p->wait_ns / 4);
    p->wait_ns = p->wait_ns * 2 < MEMBER_CALL_MAX_NS ? p->wait_ns * 2 : MEMBER_CALL_MAX_NS;
}

void member_joined(struct member_peer *p) {
    p->state = MEMBER_UP;
    p->wait_ns = MEMBER_CALL_MIN_NS;
}

bool member_may_log(struct member_peer *p, enum member_reason why, u64 now_ns) {
    u64 *at = &p->logged_ns[why - MEMBER_STRANGER];
    if (*at != 0 && now_ns - *at < MEMBER_LOG_NS) return false;
    *at = now_ns == 0 ? 1 : now_ns;
    return true;
}

const char *member_reason_name(enum member_reason why) {
    static const char *const names[] = {"no reason given", "not in cluster.conf",
                                        "calls crossed", "busy", "wrong key",
                                        "an id was asked for", "a cut is over"};
    return (u32)why < 7 ? names[why] : "?";
}
