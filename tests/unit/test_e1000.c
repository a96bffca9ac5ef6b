// The e1000 driver against a model of the card: frames both ways, chains, every drop's
// counter, gather, reaping, masks and the race of irq_enable, broken hardware.
// links: drivers/e1000/e1000.c drivers/e1000/e1000_rx.c drivers/e1000/e1000_tx.c
// links: drivers/pci/pci.c tests/unit/e1000_model.c
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/e1000/e1000_regs.h"
#include "tests/unit/e1000_model.h"
#include "tests/unit/suite_run.h"

static struct netdev *dev;
static u32 irq_calls, got_count, got_len, sent_calls;
static u8 got[MODEL_FRAME_MAX];
static u64 sent_cookies;

static void on_irq(void *ctx) { (void)ctx; irq_calls++; }
static void take(void *ctx, const u8 *frame, u32 len) {
    (void)ctx;
    got_count++;
    got_len = len;
    memcpy(got, frame, len);
}
static void on_sent(void *ctx, u64 cookie) { (void)ctx; sent_calls++; sent_cookies += cookie; }

static struct netdev *open_card(u16 id, u32 mtu) {
    struct e1000_config c = {.env = &model_env, .cfg = &model_cfg, .mtu = mtu, .on_irq = on_irq};
    struct pci_dev pci = model_pci(id);
    return e1000_open(&pci, &c);
}
static void open_with(u16 id, u32 mtu) {
    model_reset();
    irq_calls = got_count = got_len = sent_calls = 0;
    sent_cookies = 0;
    dev = open_card(id, mtu);
    ck_assert_ptr_nonnull(dev);
    ck_assert(!dev->ops->irq_enable(dev));
}
static void setup(void) { open_with(0x100e, 0); }

static u8 pattern[MODEL_FRAME_MAX];
static u8 payload[4096];

START_TEST(opens_both_cards) {
    static const u8 mac[6] = {0x52, 0x54, 0x00, 0x49, 0x53, 0x01};
    ck_assert_mem_eq(dev->mac, mac, 6);
    ck_assert_uint_eq(dev->mtu, 9000);
    ck_assert_str_eq(dev->name, "eth0");
    ck_assert_uint_ne(model.reg[E1000_RAH0 / 4] & (1u << 31), 0);
    open_with(0x10d3, 1500);
    ck_assert_uint_eq(dev->mtu, 1500);
    ck_assert_str_eq(dev->name, "eth1");
    struct pci_dev other = model_pci(0x1000);
    ck_assert(!e1000_supports(&other));
    other.device = 0x10d3;
    ck_assert(e1000_supports(&other));
    other.vendor = 0x1af4;
    ck_assert(!e1000_supports(&other));
}
END_TEST

START_TEST(receives_every_length) {
    static const u32 mtus[] = {1500, 2020, 4200, 9000};
    for (u32 m = 0; m < 3; m++) {                       // cards are not closed: E1000_CARDS_MAX
        open_with(m % 2 ? 0x100e : 0x10d3, mtus[m]);
        for (u32 len = 14, n = 0; len <= mtus[m] + 18; len += 1 + len / 16, n++) {
            ck_assert(model_rx(pattern + n, len, 0));
            ck_assert_uint_eq(dev->ops->rx_batch(dev, 64, take, NULL), 1);
            ck_assert_uint_eq(got_len, len);
            ck_assert_mem_eq(got, pattern + n, len);
        }
    }
}
END_TEST

START_TEST(ring_goes_round) {
    for (u32 n = 0; n < 1000; n++) {
        for (u32 k = 0; k < 100; k++) ck_assert(model_rx(pattern + n, 60 + k, 0));
        ck_assert_uint_eq(dev->ops->rx_batch(dev, 64, take, NULL), 64);
        ck_assert_uint_eq(dev->ops->rx_batch(dev, 64, take, NULL), 36);
        ck_assert_uint_eq(dev->ops->rx_batch(dev, 64, take, NULL), 0);
        ck_assert_uint_eq(got_len, 159);
    }
    ck_assert_uint_eq(dev->counters.rx_frames, 100000);
    ck_assert_uint_lt(model.rdt_writes, 100000 / 15);
}
END_TEST

