// The one loop that pulls: rx_batch -> soft_rx -> timers -> who waits for completions ->
// soft_tx. Frames that only ask for answers are answered before all these run. An interrupt
// handler only masks its card and sets EDGE_NETPOLL; this runs at the edge, under net_lock,
// on whichever CPU got there, and nothing below it ever calls upward or blocks.
// A CPU that finds the lock taken leaves `wanted` set and goes on; who holds the lock
// looks at it after giving the lock back, so no frame waits for the next interrupt.
#include "kernel/netpoll.h"

#include "base/bits.h"
#include "drivers/rdma/soft.h"
#include "drivers/rdma/testsvc.h"
#include "kernel/card_port.h"
#include "kernel/net.h"
#include "kernel/net_priv.h"
#include "kernel/perf.h"
#include "kernel/time.h"
#include "kernel/x86/cpu.h"

#define RX_BUDGET 64u                // frames of one card in one round
#define ROUNDS_MAX 16u               // then user programs get their turn
#define STATS_PERIOD_NS (1000ull * 1000 * 1000)

struct net_poller {
    void (*poll)(void *ctx, u64 now_ns);
    u64 (*deadline_ns)(void *ctx);
    void *ctx;
};
static struct net_poller pollers[NET_POLLERS_MAX];   // net_lock
static u32 poller_count;
static u32 wanted;                   // atomic: somebody found the lock taken
static struct timer timer;           // net_lock
void (*net_claim_rx)(struct net_card *card, const u8 *frame, u32 len_bytes);   // net_lock
static u64 stats_at_ns;              // net_lock
static u64 tick_at_ns;               // net_lock: no card has a deadline before it

static u32 card_index(const struct net_card *card) { return (u32)(card - net_cards); }

void netpoll_irq(void *arg) {
    struct net_card *card = arg;
    card->irq_masked = true;
    PERF_MARK(PERF_IRQ);
    perf_mark_irq(card_index(card));
    __atomic_or_fetch(&cpu_this()->edge_work, EDGE_NETPOLL, __ATOMIC_RELAXED);
}

// Registers one more machine that works on completions. Lock: net_lock or boot.
// More than NET_POLLERS_MAX is our own bug.
void net_add_poller(void (*poll)(void *ctx, u64 now_ns), u64 (*deadline_ns)(void *ctx),
                    void *ctx) {
    ASSERT(poller_count < NET_POLLERS_MAX);
    pollers[poller_count++] = (struct net_poller){poll, deadline_ns, ctx};
}

struct rx_ctx { struct net_card *card; u64 now_ns; };

void net_rx_frame(void *ctx, const u8 *frame, u32 len_bytes) {
    struct rx_ctx *rx = ctx;
    if (net_raw_frame(rx->card, frame, len_bytes)) return;
    if (rx->card->rdma != NULL) soft_rx(rx->card->rdma, frame, len_bytes, rx->now_ns);
    else if (net_claim_rx != NULL) net_claim_rx(rx->card, frame, len_bytes);
    else rx->card->frames_ignored++;
}

// The same where programs read or write the card's raw frames.
void net_rx_tapped(void *ctx, const u8 *frame, u32 len_bytes) {
    struct rx_ctx *rx = ctx;
    const bool taken = card_port_receive(rx->card, frame, len_bytes);
    if (!taken || rx->card->rdma != NULL) net_rx_frame(ctx, frame, len_bytes);
}

// Sends what is due on one card. True: the ring filled up, more waits.
static bool card_tx(struct net_card *card, u64 now_ns) {
    bool more = card->rdma != NULL && soft_tx(card->rdma, now_ns);
    card->dev->ops->tx_kick(card->dev);
    if (card->dev->counters.tx_frames != card->tx_frames_seen) {
        card->tx_frames_seen = card->dev->counters.tx_frames;
        PERF_MARK(PERF_DOORBELL);
        perf_mark_doorbell(card_index(card));
        card->dev->ops->tx_reap(card->dev);
    }
    return more;
}

// What came completed nothing here, it only asks for answers: they leave at once. Else
// they leave with what follows from the completions, by one doorbell.
static void answers_tx(u64 now_ns) {
    for (u32 i = 0; i < net_card_count; i++) {
        struct net_card *card = &net_cards[i];
        if (card->rdma == NULL) continue;
        const u64 completions = soft_completions(card->rdma);
        if (completions == card->completions_seen) card_tx(card, now_ns);
        card->completions_seen = completions;
    }
}

