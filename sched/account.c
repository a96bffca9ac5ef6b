// Counts what a process uses of which node and keeps the measured prices (rules:
// docs/reference/placement.md). Called on every file call and context switch of a process by
// kernel/placement.c, so an event is a short search and a few adds. No lock of its own: an
// account belongs to whoever the descriptor belongs to, the prices to net_lock.
#include "sched/account.h"

#define AVERAGE_SHIFT 3              // a sample counts for an eighth
#define OUTLIER 8u                   // a sample counts as at most so many times the average
#define PRICE_MAX_NS (1ull << 40)

// Starts the counts anew: a new process, or another program in it.
void account_reset(struct account *a, u64 now_ns) {
    *a = (struct account){.since_ns = now_ns};
}

static u64 weight(const struct account_node *n) { return n->messages + n->round_trips; }

// As account_line, wherever the line is. With all taken the least used one makes room.
struct account_node *account_line_of(struct account *a, u8 node) {
    u32 least = 0;
    for (u32 i = 0; i < a->count; i++) {
        if (a->node[i].node == node) return &a->node[i];
        if (weight(&a->node[i]) < weight(&a->node[least])) least = i;
    }
    if (a->count < ACCOUNT_NODES) least = a->count++;
    else a->forgotten++;
    a->node[least] = (struct account_node){.node = node};
    return &a->node[least];
}

// It read `bytes` of a drive of `node` by round_trips one-sided operations, one after the
// other. True: tell the rule now.
bool account_one_sided(struct account *a, u8 node, u32 round_trips, u64 bytes) {
    struct account_node *n = account_line(a, node);
    n->round_trips += round_trips;
    n->new_trips += round_trips;
    n->bytes += bytes;
    n->new_bytes += bytes;
    n->drive_blocks += (bytes + ACCOUNT_BLOCK_BYTES - 1) / ACCOUNT_BLOCK_BYTES;
    return ++a->new_uses >= ACCOUNT_BATCH;
}

// A page that it had left on `node` came here. Part of the price of the move, so no use.
void account_page(struct account *a, u8 node) { account_line(a, node)->pages++; }

void account_wait(struct account *a, u8 node, u64 wait_ns) {
    account_line(a, node)->wait_ns += wait_ns;
}

// CPU time on all nodes since exec.
u64 account_cpu_all(const struct account *a) {
    u64 sum = 0;
    for (u32 i = 0; i < a->count; i++) sum += a->node[i].cpu_ns;
    return sum;
}

// What was used since the last call of this, one entry a node, in the order of first use.
u32 account_take(struct account *a, struct place_use use[ACCOUNT_NODES]) {
    u32 count = 0;
    for (u32 i = 0; i < a->count; i++) {
        struct account_node *n = &a->node[i];
        if (n->new_messages == 0 && n->new_trips == 0) continue;
        use[count++] = (struct place_use){.node = n->node, .round_trips = n->new_trips,
                                          .messages = n->new_messages, .bytes = n->new_bytes};
        n->new_messages = n->new_trips = 0;
        n->new_bytes = 0;
    }
    a->new_uses = 0;
    return count;
}

static u32 cut32(u64 v) { return v > UINT32_MAX ? UINT32_MAX : (u32)v; }

// For the profile of an executable: the price, from elsewhere, of all it used of each node.
u32 account_costs(const struct account *a, const struct place_prices *prices,
                  struct place_cost cost[ACCOUNT_NODES]) {
    u32 count = 0;
    for (u32 i = 0; i < a->count; i++) {
        const struct account_node *n = &a->node[i];
        const struct place_use use = {.node = n->node, .round_trips = cut32(n->round_trips),
                                      .messages = cut32(n->messages), .bytes = n->bytes};
        if (weight(n) == 0) continue;
        cost[count++] = (struct place_cost){n->node, place_price_use(prices, &use)};
    }
    return count;
}

// --- prices --------------------------------------------------------------------------------

// One more measured value. One that is far off (a host that was not scheduled, a queue)
// counts as OUTLIER times the average, so that a change of conditions still comes through.
void prices_sample(struct prices *p, enum price which, u64 ns) {
    struct price_measured *m = &p->of[which];
    if (ns > PRICE_MAX_NS) ns = PRICE_MAX_NS;
    if (ns == 0) ns = 1;
    if (m->samples++ == 0) {
        m->ns = ns;
        return;
    }
    if (ns > m->ns * OUTLIER) ns = m->ns * OUTLIER;
    m->ns = m->ns - (m->ns >> AVERAGE_SHIFT) + (ns >> AVERAGE_SHIFT);
    if (m->ns == 0) m->ns = 1;
}

// The measured average; where nothing was measured yet, a guess from what was.
u64 prices_now(const struct prices *p, enum price which) {
    if (p->of[which].samples) return p->of[which].ns;
    if (which == PRICE_ROUND_TRIP) return PRICE_ROUND_TRIP_DEFAULT_NS;
    const u64 trip = prices_now(p, PRICE_ROUND_TRIP);
    switch (which) {
    case PRICE_MESSAGE: return 2 * trip;         // a message, and one back
    case PRICE_KIB: return trip / 8;
    case PRICE_PAGE: return trip + 4 * prices_now(p, PRICE_KIB);
    case PRICE_MOVE: return 16 * trip;
    case PRICE_ROUND_TRIP: case PRICES: break;
    }
    return trip;
}

struct place_prices prices_for_place(const struct prices *p) {
    return (struct place_prices){
        .round_trip_ns = prices_now(p, PRICE_ROUND_TRIP),
        .message_ns = prices_now(p, PRICE_MESSAGE), .kib_ns = prices_now(p, PRICE_KIB),
        .move_fixed_ns = prices_now(p, PRICE_MOVE), .page_ns = prices_now(p, PRICE_PAGE),
        .exec_move_ns = prices_now(p, PRICE_MOVE)};
}

const char *price_name(enum price which) {
    static const char *const names[PRICES] = {
        [PRICE_ROUND_TRIP] = "round trip", [PRICE_MESSAGE] = "message", [PRICE_KIB] = "KiB",
        [PRICE_PAGE] = "page", [PRICE_MOVE] = "move without pages"};
    return names[which];
}
