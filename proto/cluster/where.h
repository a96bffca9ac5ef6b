// Where a process is, as far as one node can say from what it has of it: the decision behind
// /proc/PID/node, messages that are passed on, and requests to move. Pure.
#pragma once

#include "base/owner.h"
#include "base/types.h"

#define WHERE_NONE 0xff              // no node

// A stay is one process's time on one node. Its number grows with each adoption, and a pid
// that is used again begins above all that its predecessors had: hints are told on several
// queue pairs, and the newest is not always the last to come.
#define STAY_ROUND_SHIFT 32

// What this node has of a pid.
struct where_seen {
    u8 self, birth;                  // birth: from the pid; WHERE_NONE where it names none
    bool lives;                      // runs, waits, or ended and not waited for
    bool arriving;                   // a place here is being filled; it has not run here
    bool frozen;                     // an image here may be on its way: its owner word
    u64 word;
    u8 hint;                         // told or known: it went there; WHERE_NONE: nothing
};

enum where_kind {
    WHERE_HERE,
    WHERE_TRANSIT,                   // here, and not to be touched now: ask again soon
    WHERE_THERE,                     // ask `node`, which knows or knows better
    WHERE_GUESS,                     // the same, but only the pid says so
    WHERE_GONE,                      // it was here last, or was born here: it has ended
};
struct where_found {
    enum where_kind kind;
    u8 node;                         // where it is, or is about to be; WHERE_NONE: GONE
};

// --- a child whose node is gone ---
// A node that dies may have given the process on before. So the parent's node asks: first who
// should know, then all members, and only when each of them says "not here" of a time when it
// has fenced the dead node itself is the child dead.
enum where_reply {
    WHERE_NOT_HERE,
    WHERE_LATER,                     // it may still come, or its end is on its way: ask again
    WHERE_IS,                        // here, its `stay`th
    WHERE_WENT,                      // to ->node, its `stay`th, as far as is known here
};
struct where_told { enum where_reply reply; u8 node; u64 stay; };

// What a member is asked about a process.
struct where_asked {
    bool gone_up;                    // the dead node is a member here, in the life that ended
    bool end_told;                   // the process ended here, and its parent is being told
    u64 stay;                        // the last that the asker knows
    u64 own_stay;                    // that of the process here, or of the hint
};

enum where_verdict { WHERE_OPEN, WHERE_FOUND, WHERE_LOST };
struct where_search {
    bool on;
    bool all;                        // all are asked, not only who should know
    u32 round, tries;                // of asking; a new one at each death
    u64 gone;                        // bit per dead node that members must have fenced
    u64 left;                        // bit per member that has not said "not here"
    u64 stay;                        // the last that is known; who says a later one is believed
    u64 next_ns;
};
#define WHERE_ASK_NS 100000000ull
#define WHERE_TRIES_MAX 300u         // half a minute: then who still has it counts as cut off

// What this member answers. seen: what it has of the process.
struct where_told where_answer(const struct where_seen *seen, const struct where_asked *asked);
// `node` died. hint: where the process should be, or WHERE_NONE; members: bit per other
// node that is up.
enum where_verdict where_search_begin(struct where_search *s, u8 node, u8 hint, u64 members);
// The dead node to ask about now.
u8 where_search_gone(const struct where_search *s);
// The members to ask now, bit per node; 0: none is due, or it is over (->on).
u64 where_search_due(struct where_search *s, u64 members, u64 now_ns);
// `from` answered what it was asked in `round`.
enum where_verdict where_search_told(struct where_search *s, u32 round, u8 from,
                                     const struct where_told *told, u64 members);

// What follows from `seen`.
struct where_found where_decide(const struct where_seen *seen);
// Whether what is told of stay `told` may replace what is known of stay `known`.
bool where_newer(u64 told, u64 known);
