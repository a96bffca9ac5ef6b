// Who is a node of this cluster: the lines of cluster.conf, and nodes without a line that a
// member gave an id to. Pure: the table, who is up and a request in; decisions out. Callers:
// kernel/cluster_roster.c and kernel/ask.c under net_lock, tests. Rules: docs/reference/join.md.
#pragma once

#include "base/owner.h"
#include "base/status.h"
#include "base/types.h"

#define ROSTER_SETTLE_NS (10000ull * 1000 * 1000)   // a silence this long of a listed node

struct roster_row {
    bool listed;                     // has a line in cluster.conf
    bool assigned;                   // has none: `by` gave it its id
    u8 by;
    u8 mac[6];
    u32 ipv4;                        // host byte order
};

// True: that id is somebody's.
static inline bool roster_taken(const struct roster_row *r) { return r->listed || r->assigned; }

// The row of that MAC, or NODES_MAX.
u32 roster_find(const struct roster_row rows[NODES_MAX], const u8 mac[6]);
// The node that gives ids: the lowest listed id of `up` (bit n: node n, oneself included).
// NODES_MAX: none is up.
u32 roster_assigner(const struct roster_row rows[NODES_MAX], u64 up);
// Gives `mac` its id, the old one if the table has it. E_EXIST: it is listed; E_ADDRINUSE:
// the address is another's; E_NOSPC: no id is free.
status_t roster_assign(struct roster_row rows[NODES_MAX], u8 by, const u8 mac[6], u32 ipv4,
                       u8 *id);
// What another member says: row `id`. S_OK: learnt, the table changed; E_ALREADY: known;
// E_EXIST: the own row stays (a lower id gave it, or it is listed).
status_t roster_learn(struct roster_row rows[NODES_MAX], u8 id, const struct roster_row *said);
