// Brings up the network: finds the cards, gives each whose MAC is in cluster.conf an
// RDMA device with its node's address, and with rdma.test=1 the services for outside
// clients. netpoll.c then drives them. Called by boot on one CPU; later under net_lock.
#include "kernel/net.h"

#include "base/string.h"
#include "drivers/e1000/e1000.h"
#include "drivers/pci/pci.h"
#include "drivers/rdma/soft.h"
#include "drivers/rdma/testsvc.h"
#include "kernel/crc.h"
#include "kernel/hw.h"
#include "kernel/klog.h"
#include "kernel/net_priv.h"
#include "kernel/netpoll.h"
#include "kernel/options.h"
#include "kernel/panic.h"
#include "kernel/perf.h"
#include "kernel/random.h"
#include "kernel/trap.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/words.h"
#include "mm/frame.h"

#define NET_PREFIX_LEN 24            // cluster.conf names addresses of one /24
#define ETH_HEADER 14u

struct spinlock net_lock = SPINLOCK_INIT(LOCK_RANK_NET, "net");
struct net_card net_cards[NET_CARDS_MAX];
u32 net_card_count;

// Memory of RDMA devices: whole frames, kept for ever.
static void *net_alloc(void *ctx, u64 len_bytes) {
    (void)ctx;
    paddr_t pa = frame_alloc_contiguous((len_bytes + PAGE_MASK) / PAGE_SIZE, FRAME_KERNEL);
    return pa.v == 0 ? NULL : phys_to_virt(pa);
}

static u32 node_of_mac(const u8 mac[6]) {
    if (!cluster_conf.valid) return NET_NO_NODE;
    for (u32 i = 0; i < NODES_MAX; i++)
        if (roster_taken(&cluster_conf.node[i]) && memcmp(cluster_conf.node[i].mac, mac, 6) == 0)
            return i;
    return NET_NO_NODE;
}

// Everybody in cluster.conf but this card, so that ARP never decides where they are.
static u32 members_fill(struct soft_member *members, u32 own_node) {
    u32 count = 0;
    for (u32 i = 0; i < NODES_MAX; i++) {
        const struct roster_row *n = &cluster_conf.node[i];
        if (!n->listed || i == own_node) continue;
        members[count].ipv4 = n->ipv4;
        memcpy(members[count++].mac, n->mac, 6);
    }
    return count;
}

// The card's RDMA device at that address (host byte order). E_NOMEM. Boot, and kernel/ask.c
// under net_lock.
status_t net_rdma_create(struct net_card *card, u32 ipv4) {
    static struct soft_member members[NODES_MAX];
    struct soft_config config = {
        .netdev = card->dev, .ipv4 = ipv4, .prefix_len = NET_PREFIX_LEN,
        .members = members, .member_count = members_fill(members, card->node),
        .rng = kernel_rng, .crc = kernel_crc_ops(),
        .word_ops = &cpu_word_ops,
        .alloc = net_alloc,
    };
    card->rdma = soft_create(&config);
    if (card->rdma != NULL) return S_OK;
    klog("%s: no memory for the RDMA device", card->dev->name);
    return E_NOMEM;
}

// Says which node the card is, and opens the services of rdma.test=1. Context as above.
void net_rdma_announce(struct net_card *card) {
    u32 ip = soft_ipv4(card->rdma);
    klog("%s: node %u, %pI, MAC %pM, RoCEv2 path MTU %u", card->dev->name, card->node, &ip,
         card->dev->mac, 128u << soft_mtu(card->rdma));
    if (!options.rdma_test) return;
    card->testsvc = testsvc_create(card->rdma, net_alloc, NULL);
    if (card->testsvc == NULL) klog("%s: rdma.test: no memory", card->dev->name);
    else klog("%s: rdma.test: rping at %u, scratch at %u", card->dev->name,
              TESTSVC_RPING_PORT, TESTSVC_SCRATCH_PORT);
}

