// Wakes of futexes in memory that nodes share: who waits for a word may be on any node, so all are
// told by a message. Called by kernel/futex.c and netpoll. Lock: net_lock.
#include "kernel/cluster.h"
#include "kernel/futex.h"
#include "kernel/net.h"
#include "kernel/netpoll.h"
#include "kernel/options.h"
#include "kernel/share_map.h"
#include "kernel/x86/cpu.h"

#define TELLS_MAX 32u                // words at a time that are still to be told of
#define TELL_RETRY_NS 2000000ull

static u64 wakes_out, wakes_in;      // told to other nodes; waiters woken for them
static struct tell { struct msg_futex futex; u64 nodes; } tells[TELLS_MAX];
static bool tells_wait;              // for room; by the last look

// Sends what each node has room for: a program that wakes faster than others listen has its wakes
// put together. net_lock held.
static void tells_send(void) {
    u64 left = 0;
    for (u32 i = 0; i < TELLS_MAX; i++) {
        struct tell *t = &tells[i];
        const struct cluster_msg m = {.type = MSG_FUTEX, .futex = t->futex};
        for (u32 n = 0; t->nodes && n < NODES_MAX; n++) {
            if (!(t->nodes & BIT(n)) || (cluster_is_up(n) && !cluster_has_room(n))) continue;
            (void)cluster_send(n, &m);           // one that has died needs none
            t->nodes &= ~BIT(n);
        }
        left |= t->nodes;
    }
    tells_wait = left != 0;
}

// All other nodes are to be told. Where there is no place for it they look by themselves.
// net_lock held.
static void tell_add(const u64 key[2], u32 count, u32 bits) {
    struct tell *to = NULL;
    for (u32 i = 0; i < TELLS_MAX; i++) {
        struct tell *t = &tells[i];
        if (t->nodes == 0) to = t;
        else if (t->futex.key[0] == key[0] && t->futex.key[1] == key[1]) {
            count = t->futex.count > ~0u - count ? ~0u : t->futex.count + count;
            bits |= t->futex.bits;
            to = t;
            break;
        }
    }
    if (!to) return;
    *to = (struct tell){{{key[0], key[1]}, count, bits}, 0};
    for (u32 n = 0; n < NODES_MAX; n++)
        if (n != node_id && cluster_is_up(n)) to->nodes |= BIT(n);
    wakes_out++;
}

static void poll(void *ctx, u64 now_ns) {
    (void)ctx;
    (void)now_ns;
    if (tells_wait) tells_send();
}

static u64 poll_deadline_ns(void *ctx) {
    (void)ctx;
    return tells_wait ? time_now_ns() + TELL_RETRY_NS : ~0ull;
}

// Wakes up to `count` waiters of a word on each other node, where the file of its page is used by
// others: a word that this node alone has costs nothing.
//   key   of the word: node of the file in bits 48 to 53 of the first (kernel/futex.c)
// No lock held.
void futex_tell(const u64 key[2], u32 count, u32 bits) {
    if ((key[0] >> 48 & (NODES_MAX - 1)) == node_id && !share_map_used()) return;
    step_reached(STEP_WAKING, options.hold_at, NULL);
    netpoll_lock();
    tell_add(key, count, bits);
    tells_send();
    netpoll_unlock();
}

static void told(const struct cluster_msg *m) {
    step_reached(STEP_WOKEN, options.hold_at, NULL);
    wakes_in += futex_wake_told(m->futex.key, m->futex.count, m->futex.bits);
}

void futex_init(void) {
    cluster_on_futex(told);
    net_add_poller(poll, poll_deadline_ns, NULL);
    cluster_status_add_u64("futex_wakes_out", &wakes_out);
    cluster_status_add_u64("futex_wakes_in", &wakes_in);
}
