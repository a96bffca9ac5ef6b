// Opens a card of the Intel gigabit family: reset, address, receive, transmit,
// interrupts, statistics. Receive and transmit are in e1000_rx.c and e1000_tx.c.
// Called by kernel/net.c at boot, then through netdev_ops under the net lock; the
// interrupt handler masks and tells the owner, nothing else.
// Spec: 8254x 14 (initialisation), 13 (registers); 82574 4.6 (initialisation), 10.
#include "drivers/e1000/e1000_priv.h"

#include "base/string.h"

#define E1000_VENDOR 0x8086
#define E1000_INT_USED (E1000_INT_RXT0 | E1000_INT_RXO | E1000_INT_RXDMT0 | E1000_INT_LSC)

static struct e1000 cards[E1000_CARDS_MAX];
static u32 card_count;

static struct mmio_deadline reset_deadline(struct e1000 *e) {
    return (struct mmio_deadline){e->env->now_ns, e->env->now_ns() + E1000_RESET_NS};
}

// 82574 5.2.3 (master disable): no request of the card may be out when it is reset.
static void before_reset_82574(struct e1000 *e) {
    mmio_set_flags32(e->base, E1000_CTRL, (u32)E1000_CTRL_GIO_MASTER_OFF);
    if (mmio_wait_clear32(e->base, E1000_STATUS, (u32)E1000_STATUS_GIO_MASTER,
                          reset_deadline(e)) != S_OK)
        e->env->log("%s: bus master requests did not end", e->netdev.name);
}

// 82574 4.6.3.2: the NVM has been read again.
static status_t after_reset_82574(struct e1000 *e) {
    if (mmio_wait_set32(e->base, E1000_EECD, (u32)E1000_EECD_AUTO_RD, reset_deadline(e)) != S_OK)
        e->env->log("%s: NVM not read after reset", e->netdev.name);
    return S_OK;
}

// 82574 7.1.4 (legacy descriptors), 10.2.6.7 (bit 22 must be set).
static void queue_setup_82574(struct e1000 *e) {
    e1000_set(e, E1000_RFCTL, 0);
    e1000_set(e, E1000_RXDCTL, E1000_RXDCTL_GRAN | FIELD_PREP(GENMASK(21, 16), 1));
    e1000_set(e, E1000_TXDCTL,
              E1000_TXDCTL_GRAN | E1000_TXDCTL_82574_SET | E1000_TXDCTL_WTHRESH_1);
}

static void queue_setup_82540(struct e1000 *e) {
    e1000_set(e, E1000_RXDCTL, E1000_RXDCTL_GRAN | FIELD_PREP(GENMASK(21, 16), 1));
    e1000_set(e, E1000_TXDCTL, E1000_TXDCTL_GRAN | E1000_TXDCTL_WTHRESH_1);
}

// Device ids: 8254x table 5-1, 82574 section 9.
static const struct e1000_hw hw_table[] = {
    {.name = "8254x", .device_ids = {0x100e, 0x100f, 0x1004, 0x1008, 0x1010, 0x1015, 0x1026},
     .tipg = E1000_TIPG_82540, .queue_setup = queue_setup_82540},
    {.name = "82574L", .device_ids = {0x10d3, 0x10f6}, .tipg = E1000_TIPG_82574,
     .before_reset = before_reset_82574, .after_reset = after_reset_82574,
     .queue_setup = queue_setup_82574},
};

static const struct e1000_hw *hw_find(const struct pci_dev *dev) {
    if (dev->vendor != E1000_VENDOR) return NULL;
    for (u32 i = 0; i < ARRAY_COUNT(hw_table); i++)
        for (u32 k = 0; hw_table[i].device_ids[k] != 0; k++)
            if (hw_table[i].device_ids[k] == dev->device) return &hw_table[i];
    return NULL;
}

// Whether it is a card of the family that this driver knows (the table above).
bool e1000_supports(const struct pci_dev *dev) { return hw_find(dev) != NULL; }