static bool card_found(void *ctx, const struct pci_dev *pci) {
    (void)ctx;
    if (!e1000_supports(pci)) {
        if (pci->class_code == 2)
            klog("net: card %x:%x has no driver yet", pci->vendor, pci->device);
        return false;
    }
    const struct e1000_config config = {.env = &kernel_hw_env, .cfg = &pci_cfg_ports,
                                        .mtu = options.mtu, .on_irq = netpoll_irq,
                                        .on_irq_ctx = &net_cards[net_card_count]};
    struct netdev *dev = e1000_open(pci, &config);
    if (dev == NULL) return false;
    struct net_card *card = &net_cards[net_card_count++];
    *card = (struct net_card){.dev = dev, .rx = net_rx_frame, .node = node_of_mac(dev->mac),
                              .irq_masked = true};
    return net_card_count == NET_CARDS_MAX;
}

// Until the cluster part puts its own hook here.
static void net_panic(const char *cause) {
    (void)cause;
    net_stop();
}

// Order: cards, addresses, RDMA, services, interrupts. What is missing is said, and
// the node goes on without it. Locks: none; boot, one CPU, after options, cluster.conf,
// frames, interrupts and the random generator.
void net_init(void) {
    pci_scan(&pci_cfg_ports, card_found, NULL);
    if (net_card_count == 0) klog("net: no network card; this node works alone");
    else if (!cluster_conf.valid) klog("net: no valid cluster.conf; this node works alone");
    for (u32 i = 0; i < net_card_count; i++) {
        struct net_card *card = &net_cards[i];
        if (card->node == NET_NO_NODE) continue;
        if (net_rdma_create(card, cluster_conf.node[card->node].ipv4) == S_OK)
            net_rdma_announce(card);
    }
    panic_hook = net_panic;
    if (options.bench_count) perf_init();
    edge_hook_set(EDGE_NETPOLL, netpoll);
    netpoll();                       // unmasks
}

struct net_card *net_own(void) {
    for (u32 i = 0; i < net_card_count; i++)
        if (net_cards[i].rdma != NULL) return &net_cards[i];
    return NULL;
}

static void (*echo_answered)(struct net_card *card, const struct net_echo *echo);

void net_set_echo(void (*answered)(struct net_card *card, const struct net_echo *echo)) {
    echo_answered = answered;
}

// Members may have their frames echoed; with rdma.test=1 everybody.
static bool echo_allowed(const u8 mac[6]) {
    return !(mac[0] & 1) && (options.rdma_test || node_of_mac(mac) != NET_NO_NODE);
}

static void echo_send(struct net_card *card, const u8 *frame, u32 len_bytes, bool header) {
    struct netdev *dev = card->dev;
    struct net_echo echo;
    memcpy(&echo, frame + ETH_HEADER, sizeof echo);
    u32 answer = len_bytes;
    if (header) answer = MAX(NET_ECHO_MIN, MIN(echo.answer_bytes, dev->mtu + ETH_HEADER));
    u8 *head = dev->ops->tx_buf(dev);
    if (head == NULL) return;        // counted by the card
    memcpy(head, frame, MIN(len_bytes, answer));
    if (answer > len_bytes) memset(head + len_bytes, 0, answer - len_bytes);
    memcpy(head, frame + 6, 6);
    memcpy(head + 6, dev->mac, 6);
    echo.kind = NET_ECHO_ANSWER;
    if (header) memcpy(head + ETH_HEADER, &echo, sizeof echo);
    const struct net_tx tx = {.head = head, .head_len = answer};
    if (dev->ops->tx_send(dev, &tx) == S_OK) card->frames_echoed++;
}

// The echo. True: the frame was one. Lock: net_lock.
bool net_raw_frame(struct net_card *card, const u8 *frame, u32 len_bytes) {
    if (frame[12] != NET_ETHERTYPE_ECHO >> 8 || frame[13] != (NET_ETHERTYPE_ECHO & 0xff))
        return false;
    struct net_echo echo = {0};
    if (len_bytes >= ETH_HEADER + sizeof echo)
        memcpy(&echo, frame + ETH_HEADER, sizeof echo);
    const bool header = echo.magic == NET_ECHO_MAGIC;
    if (header && echo.kind == NET_ECHO_ANSWER) {
        if (echo_answered != NULL) echo_answered(card, &echo);
    } else if (len_bytes > card->dev->mtu + ETH_HEADER || !echo_allowed(frame + 6) ||
               (header && echo.kind != NET_ECHO_REQUEST)) {
        card->frames_ignored++;
    } else {
        echo_send(card, frame, len_bytes, header);
    }
    return true;
}

void net_stop(void) {
    for (u32 i = 0; i < net_card_count; i++) e1000_stop(net_cards[i].dev);
}
