// The two words that a hand-over turns on, laid out once for the queue (sched/), the
// adoption machines (proto/cluster/), the kernel and the simulator.
//
// The owner word of a place in a node's descriptor table is the truth about who may
// run the process that lies there; a slot word is a hint that names such a place. The
// epoch belongs to the place: it starts at random at boot, grows by one at every change
// of the word, and survives reuse. Both words are shared64_t: base/shared64.h.
//
//   FREE -> BUILDING(home) -> QUEUED(home) -> RUNNING(home)             taken at home
//                             QUEUED(home) -> ADOPTING(n) -> RUNNING(n) taken by n
//   RUNNING(home) -> QUEUED(home)      frozen at the edge of user mode, to move
//   QUEUED(home) -> RUNNING(home)      cancelled: the owner's own CAS
//   ADOPTING(n) -> QUEUED(home) or RUNNING(home)  after n was fenced, or refused
//   RUNNING(home) -> EXITED(home) -> FREE
//   BUILDING(home) -> FREE             building failed
//   RUNNING(n), n not home: the giver's right has ended for ever; the place holds a
//       frozen image until RELEASE or fencing: RUNNING(n) -> FREE.
// An adopter makes a place of its own in its own table: BUILDING(n) until its CAS to
// RUNNING(n) in the giver's table has completed, then RUNNING(n) there too.
#pragma once

#include "base/bits.h"

#define NODES_MAX 64       // a node is one bit of a hungry word
#define NODE_ANY 0xff      // a slot without a preference
#define DESCS_MAX 4096     // places in one node's table

enum owner_state {
    OWNER_FREE,
    OWNER_BUILDING,
    OWNER_QUEUED,
    OWNER_ADOPTING,
    OWNER_RUNNING,
    OWNER_EXITED,
};

#define OWNER_STATE GENMASK(63, 56)
#define OWNER_NODE GENMASK(55, 48)
#define OWNER_ZERO GENMASK(47, 24)   // always zero
#define OWNER_EPOCH GENMASK(23, 0)

#define SLOT_VALID BIT(63)               // an empty slot is the word 0
#define SLOT_HOME GENMASK(62, 55)        // node whose table has the descriptor
#define SLOT_INDEX GENMASK(54, 43)       // place in that table
#define SLOT_PREFERRED GENMASK(42, 35)   // node that would be best, or NODE_ANY
#define SLOT_SIZE GENMASK(34, 31)        // size class: log2 of resident pages, at most 15
#define SLOT_STAMP GENMASK(30, 24)       // age within a window, modulo 128
#define SLOT_EPOCH GENMASK(23, 0)        // the owner word's epoch while QUEUED

_Static_assert((OWNER_STATE ^ OWNER_NODE ^ OWNER_ZERO ^ OWNER_EPOCH) == ~0ull &&
               (OWNER_STATE | OWNER_NODE | OWNER_ZERO | OWNER_EPOCH) == ~0ull,
               "the owner word's fields are disjoint and cover it");
// Disjoint masks that cover the word add up to all ones, and no others do.
_Static_assert(SLOT_VALID + SLOT_HOME + SLOT_INDEX + SLOT_PREFERRED + SLOT_SIZE + SLOT_STAMP +
               SLOT_EPOCH == ~0ull &&
               (SLOT_VALID | SLOT_HOME | SLOT_INDEX | SLOT_PREFERRED | SLOT_SIZE | SLOT_STAMP |
                SLOT_EPOCH) == ~0ull,
               "the slot word's fields are disjoint and cover it");
_Static_assert(FIELD_MAX(SLOT_INDEX) == DESCS_MAX - 1, "every place has an index");
_Static_assert(SLOT_EPOCH == OWNER_EPOCH, "the owner word is a function of the slot");

static inline u64 owner_word(enum owner_state state, u8 node, u32 epoch) {
    return FIELD_PREP(OWNER_STATE, state) | FIELD_PREP(OWNER_NODE, node) |
           FIELD_PREP(OWNER_EPOCH, epoch);
}
static inline enum owner_state owner_state(u64 w) {
    return (enum owner_state)FIELD_GET(OWNER_STATE, w);
}
static inline u8 owner_node(u64 w) { return (u8)FIELD_GET(OWNER_NODE, w); }
static inline u32 owner_epoch(u64 w) { return (u32)FIELD_GET(OWNER_EPOCH, w); }
// The word that follows `w`: another state and node, the epoch one on.
static inline u64 owner_next(u64 w, enum owner_state state, u8 node) {
    return owner_word(state, node, owner_epoch(w) + 1);
}

static inline u64 slot_word(u8 home, u32 index, u32 epoch, u8 preferred, u32 size_class) {
    return SLOT_VALID | FIELD_PREP(SLOT_HOME, home) | FIELD_PREP(SLOT_INDEX, index) |
           FIELD_PREP(SLOT_PREFERRED, preferred) | FIELD_PREP(SLOT_SIZE, size_class) |
           FIELD_PREP(SLOT_EPOCH, epoch);
}
static inline u8 slot_home(u64 s) { return (u8)FIELD_GET(SLOT_HOME, s); }
static inline u32 slot_index(u64 s) { return (u32)FIELD_GET(SLOT_INDEX, s); }
static inline u8 slot_preferred(u64 s) { return (u8)FIELD_GET(SLOT_PREFERRED, s); }
static inline u32 slot_epoch(u64 s) { return (u32)FIELD_GET(SLOT_EPOCH, s); }
// What the owner word is while this entry is good: a function of the slot alone.
static inline u64 slot_owner_word(u64 s) {
    return owner_word(OWNER_QUEUED, slot_home(s), slot_epoch(s));
}
