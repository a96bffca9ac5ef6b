// The name of an object of one node: a file, a directory, an open file description, the
// end of a pipe. It holds no pointer, so it means the same on every node.
#pragma once

#include "base/types.h"

struct object_id {
    u32 node;
    u32 index;       // place in that node's table; the fid of its 9P messages
    u64 generation;  // of that place; 0: names nothing
};

static inline bool object_id_equal(struct object_id a, struct object_id b) {
    return a.node == b.node && a.index == b.index && a.generation == b.generation;
}

// The roots of a node's /nodes/N/dev and /nodes/N/proc have the same names on every node;
// nobody counts their references.
#define OBJECT_GENERATION_ROOT 1ull
#define OBJECT_ROOT_DEV 0u
#define OBJECT_ROOT_PROC 1u
#define OBJECT_ROOT_MOUNTS 2u
#define OBJECT_ROOT_PTS 3u
#define OBJECT_ROOTS 4u
static inline struct object_id object_root_id(u32 node, u32 root) {
    return (struct object_id){node, root, OBJECT_GENERATION_ROOT};
}

// The directory of the mounts that a node serves; what all nodes show together is /mnt.
static inline struct object_id object_mounts_id(u32 node) {
    return object_root_id(node, OBJECT_ROOT_MOUNTS);
}
static inline bool object_is_mounts(struct object_id o) {
    return o.generation == OBJECT_GENERATION_ROOT && o.index == OBJECT_ROOT_MOUNTS;
}

// An object of a mount, which a user-space server serves behind its node's kernel: these
// bits stand above its place in the table.
#define OBJECT_USER 0x80000000u
#define OBJECT_USER_ROOT 0x40000000u     // the root of its mount
#define OBJECT_USER_MOUNT 0x3f000000u    // number of the mount on its node
#define OBJECT_USER_MOUNT_SHIFT 24
static inline bool object_is_user(struct object_id o) { return (o.index & OBJECT_USER) != 0; }
static inline u32 object_user_place(struct object_id o) {
    return o.index & ((1u << OBJECT_USER_MOUNT_SHIFT) - 1);
}
static inline bool object_is_user_root(struct object_id o) {
    const u32 both = OBJECT_USER | OBJECT_USER_ROOT;
    return (o.index & both) == both;
}
// Do both belong to one server's tree?
static inline bool object_same_server(struct object_id a, struct object_id b) {
    const u32 mask = OBJECT_USER | OBJECT_USER_MOUNT;
    if (!object_is_user(a) && !object_is_user(b)) return a.node == b.node;
    return a.node == b.node && (a.index & mask) == (b.index & mask);
}
