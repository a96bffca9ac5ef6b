// What a node without a line in cluster.conf asks a member, and the answer: private data of
// a CM REQ and of the REJ that answers it (no connection comes of it). Each carries a MAC
// under the cluster's key. Pure; callers: kernel/ask.c asks, kernel/cluster_roster.c answers.
#pragma once

#include "proto/cluster/member.h"

#define ASK_ID_NONE 0xff             // in the place of a REQ's id
#define ASK_MAC_BYTES 16u            // of the REQ's MAC, which has no room for all 32
#define ASK_REQ_BYTES (12 + MEMBER_NONCE + ASK_MAC_BYTES)
#define ASK_ANSWER_BYTES (4 + MEMBER_MAC)

struct ask {
    u8 mac[6];                       // of the asking node's card
    u32 ipv4;                        // that it asks from: host byte order
    u8 nonce[MEMBER_NONCE];
};

enum ask_result {
    ASK_GIVEN = 1,                   // id is yours
    ASK_NOT_MINE,                    // ask node `by`, the lowest listed one that is up
    ASK_LATER,                       // not known yet who else is up
    ASK_ADDRESS_TAKEN,               // another node has that address
    ASK_FULL,
    ASK_LISTED,                      // the MAC has a line in the member's cluster.conf
};

struct ask_answer {
    enum ask_result result;
    u8 id, by;
};

typedef void (*ask_hmac)(const u8 key[MEMBER_KEY], const void *bytes, u32 len,
                         u8 mac[MEMBER_MAC]);
struct ask_key { const u8 *key; ask_hmac hmac; };

// True: a REQ's private data asks for an id (and is not yet checked).
bool ask_is(const u8 *from, u32 len);
void ask_req_pack(const struct ask_key *k, const struct ask *a, u8 to[ASK_REQ_BYTES]);
// a->ipv4 is filled in by the caller. E_PROTO; E_KEYREJECTED.
status_t ask_req_unpack(const struct ask_key *k, const u8 *from, u32 len, struct ask *a);
void ask_answer_pack(const struct ask_key *k, const struct ask *a, const struct ask_answer *r,
                     u8 to[ASK_ANSWER_BYTES]);
// E_PROTO: no such answer (another reason of a REJ); E_KEYREJECTED.
status_t ask_answer_unpack(const struct ask_key *k, const struct ask *a, const u8 *from,
                           u32 len, struct ask_answer *r);
