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
#define OBJECT_ROOTS 2u
static inline struct object_id object_root_id(u32 node, u32 root) {
    return (struct object_id){node, root, OBJECT_GENERATION_ROOT};
}
