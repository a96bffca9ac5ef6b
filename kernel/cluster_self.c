// This node's own shared words where the card's atomics are not coherent with the CPU's: each
// local compare-and-swap and add that a peer's could meet goes through the card, as the peer's
// does, and completes later. The boot option words=card selects this. A hardware provider would
// take these chains on a queue pair to itself; soft RoCE's card is netpoll, so there the ring below
// is that pair, and the provider's own table, which its responder uses, is what carries them out.
// Lock: net_lock, but for cluster_capacity_own and _add_own. Spec: docs/ARCHITECTURE.md, "Joining".
//
// Words that no peer's atomic can change at the time stay with the CPU: the heartbeat, which
// peers only READ, and owner words outside QUEUED and ADOPTING (a compare-and-swap that fails
// writes nothing).
#include "kernel/cluster_priv.h"
#include "kernel/options.h"
#include "kernel/panic.h"
#include "kernel/trap.h"
#include "kernel/x86/words.h"

#define SELF_CHAINS 512u
_Static_assert(SELF_CHAINS > NODE_PUTS_MAX + NODE_INS_MAX + NODE_OUTS_MAX + 1,
               "more than node.c ever has under way");

static struct dqueue card;           // the node's, with the provider's table
static struct ring waiting;
static struct chain *chains[SELF_CHAINS];
static u64 unadded;                  // atomic: what our capacity word is still to be added
static u64 carried_out;

static const struct word_ops *provider(void) {
    return cluster.rdma ? rdma_word_ops(cluster.rdma) : &cpu_word_ops;
}

static u64 self_read(void *ctx, const shared64_t *word) {
    (void)ctx;
    return word_read(provider(), word);
}
static u64 no_cas(void *ctx, shared64_t *word, u64 expected, u64 desired) {
    (void)ctx; (void)word; (void)expected; (void)desired;
    panic("cluster: a CPU's compare-and-swap on a word of the card's");
}
static u64 no_add(void *ctx, shared64_t *word, u64 addend) {
    (void)ctx; (void)word; (void)addend;
    panic("cluster: a CPU's add to a word of the card's");
}
static const struct word_ops through_card = {.read = self_read, .cas = no_cas, .add = no_add};

// The table for all of the kernel but the provider itself. After cluster.rdma is known.
const struct word_ops *cluster_word_ops(void) {
    return cluster.rdma && options.words_card ? &through_card : provider();
}

// Boot, after cluster_node_init.
void self_init(void) {
    ring_init(&waiting, SELF_CHAINS);
    card = cluster.node->dq;
    card.words = provider();
    cluster_status_add_u64("self_chains", &carried_out);
}

// Takes a chain to this node; it completes in a later round of the poll.
void self_post(struct chain *c) {
    ASSERT(!ring_full(&waiting));
    chains[ring_tail_index(&waiting)] = c;
    ring_produce(&waiting);
    edge_request(EDGE_NETPOLL);
}

// What the card does; what it completes may post again, for the next round.
void self_poll(void) {
    const u64 addend = __atomic_load_n(&unadded, __ATOMIC_RELAXED);
    if (addend != 0) {
        (void)word_add(provider(), &cluster.words->capacity, addend);
        __atomic_fetch_sub(&unadded, addend, __ATOMIC_RELAXED);
        carried_out++;
    }
    for (u32 left = ring_count(&waiting); left != 0; left--) {
        struct chain *c = chains[ring_peek_index(&waiting, 0)];
        ring_consume(&waiting);
        dqueue_run_local(&card, c);
        carried_out++;
        cluster_node_posted(cluster.node, c);
    }
}

bool self_waits(void) { return !ring_empty(&waiting); }

// Our capacity word with all that was added here. Any context.
u64 cluster_capacity_own(void) {
    return word_read(cluster_word_ops(), &cluster.words->capacity) +
           __atomic_load_n(&unadded, __ATOMIC_RELAXED);
}

// Adds to it. Any context; through the card it takes until the next poll.
void cluster_capacity_add_own(u64 addend) {
    const struct word_ops *words = cluster_word_ops();
    if (words->coherent) {
        (void)word_add(words, &cluster.words->capacity, addend);
        return;
    }
    __atomic_fetch_add(&unadded, addend, __ATOMIC_RELAXED);
    edge_request(EDGE_NETPOLL);
}