// 8254x 14.3: reset, then wait until the card has read its EEPROM (13.4.1: RST).
static status_t card_reset(struct e1000 *e) {
    e1000_set(e, E1000_IMC, ~0u);
    e1000_set(e, E1000_RCTL, 0);
    e1000_set(e, E1000_TCTL, 0);
    if (e->hw->before_reset != NULL) e->hw->before_reset(e);
    mmio_set_flags32(e->base, E1000_CTRL, (u32)E1000_CTRL_RST);
    e->env->delay_us(1000);          // no access within 1 us of it; EEPROM: 1 ms
    status_t status =
        mmio_wait_clear32(e->base, E1000_CTRL, (u32)E1000_CTRL_RST, reset_deadline(e));
    if (status != S_OK) return status;
    e1000_set(e, E1000_IMC, ~0u);
    (void)e1000_get(e, E1000_ICR);
    return e->hw->after_reset != NULL ? e->hw->after_reset(e) : S_OK;
}

// 8254x 14.3, 14.4: link up by auto-negotiation, no flow control, our address only.
static status_t address_setup(struct e1000 *e) {
    u32 ctrl = e1000_get(e, E1000_CTRL);
    ctrl &= (u32)~(E1000_CTRL_LRST | E1000_CTRL_ILOS | E1000_CTRL_PHY_RST | E1000_CTRL_VME |
                   E1000_CTRL_RFCE | E1000_CTRL_TFCE | E1000_CTRL_GIO_MASTER_OFF);
    e1000_set(e, E1000_CTRL, ctrl | E1000_CTRL_SLU | E1000_CTRL_ASDE);
    e1000_set(e, E1000_FCAL, 0);
    e1000_set(e, E1000_FCAH, 0);
    e1000_set(e, E1000_FCT, 0);
    e1000_set(e, E1000_FCTTV, 0);
    u32 low = e1000_get(e, E1000_RAL0), high = e1000_get(e, E1000_RAH0);
    if ((low == 0 && (high & 0xffff) == 0) || low == ~0u) return E_NODEV;
    for (u32 i = 0; i < 6; i++)
        e->netdev.mac[i] = (u8)((i < 4 ? low >> (8 * i) : high >> (8 * (i - 4))) & 0xff);
    e1000_set(e, E1000_RAH0, high | E1000_RAH_AV);
    for (u32 i = 1; i < E1000_RA_COUNT; i++) {
        mmio_set32(e->base, E1000_RAL0 + 8 * i, 0);
        mmio_set32(e->base, E1000_RAH0 + 8 * i, 0);
    }
    for (u32 i = 0; i < E1000_MTA_COUNT; i++) mmio_set32(e->base, E1000_MTA + 4 * i, 0);
    return S_OK;
}

// Adds the card's own counts of lost frames, which reading clears. 8254x 13.7.
static void card_stats(struct netdev *dev) {
    struct e1000 *e = e1000_of(dev);
    struct net_counters *c = &dev->counters;
    c->rx_drop_crc += e1000_get(e, E1000_CRCERRS) + e1000_get(e, E1000_ALGNERRC);
    c->rx_drop_missed += e1000_get(e, E1000_MPC);
    c->rx_drop_no_buffer += e1000_get(e, E1000_RNBC);
    c->rx_drop_too_long += e1000_get(e, E1000_ROC) + e1000_get(e, E1000_RJC);
    c->rx_drop_error += e1000_get(e, E1000_RXERRC) + e1000_get(e, E1000_RLEC) +
                        e1000_get(e, E1000_RUC) + e1000_get(e, E1000_RFC);
}

// Interrupt context: mask, count, tell. A shared line costs an idle poll, no more.
static void card_irq(void *arg) {
    struct e1000 *e = arg;
    e1000_set(e, E1000_IMC, ~0u);
    e->netdev.counters.interrupts++;
    e->on_irq(e->on_irq_ctx);
}

// Clears the causes, looks once more, and only then unmasks: a frame from before the
// clearing is seen in the ring, one from after it raises the interrupt as soon as IMS
// allows. TXDW only where somebody waits for a frame to leave. 8254x 13.4.17, 13.4.20.
static bool card_irq_enable(struct netdev *dev) {
    struct e1000 *e = e1000_of(dev);
    u32 causes = e1000_get(e, E1000_ICR);
    if (causes & E1000_INT_LSC) {
        e->link = e1000_get(e, E1000_STATUS) & E1000_STATUS_LU;
        e->env->log("%s: link %s", dev->name, e->link ? "up" : "down");
    }
    if (e->tx_waiters != 0) e1000_tx_reap(dev);
    if (e1000_rx_waiting(e)) return true;
    e1000_set(e, E1000_IMS, E1000_INT_USED | (e->tx_waiters != 0 ? E1000_INT_TXDW : 0));
    return false;
}