START_TEST(ring_full_is_counted) {
    u32 taken = 0;
    while (model_rx(pattern, 60, 0)) taken++;
    ck_assert_uint_eq(taken, 127);
    ck_assert(!model_rx(pattern, 60, 0));
    dev->ops->stats(dev);
    ck_assert_uint_eq(dev->counters.rx_drop_missed, 2);
    ck_assert_uint_eq(dev->ops->rx_batch(dev, 1000, take, NULL), 127);
    ck_assert(model_rx(pattern, 60, 0));
    dev->ops->stats(dev);
    ck_assert_uint_eq(dev->counters.rx_drop_missed, 2);  // not counted twice
}
END_TEST

START_TEST(too_long_frames_are_dropped_whole) {
    open_with(0x100e, 1500);                            // buffers of 2048
    ck_assert(model_rx(pattern, 2048 * 3 + 5, 0));
    ck_assert(model_rx(pattern, 100, 0));
    ck_assert(model_rx(pattern, 2049, 0));
    ck_assert(model_rx(pattern, 101, 0));
    ck_assert_uint_eq(dev->ops->rx_batch(dev, 64, take, NULL), 2);
    ck_assert_uint_eq(got_len, 101);
    ck_assert_uint_eq(dev->counters.rx_drop_too_long, 2);
}
END_TEST

START_TEST(bad_frames_are_dropped_and_counted) {
    model_rx(pattern, 100, E1000_RXD_ERR_CE);
    model_rx(pattern, 100, E1000_RXD_ERR_RXE);
    model_rx(pattern, 13, 0);
    ck_assert_uint_eq(dev->ops->rx_batch(dev, 64, take, NULL), 0);
    ck_assert_uint_eq(dev->counters.rx_drop_crc, 1);
    ck_assert_uint_eq(dev->counters.rx_drop_error, 2);
    for (u32 i = 0; i < 4; i++) model.reg[(E1000_RNBC + 4 * i) / 4] = 10 + i;
    model.reg[E1000_CRCERRS / 4] = 5;
    dev->ops->stats(dev);
    ck_assert_uint_eq(dev->counters.rx_drop_no_buffer, 10);
    ck_assert_uint_eq(dev->counters.rx_drop_error, 2 + 11 + 12);   // RUC, RFC
    ck_assert_uint_eq(dev->counters.rx_drop_too_long, 13);         // ROC
    ck_assert_uint_eq(dev->counters.rx_drop_crc, 6);
}
END_TEST

START_TEST(sends_copied_and_gathered) {
    struct net_tx tx = {.head = dev->ops->tx_buf(dev), .head_len = 60};
    memcpy(tx.head, pattern, 60);
    ck_assert_int_eq(dev->ops->tx_send(dev, &tx), S_OK);
    ck_assert_uint_eq(model.doorbells, 1);              // set-up wrote TDT once
    u8 *head = dev->ops->tx_buf(dev);
    memcpy(head, pattern, 54);
    memcpy(head + 54, "tail", 4);
    struct net_tx gather = {.head = head, .head_len = 54, .gather_pa = paddr((u64)payload),
                            .gather_len = 64, .tail_len = 4, .sent = on_sent,
                            .sent_cookie = 7};
    ck_assert_int_eq(dev->ops->tx_send(dev, &gather), S_OK);
    dev->ops->tx_kick(dev);
    dev->ops->tx_kick(dev);
    ck_assert_uint_eq(model.doorbells, 2);
    ck_assert_uint_eq(model.sent_count, 2);
    ck_assert_uint_eq(model.sent_len[0], 60);
    ck_assert_mem_eq(model.sent[0], pattern, 60);
    ck_assert_uint_eq(model.sent_len[1], 54 + 64 + 4);
    ck_assert_mem_eq(model.sent[1], pattern, 54);
    ck_assert_mem_eq(model.sent[1] + 54, payload, 64);
    ck_assert_mem_eq(model.sent[1] + 118, "tail", 4);
    ck_assert_uint_eq(sent_calls, 0);
    dev->ops->tx_reap(dev);
    ck_assert_uint_eq(sent_calls, 1);
    ck_assert_uint_eq(sent_cookies, 7);
    ck_assert_uint_eq(dev->counters.tx_frames, 2);
    ck_assert_uint_eq(dev->counters.tx_bytes, 60 + 122);
}
END_TEST