// One round over all cards. True: at least one has more to do now.
static bool poll_round(u64 now_ns) {
    bool more = false;
    for (u32 i = 0; i < net_card_count; i++) {
        struct rx_ctx rx = {&net_cards[i], now_ns};
        struct netdev *dev = net_cards[i].dev;
        if (dev->ops->rx_batch(dev, RX_BUDGET, rx.card->rx, &rx) == RX_BUDGET) more = true;
    }
    const bool ticks = now_ns >= tick_at_ns;
    answers_tx(now_ns);
    for (u32 i = 0; i < net_card_count; i++) {
        struct net_card *card = &net_cards[i];
        if (card->rdma != NULL && ticks && now_ns >= soft_next_deadline(card->rdma))
            soft_tick(card->rdma, now_ns);
        if (card->testsvc != NULL) testsvc_poll(card->testsvc, now_ns);
    }
    for (u32 i = 0; i < poller_count; i++) pollers[i].poll(pollers[i].ctx, now_ns);
    for (u32 i = 0; i < net_card_count; i++)
        if (card_tx(&net_cards[i], now_ns)) more = true;
    if (card_ports_busy) more |= card_ports_round();
    return more;
}

// Unmasks every card. True: one of them has frames already and stays masked. Where
// instructions are counted, a card that never was masked is left to interrupt, so that each
// frame that comes while the CPU is here is counted from its interrupt on.
static bool irqs_enable(void) {
    bool more = false;
    for (u32 i = 0; i < net_card_count; i++) {
        struct net_card *card = &net_cards[i];
        if (perf_is_on() && !card->irq_masked) continue;
        card->irq_masked = false;    // before: another CPU may take the interrupt at once
        if (!card->dev->ops->irq_enable(card->dev)) continue;
        card->irq_masked = more = true;
    }
    return more;
}

static void timer_fired(void *unused) {
    (void)unused;
    __atomic_or_fetch(&cpu_this()->edge_work, EDGE_NETPOLL, __ATOMIC_RELAXED);
}

// Sets the timer to the first deadline. What is posted later is due later than now, and
// comes by here before it is. One that fires too early only polls once more,
// so a deadline that moved back costs no write to the hardware.
static void deadline_update(void) {
    u64 next = ~0ull;
    for (u32 i = 0; i < net_card_count; i++)
        if (net_cards[i].rdma != NULL) next = MIN(next, soft_next_deadline(net_cards[i].rdma));
    tick_at_ns = next;
    for (u32 i = 0; i < net_card_count; i++)
        if (net_cards[i].testsvc != NULL)
            next = MIN(next, testsvc_next_ns(net_cards[i].testsvc));
    for (u32 i = 0; i < poller_count; i++)
        if (pollers[i].deadline_ns != NULL)
            next = MIN(next, pollers[i].deadline_ns(pollers[i].ctx));
    if (next == ~0ull) return;
    bool armed = __atomic_load_n(&timer.cpu_plus_one, __ATOMIC_ACQUIRE) != 0;
    if (!armed || next < timer.deadline_ns) timer_arm(&timer, next, timer_fired, NULL);
}

static void stats_update(u64 now_ns) {
    if (now_ns < stats_at_ns) return;
    stats_at_ns = now_ns + STATS_PERIOD_NS;
    for (u32 i = 0; i < net_card_count; i++)
        if (net_cards[i].dev->ops->stats != NULL) net_cards[i].dev->ops->stats(net_cards[i].dev);
}

// With net_lock held. True: the budget is used up.
static bool poll_all(void) {
    for (u32 round = 0; round < ROUNDS_MAX; round++) {
        u64 now_ns = time_now_ns();
        if (poll_round(now_ns)) continue;
        if (irqs_enable()) continue;
        perf_mark_idle();
        stats_update(now_ns);
        deadline_update();
        return false;
    }
    deadline_update();
    return true;
}

void netpoll(void) {
    perf_mark_poll();
    for (u32 round = 0; round < ROUNDS_MAX; round++) {
        __atomic_store_n(&wanted, 1, __ATOMIC_SEQ_CST);
        if (!spin_trylock(&net_lock)) return;
        __atomic_store_n(&wanted, 0, __ATOMIC_SEQ_CST);
        bool more = poll_all();
        spin_unlock(&net_lock);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);   // or the look comes before the unlock
        if (more) break;
        if (!__atomic_load_n(&wanted, __ATOMIC_SEQ_CST)) return;
    }
    __atomic_or_fetch(&cpu_this()->edge_work, EDGE_NETPOLL, __ATOMIC_RELAXED);
}

void netpoll_lock(void) { spin_lock(&net_lock); }

// What was posted is sent at this CPU's edge, on its way out of the kernel: one
// doorbell for all that a system call posted.
void netpoll_unlock(void) {
    spin_unlock(&net_lock);
    __atomic_or_fetch(&cpu_this()->edge_work, EDGE_NETPOLL, __ATOMIC_RELAXED);
}
