// The network's counters as text, for /nodes/N/status and for a person at the console.
// Called by the status file; takes net_lock.
#include "base/bits.h"
#include "drivers/rdma/soft.h"
#include "drivers/rdma/testsvc.h"
#include "kernel/klog.h"
#include "kernel/net.h"

struct counter_name { const char *name; u32 offset; };
#define NET_COUNTER(field) {#field, offsetof(struct net_counters, field)}
#define SOFT_COUNTER(field) {#field, offsetof(struct soft_counters, field)}

static const struct counter_name net_names[] = {
    NET_COUNTER(tx_frames), NET_COUNTER(tx_bytes), NET_COUNTER(rx_frames),
    NET_COUNTER(rx_bytes), NET_COUNTER(tx_drop_ring_full), NET_COUNTER(tx_drop_too_long),
    NET_COUNTER(tx_drop_link_down), NET_COUNTER(rx_drop_crc), NET_COUNTER(rx_drop_too_long),
    NET_COUNTER(rx_drop_missed), NET_COUNTER(rx_drop_no_buffer), NET_COUNTER(rx_drop_error),
    NET_COUNTER(interrupts),
};
static const struct counter_name soft_names[] = {
    SOFT_COUNTER(sent_pkts), SOFT_COUNTER(rcvd_pkts), SOFT_COUNTER(duplicate_request),
    SOFT_COUNTER(out_of_seq_request), SOFT_COUNTER(rcvd_rnr_err), SOFT_COUNTER(send_rnr_err),
    SOFT_COUNTER(rcvd_seq_err), SOFT_COUNTER(ack_deferred), SOFT_COUNTER(retry_exceeded_err),
    SOFT_COUNTER(retry_rnr_exceeded_err), SOFT_COUNTER(completer_retry_err),
    SOFT_COUNTER(send_err), SOFT_COUNTER(link_downed), SOFT_COUNTER(rdma_sends),
    SOFT_COUNTER(rdma_recvs), SOFT_COUNTER(bad_icrc), SOFT_COUNTER(bad_len),
    SOFT_COUNTER(bad_opcode), SOFT_COUNTER(bad_tver), SOFT_COUNTER(bad_key),
    SOFT_COUNTER(bad_pkey), SOFT_COUNTER(bad_src), SOFT_COUNTER(bad_ip),
    SOFT_COUNTER(bad_qkey), SOFT_COUNTER(bad_qpn), SOFT_COUNTER(bad_state),
    SOFT_COUNTER(bad_transport), SOFT_COUNTER(not_roce), SOFT_COUNTER(dup_atomic_replayed),
    SOFT_COUNTER(dup_atomic_too_old), SOFT_COUNTER(qp_err), SOFT_COUNTER(cnp),
    SOFT_COUNTER(ghost_response), SOFT_COUNTER(read_gap_asked), SOFT_COUNTER(tx_ring_full),
    SOFT_COUNTER(resp_queue_full), SOFT_COUNTER(cq_overflow), SOFT_COUNTER(arp_requests),
    SOFT_COUNTER(arp_replies), SOFT_COUNTER(arp_failed), SOFT_COUNTER(arp_ignored),
    SOFT_COUNTER(no_mac),
};

struct text { char *to; u64 size_bytes, len; };

static void put(struct text *t, const char *card, const char *name, u64 value) {
    u64 room = t->size_bytes - t->len;
    if (room <= 1) return;
    int len = ksnprintf(t->to + t->len, room, "%s.%s %llu\n", card, name,
                        (unsigned long long)value);
    t->len += MIN((u64)len, room - 1);
}

static void put_all(struct text *t, const char *card, const void *counters,
                    const struct counter_name *names, u32 count) {
    for (u32 i = 0; i < count; i++)
        put(t, card, names[i].name, *(const u64 *)((const u8 *)counters + names[i].offset));
}

static void put_card(struct text *t, struct net_card *card) {
    struct netdev *dev = card->dev;
    if (dev->ops->stats != NULL) dev->ops->stats(dev);
    put(t, dev->name, "mtu", dev->mtu);
    put(t, dev->name, "link", dev->ops->link_up(dev));
    put_all(t, dev->name, &dev->counters, net_names, ARRAY_COUNT(net_names));
    put(t, dev->name, "frames_echoed", card->frames_echoed);
    put(t, dev->name, "frames_ignored", card->frames_ignored);
    if (card->rdma != NULL)
        put_all(t, dev->name, soft_counters(card->rdma), soft_names, ARRAY_COUNT(soft_names));
    if (card->testsvc == NULL) return;
    const struct testsvc_counters *c = testsvc_counters(card->testsvc);
    put(t, dev->name, "test_rping_rounds", c->rping_rounds);
    put(t, dev->name, "test_connects", c->connects);
    put(t, dev->name, "test_disconnects", c->disconnects);
    put(t, dev->name, "test_refused", c->refused);
    put(t, dev->name, "test_errors", c->errors);
}

// Writes one line "card.counter value" for each counter of each card.
// to, size_bytes: a buffer, cut off at its end, always closed by 0. Returns the length.
// Locks: takes net_lock; any kernel context but interrupts.
u64 net_status_text(char *to, u64 size_bytes) {
    struct text t = {to, size_bytes, 0};
    if (size_bytes == 0) return 0;
    to[0] = 0;
    spin_lock(&net_lock);
    for (u32 i = 0; i < net_card_count; i++) put_card(&t, &net_cards[i]);
    spin_unlock(&net_lock);
    return t.len;
}
