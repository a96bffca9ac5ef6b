// Where a process is. Owner: kernel/whereabouts.c, which collects what is seen under
// proc_lock. A process is in this order, for each move of it: here; frozen here, its word
// QUEUED, ADOPTING, then RUNNING of the taker (who has a place that is being filled, and
// does not know yet that it won); running there, this node's hint set. Each window of that
// has a case in tests/unit/test_where.c.
#include "proto/cluster/where.h"

// The node that a frozen image goes to, as far as its word says.
static u8 image_node(const struct where_seen *seen) {
    const enum owner_state state = owner_state(seen->word);
    return state == OWNER_RUNNING || state == OWNER_ADOPTING ? owner_node(seen->word)
                                                             : seen->self;
}

// What follows from `seen`. An image stays TRANSIT until this node has done what a process
// that left needs (its children named, the hint set), though its word may say more: who
// asks there by then would be answered "not here yet", and who waits for it here is woken.
struct where_found where_decide(const struct where_seen *seen) {
    if (seen->lives) return (struct where_found){WHERE_HERE, seen->self};
    if (seen->arriving) return (struct where_found){WHERE_TRANSIT, seen->self};
    if (seen->frozen) return (struct where_found){WHERE_TRANSIT, image_node(seen)};
    // The hint of a node that a process left names a later one, and each takes only newer
    // ones; so one that names this very node is of a process that ended here.
    if (seen->hint == seen->self) return (struct where_found){WHERE_GONE, WHERE_NONE};
    if (seen->hint != WHERE_NONE) return (struct where_found){WHERE_THERE, seen->hint};
    if (seen->birth == seen->self || seen->birth == WHERE_NONE)
        return (struct where_found){WHERE_GONE, WHERE_NONE};
    return (struct where_found){WHERE_GUESS, seen->birth};
}

// Whether what is told of stay `told` may replace what is known of stay `known`.
bool where_newer(u64 told, u64 known) { return told >= known; }