static void card_irq_disable(struct netdev *dev) {
    e1000_set(e1000_of(dev), E1000_IMC, ~0u);
}

static bool card_link_up(struct netdev *dev) { return e1000_of(dev)->link; }

static const struct netdev_ops e1000_ops = {
    .tx_buf = e1000_tx_buf, .tx_cancel = e1000_tx_cancel, .tx_send = e1000_tx_send,
    .tx_kick = e1000_tx_kick, .tx_reap = e1000_tx_reap, .rx_batch = e1000_rx_batch,
    .irq_enable = card_irq_enable, .irq_disable = card_irq_disable, .link_up = card_link_up,
    .stats = card_stats,
};

static void card_fill(struct e1000 *e, const struct e1000_config *config) {
    u32 mtu = config->mtu == 0 ? E1000_MTU_MAX : config->mtu;
    if (mtu < E1000_MTU_MIN || mtu > E1000_MTU_MAX) {
        u32 used = mtu < E1000_MTU_MIN ? E1000_MTU_MIN : E1000_MTU_MAX;
        config->env->log("%s: MTU %u is not possible, using %u", e->netdev.name, mtu, used);
        mtu = used;
    }
    e->env = config->env;
    e->on_irq = config->on_irq;
    e->on_irq_ctx = config->on_irq_ctx;
    e->netdev.ops = &e1000_ops;
    e->netdev.priv = e;
    e->netdev.mtu = mtu;
    e->netdev.mtu_max = E1000_MTU_MAX;
}

// dev: a card that e1000_supports; config: copied. The card then receives, with its
// interrupts masked until irq_enable. Returns NULL, with the reason in the log, where
// the card does not answer, memory has run out, or E1000_CARDS_MAX are open already.
// Locks: none; boot. Spec: 8254x 14, 82574 4.6.
struct netdev *e1000_open(const struct pci_dev *dev, const struct e1000_config *config) {
    if (card_count == E1000_CARDS_MAX) {
        config->env->log("e1000: more than %u cards", E1000_CARDS_MAX);
        return NULL;
    }
    struct e1000 *e = &cards[card_count];
    *e = (struct e1000){.hw = hw_find(dev), .netdev.name = "eth0"};
    e->netdev.name[3] = (char)('0' + card_count);
    card_fill(e, config);

    struct pci_bar bar;
    const char *what = "no memory BAR";
    status_t status = pci_bar_read(config->cfg, dev->bdf, 0, &bar);
    if (status != S_OK || bar.pa.v == 0 || bar.len_bytes < E1000_MMIO_BYTES) goto fail;
    pci_enable(config->cfg, dev->bdf);
    e->base = config->env->mmio_map(bar.pa, E1000_MMIO_BYTES);
    what = "registers cannot be mapped";
    if (e->base == NULL) goto fail;
    what = "reset did not end";
    if ((status = card_reset(e)) != S_OK) goto fail;
    what = "no Ethernet address";
    if ((status = address_setup(e)) != S_OK) goto fail;
    what = "no memory for the rings";
    e->hw->queue_setup(e);
    if ((status = e1000_rx_setup(e)) != S_OK) goto fail_stop;
    if ((status = e1000_tx_setup(e)) != S_OK) goto fail_stop;
    e1000_set(e, E1000_ITR, 0);
    card_stats(&e->netdev);
    memset(&e->netdev.counters, 0, sizeof e->netdev.counters);
    e->link = e1000_get(e, E1000_STATUS) & E1000_STATUS_LU;
    what = "no interrupt";
    if ((status = config->env->irq_attach(dev->bdf, card_irq, e)) != S_OK) goto fail_stop;
    card_count++;
    config->env->log("%s: Intel %s, MTU %u, link %s", e->netdev.name, e->hw->name,
                     e->netdev.mtu, e->link ? "up" : "down");
    return &e->netdev;
fail_stop:
    e1000_stop(&e->netdev);
fail:
    config->env->log("%s: Intel %s not usable: %s (%d)", e->netdev.name, e->hw->name, what,
                     status);
    return NULL;
}

void e1000_stop(struct netdev *dev) {
    struct e1000 *e = e1000_of(dev);
    e1000_set(e, E1000_IMC, ~0u);
    e1000_set(e, E1000_RCTL, 0);
    e1000_set(e, E1000_TCTL, 0);
}
