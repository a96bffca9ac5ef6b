// The table of nodes: who gives ids, which id, and whose word counts where two members gave
// the same one before they knew each other. See roster.h for callers and locks.
#include "proto/cluster/roster.h"

#include "base/string.h"

u32 roster_find(const struct roster_row rows[NODES_MAX], const u8 mac[6]) {
    for (u32 i = 0; i < NODES_MAX; i++)
        if (roster_taken(&rows[i]) && memcmp(rows[i].mac, mac, 6) == 0) return i;
    return NODES_MAX;
}

u32 roster_assigner(const struct roster_row rows[NODES_MAX], u64 up) {
    for (u32 i = 0; i < NODES_MAX; i++)
        if (rows[i].listed && (up & BIT(i))) return i;
    return NODES_MAX;
}

static bool address_free(const struct roster_row rows[NODES_MAX], u32 ipv4, u32 but) {
    for (u32 i = 0; i < NODES_MAX; i++)
        if (i != but && roster_taken(&rows[i]) && rows[i].ipv4 == ipv4) return false;
    return true;
}

// The next free id is the lowest that nobody has. An id once given stays its MAC's for as
// long as a member remembers, so a node that returns is the same node to everybody.
status_t roster_assign(struct roster_row rows[NODES_MAX], u8 by, const u8 mac[6], u32 ipv4,
                       u8 *id) {
    u32 at = roster_find(rows, mac);
    if (at < NODES_MAX && rows[at].listed) return E_EXIST;
    if (!address_free(rows, ipv4, at)) return E_ADDRINUSE;
    for (u32 i = 0; i < NODES_MAX && at == NODES_MAX; i++)
        if (!roster_taken(&rows[i])) at = i;
    if (at == NODES_MAX) return E_NOSPC;
    if (!rows[at].assigned) rows[at] = (struct roster_row){.assigned = true, .by = by};
    memcpy(rows[at].mac, mac, 6);
    rows[at].ipv4 = ipv4;
    *id = (u8)at;
    return S_OK;
}

status_t roster_learn(struct roster_row rows[NODES_MAX], u8 id, const struct roster_row *said) {
    struct roster_row *own = &rows[id];
    if (own->listed) return E_EXIST;
    const u32 other = roster_find(rows, said->mac);
    if (other != NODES_MAX && other != id) return E_EXIST;
    const bool same = own->assigned && memcmp(own->mac, said->mac, 6) == 0;
    if (own->assigned && !same && own->by <= said->by) return E_EXIST;
    if (same && own->ipv4 == said->ipv4) return E_ALREADY;
    if (!address_free(rows, said->ipv4, id)) return E_EXIST;
    *own = *said;
    own->listed = false;
    own->assigned = true;
    return S_OK;
}
