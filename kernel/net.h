// The node's network cards and their RDMA devices. net.c brings them up, netpoll.c
// drives them. Everything here but net_init is called with net_lock held, unless said.
#pragma once

#include "base/status.h"
#include "base/types.h"
#include "drivers/netdev.h"
#include "drivers/rdma/verbs.h"
#include "kernel/x86/spinlock.h"

#define NET_CARDS_MAX 4
#define NET_POLLERS_MAX 8
#define NET_NO_NODE (~0u)

// The raw echo, the floor that the benchmarks compare with: a frame of an experimental
// ethertype (IEEE 802 local experimental, RFC 9542 appendix B.2) goes back to its sender.
// One that begins with this header is answered by a frame of `answer_bytes`, and an answer
// is never echoed. Host byte order: both ends are benchmarks on this architecture.
#define NET_ETHERTYPE_ECHO 0x88b5
#define NET_ECHO_MAGIC 0x4f484345u   // "ECHO"
#define NET_ECHO_MIN 60u             // bytes of the shortest frame, header included
enum net_echo_kind { NET_ECHO_REQUEST = 1, NET_ECHO_ANSWER = 2 };
struct net_echo { u32 magic, kind, seq, answer_bytes; };

struct testsvc;

typedef void (*net_rx_fn)(void *ctx, const u8 *frame, u32 len_bytes);

struct net_card {
    struct netdev *dev;
    struct rdma_dev *rdma;           // NULL: the card is no node's
    struct testsvc *testsvc;         // NULL without rdma.test=1
    u32 node;                        // by its line in cluster.conf, or as given by a member
    u64 frames_echoed, frames_ignored;
    u64 tx_frames_seen;              // netpoll: as of the last doorbell
    u64 completions_seen;            // netpoll: as of the last round
    bool irq_masked;                 // by its handler
    net_rx_fn rx;                    // atomic: who takes its frames
};

extern struct spinlock net_lock;     // LOCK_RANK_NET
extern struct net_card net_cards[NET_CARDS_MAX];
extern u32 net_card_count;

// Finds cards and starts them; says what is missing and goes on. Boot, no lock.
void net_init(void);
// The card that makes this machine a node of cluster.conf; NULL: none.
struct net_card *net_own(void);
// Runs `poll` in every round of netpoll, after frames and before transmission: take
// completions, act, post. `deadline_ns` may be NULL; else when it wants to run next.
void net_add_poller(void (*poll)(void *ctx, u64 now_ns), u64 (*deadline_ns)(void *ctx),
                    void *ctx);
// Who takes the answers to echoes of its own. Boot.
void net_set_echo(void (*answered)(struct net_card *card, const struct net_echo *echo));
// Stops every card at once: panic. Any context, takes no lock.
void net_stop(void);
