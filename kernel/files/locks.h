// Advisory locks on the files that this node serves: flock, POSIX record locks (fcntl) and
// those of open file descriptions. See locks.c.
#pragma once

#include "kernel/files/object.h"

// Private flags of P9_TLOCK beside 9P2000.L's; without one it is a POSIX lock of the caller.
#define P9_LOCK_WAIT 1u              // 9P2000.L: P9_LOCK_FLAGS_BLOCK
#define P9_LOCK_FLOCK 0x100u
#define P9_LOCK_OFD 0x200u
enum p9_lock_type { P9_LOCK_READ, P9_LOCK_WRITE, P9_LOCK_UNLOCK };   // as fcntl's and 9P's

// What a lock is on, and through which open description; all three outlive the call.
struct lock_place {
    u64 space, number;               // the file: (0, its object) or (a mount, its qid)
    u64 description;
    u32 mode;                        // O_ACCMODE of the description
};

static inline bool lock_is_call(const struct p9_call *c) {
    return c->type == P9_TLOCK || c->type == P9_TGETLOCK;
}
// All but the last two: files_lock held.
status_t locks_call(const struct lock_place *at, struct p9_call *c);
void locks_closed(const struct lock_place *at, u32 pid);     // pid closed a handle on the file
void locks_description_gone(u64 description);
void locks_wait_ended(u32 pid);      // a wait of another node's process ended; takes the lock
void locks_peer_down(u32 node);      // takes it too
