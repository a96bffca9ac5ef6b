// Any bytes as what members say: private data of the join, and messages. The first byte
// picks which. What is accepted packs into the same bytes again; nothing outside the given
// bytes is read.
// links: proto/cluster/member.c proto/cluster/cluster_msg.c
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/owner.h"
#include "proto/cluster/cluster_msg.h"
#include "proto/cluster/member.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void sum(const u8 key[MEMBER_KEY], const void *bytes, u32 len, u8 mac[MEMBER_MAC]) {
    const u8 *from = bytes;
    u32 h = key[0];
    for (u32 i = 0; i < len; i++) h = h * 31 + from[i];
    for (u32 i = 0; i < MEMBER_MAC; i++) mac[i] = (u8)(h >> (i % 4 * 8));
}

static void try_join(const u8 *data, u32 size) {
    static const u8 key[MEMBER_KEY];
    struct member_side active = {0}, passive = {0};
    const struct member_proof proof = {key, sum, &active, &passive};
    u8 again[MEMBER_REQ_BYTES];
    if (member_req_unpack(data, size, &active) == S_OK) {
        ASSERT(active.id < NODES_MAX);
        member_req_pack(&active, again);
        ASSERT(again[1] == data[1] && memcmp(again + 4, data + 4, MEMBER_REQ_BYTES - 4) == 0);
    }
    if (member_rep_unpack(data, size, &passive) == S_OK) {
        u8 rep[MEMBER_REP_BYTES];
        member_rep_pack(&proof, rep);
        const bool same = memcmp(rep + MEMBER_REQ_BYTES, data + MEMBER_REQ_BYTES, MEMBER_MAC) == 0;
        ASSERT((member_rep_check(&proof, data, size) == S_OK) == same);
    }
    (void)member_rtu_check(&proof, data, size);
}

static void try_message(const u8 *data, u32 size) {
    struct cluster_msg m;
    u8 again[CLUSTER_MSG_MAX];
    if (cluster_msg_decode(&m, data, size) != S_OK) return;
    ASSERT(cluster_msg_encode(&m, again, sizeof again) == size);
    ASSERT(memcmp(again, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    u8 *copy = malloc(size);             // exactly sized, so that any over-read is found
    memcpy(copy, data + 1, size - 1);
    u8 *exact = realloc(copy, size - 1 ? size - 1 : 1);
    if (data[0] & 1) try_join(exact, (u32)(size - 1));
    else try_message(exact, (u32)(size - 1));
    free(exact);
    return 0;
}