static bool send_gathered(u64 cookie) {
    struct net_tx tx = {.head = dev->ops->tx_buf(dev), .head_len = 54, .tail_len = 4,
                        .gather_pa = paddr((u64)payload), .gather_len = 4096,
                        .sent = on_sent, .sent_cookie = cookie};
    if (tx.head == NULL) return false;
    ck_assert_int_eq(dev->ops->tx_send(dev, &tx), S_OK);
    return true;
}

START_TEST(full_ring_then_goes_on) {
    model.tx_stalled = true;
    u64 sum = 0, n = 0;
    for (u32 round = 0; round < 50; round++) {
        while (send_gathered(n)) sum += n++;
        dev->ops->tx_kick(dev);
        dev->ops->tx_reap(dev);
        ck_assert_uint_eq(sent_calls, n - 128);          // the card still has them
        model_tx_run();
        dev->ops->tx_reap(dev);
        ck_assert_uint_eq(sent_calls, n);
        ck_assert_uint_eq(sent_cookies, sum);
    }
    ck_assert_uint_eq(n, 50 * 128);
    ck_assert_uint_eq(model.sent_count, n);
    ck_assert_uint_eq(dev->counters.tx_drop_ring_full, 50);
}
END_TEST

START_TEST(frames_not_yet_kicked_are_not_reaped) {
    ck_assert(send_gathered(1));
    dev->ops->tx_kick(dev);
    ck_assert(send_gathered(2));
    dev->ops->tx_reap(dev);
    ck_assert_uint_eq(sent_cookies, 1);
    dev->ops->tx_kick(dev);
    dev->ops->tx_reap(dev);
    ck_assert_uint_eq(sent_cookies, 3);
}
END_TEST

START_TEST(refused_frames_give_the_buffer_back) {
    for (u32 i = 0; i < 1000; i++) {
        struct net_tx tx = {.head = dev->ops->tx_buf(dev), .head_len = 9015, .sent = on_sent};
        ck_assert_int_eq(dev->ops->tx_send(dev, &tx), E_MSGSIZE);
        tx.head = dev->ops->tx_buf(dev);
        tx.head_len = 100;
        tx.gather_len = 8915;
        ck_assert_int_eq(dev->ops->tx_send(dev, &tx), E_MSGSIZE);
        dev->ops->tx_cancel(dev, dev->ops->tx_buf(dev));
    }
    ck_assert_uint_eq(dev->counters.tx_drop_too_long, 2000);
    model_set_link(false);
    ck_assert_uint_eq(irq_calls, 1);
    ck_assert(!dev->ops->irq_enable(dev));
    ck_assert(!dev->ops->link_up(dev));
    struct net_tx tx = {.head = dev->ops->tx_buf(dev), .head_len = 100, .sent = on_sent};
    ck_assert_int_eq(dev->ops->tx_send(dev, &tx), E_NETDOWN);
    ck_assert_uint_eq(dev->counters.tx_drop_link_down, 1);
    model_set_link(true);
    ck_assert(!dev->ops->irq_enable(dev));
    ck_assert(dev->ops->link_up(dev));
    ck_assert_uint_eq(sent_calls, 0);
    u32 free_buffers = 0;
    while (dev->ops->tx_buf(dev) != NULL) free_buffers++;
    ck_assert_uint_eq(free_buffers, 128);
}
END_TEST

