// The codec of an id's request and answer. See ask.h. Layout, integers big-endian:
//   REQ: version u8, 0xff, zero u16, card's MAC 6, zero u16, nonce 16, MAC's first 16 bytes
//   REJ: MEMBER_ID_ANSWER u8, result u8, id u8, by u8, MAC 32
// MACs cover a label of 16 bytes, version u8, card's MAC, IPv4 u32, nonce; the answer's then
// result, id and by. A REQ that is sent again asks for the same MAC, which has its id by then.
#include "proto/cluster/ask.h"

#include "base/owner.h"
#include "base/string.h"

#define LABEL 16
#define COVERED (LABEL + 1 + 6 + 4 + MEMBER_NONCE)

static const char req_label[LABEL] = "isthmus-ask-id";
static const char answer_label[LABEL] = "isthmus-give-id";

static void mac_of(const struct ask_key *k, const struct ask *a, const u8 *answer,
                   u8 mac[MEMBER_MAC]) {
    u8 bytes[COVERED + 3];
    memcpy(bytes, answer != NULL ? answer_label : req_label, LABEL);
    bytes[LABEL] = MEMBER_VERSION;
    memcpy(bytes + LABEL + 1, a->mac, 6);
    for (u32 i = 0; i < 4; i++) bytes[LABEL + 7 + i] = (u8)(a->ipv4 >> (24 - 8 * i));
    memcpy(bytes + LABEL + 11, a->nonce, MEMBER_NONCE);
    if (answer != NULL) memcpy(bytes + COVERED, answer, 3);
    k->hmac(k->key, bytes, answer != NULL ? COVERED + 3 : COVERED, mac);
}

static status_t check(const u8 *mac, const u8 *given, u32 len) {
    u8 differs = 0;
    for (u32 i = 0; i < len; i++) differs |= mac[i] ^ given[i];
    return differs ? E_KEYREJECTED : S_OK;
}

bool ask_is(const u8 *from, u32 len) {
    return len >= ASK_REQ_BYTES && from[0] == MEMBER_VERSION && from[1] == ASK_ID_NONE;
}

void ask_req_pack(const struct ask_key *k, const struct ask *a, u8 to[ASK_REQ_BYTES]) {
    u8 mac[MEMBER_MAC];
    memset(to, 0, ASK_REQ_BYTES);
    to[0] = MEMBER_VERSION;
    to[1] = ASK_ID_NONE;
    memcpy(to + 4, a->mac, 6);
    memcpy(to + 12, a->nonce, MEMBER_NONCE);
    mac_of(k, a, NULL, mac);
    memcpy(to + 12 + MEMBER_NONCE, mac, ASK_MAC_BYTES);
}

status_t ask_req_unpack(const struct ask_key *k, const u8 *from, u32 len, struct ask *a) {
    u8 mac[MEMBER_MAC];
    if (!ask_is(from, len)) return E_PROTO;
    memcpy(a->mac, from + 4, 6);
    memcpy(a->nonce, from + 12, MEMBER_NONCE);
    if (a->mac[0] & 1) return E_PROTO;
    mac_of(k, a, NULL, mac);
    return check(mac, from + 12 + MEMBER_NONCE, ASK_MAC_BYTES);
}

void ask_answer_pack(const struct ask_key *k, const struct ask *a, const struct ask_answer *r,
                     u8 to[ASK_ANSWER_BYTES]) {
    to[0] = MEMBER_ID_ANSWER;
    to[1] = (u8)r->result;
    to[2] = r->id;
    to[3] = r->by;
    mac_of(k, a, to + 1, to + 4);
}

status_t ask_answer_unpack(const struct ask_key *k, const struct ask *a, const u8 *from,
                           u32 len, struct ask_answer *r) {
    u8 mac[MEMBER_MAC];
    if (len < ASK_ANSWER_BYTES || from[0] != MEMBER_ID_ANSWER || from[1] < ASK_GIVEN ||
        from[1] > ASK_LISTED)
        return E_PROTO;
    *r = (struct ask_answer){(enum ask_result)from[1], from[2], from[3]};
    if (r->result == ASK_GIVEN && r->id >= NODES_MAX) return E_PROTO;
    mac_of(k, a, from + 1, mac);
    return check(mac, from + 4, MEMBER_MAC);
}
