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

// What follows from `seen`.
struct where_found where_decide(const struct where_seen *seen);
// Whether what is told of stay `told` may replace what is known of stay `known`.
bool where_newer(u64 told, u64 known);