START_TEST(interrupts_mask_and_lose_no_frame) {
    ck_assert(model_rx(pattern, 60, 0));
    ck_assert_uint_eq(irq_calls, 1);
    ck_assert_uint_eq(model.ims, 0);
    ck_assert(model_rx(pattern, 61, 0));                // masked: no second interrupt
    ck_assert_uint_eq(irq_calls, 1);
    ck_assert_uint_eq(dev->ops->rx_batch(dev, 64, take, NULL), 2);
    ck_assert(model_rx(pattern, 62, 0));                // between the poll and the enable
    ck_assert(dev->ops->irq_enable(dev));
    ck_assert_uint_eq(model.ims, 0);
    ck_assert_uint_eq(dev->ops->rx_batch(dev, 64, take, NULL), 1);
    ck_assert(!dev->ops->irq_enable(dev));
    ck_assert_uint_eq(irq_calls, 1);                    // taken frames raise nothing late
    ck_assert(model_rx(pattern, 63, 0));
    ck_assert_uint_eq(irq_calls, 2);
    dev->ops->irq_disable(dev);
    ck_assert_uint_eq(model.ims, 0);
}
END_TEST

START_TEST(a_waited_for_frame_interrupts_when_it_left) {
    model.tx_stalled = true;
    ck_assert(send_gathered(3));
    dev->ops->tx_kick(dev);
    ck_assert(!dev->ops->irq_enable(dev));
    model_tx_run();
    ck_assert_uint_eq(irq_calls, 1);
    ck_assert(!dev->ops->irq_enable(dev));              // reaps
    ck_assert_uint_eq(sent_calls, 1);
    struct net_tx tx = {.head = dev->ops->tx_buf(dev), .head_len = 60};
    ck_assert_int_eq(dev->ops->tx_send(dev, &tx), S_OK);
    dev->ops->tx_kick(dev);
    model_tx_run();
    ck_assert_uint_eq(irq_calls, 1);                    // nobody waits: no interrupt
}
END_TEST

START_TEST(broken_hardware_is_refused) {
    model_reset();
    model.reset_hangs = true;
    ck_assert_ptr_null(open_card(0x100e, 0));
    model_reset();
    model.reg[E1000_RAL0 / 4] = model.reg[E1000_RAH0 / 4] = 0;
    ck_assert_ptr_null(open_card(0x100e, 0));
    for (u32 n = 0; n < 131; n++) {
        model_reset();
        model.dma_left = n;
        ck_assert_ptr_null(open_card(0x10d3, 0));
        ck_assert_uint_eq(model.reg[E1000_RCTL / 4] & E1000_RCTL_EN, 0);
    }
    model_reset();
    ck_assert_ptr_nonnull(open_card(0x10d3, 0));
    ck_assert_ptr_nonnull(open_card(0x10d3, 100));      // MTU put right, and said
    ck_assert_ptr_nonnull(open_card(0x10d3, 9001));
    ck_assert_ptr_null(open_card(0x10d3, 0));           // with setup's: more than the table
}
END_TEST

int main(void) {
    for (u32 i = 0; i < sizeof pattern; i++) pattern[i] = (u8)(i * 7 + i / 251);
    for (u32 i = 0; i < sizeof payload; i++) payload[i] = (u8)(i * 13);
    Suite *s = suite_create("e1000");
    TCase *t = tcase_create("e1000");
    tcase_add_checked_fixture(t, setup, model_free);
    tcase_add_test(t, opens_both_cards);
    tcase_add_test(t, receives_every_length);
    tcase_add_test(t, ring_goes_round);
    tcase_add_test(t, ring_full_is_counted);
    tcase_add_test(t, too_long_frames_are_dropped_whole);
    tcase_add_test(t, bad_frames_are_dropped_and_counted);
    tcase_add_test(t, sends_copied_and_gathered);
    tcase_add_test(t, full_ring_then_goes_on);
    tcase_add_test(t, frames_not_yet_kicked_are_not_reaped);
    tcase_add_test(t, refused_frames_give_the_buffer_back);
    tcase_add_test(t, interrupts_mask_and_lose_no_frame);
    tcase_add_test(t, a_waited_for_frame_interrupts_when_it_left);
    tcase_add_test(t, broken_hardware_is_refused);
    suite_add_tcase(s, t);
    return suite_run(s);
}
