// The raw frames of a network card, between its users (kernel/files/cardfs.c, files_lock)
// and the loop that pulls from it (kernel/netpoll.c, net_lock). The two sides share rings
// with one producer and one consumer, so neither takes the other's lock for a frame.
#pragma once

#include "base/ring.h"
#include "kernel/frame_guard.h"
#include "kernel/net.h"
#include "kernel/proc.h"

#define TAPS_MAX 8u                  // opens for reading of one card at a time
#define TAP_FRAMES 64u               // that wait for one reader; more are dropped, counted
#define PORT_TX_FRAMES 32u           // that wait for the card
#define PORT_TX_ROUND 16u            // sent in one round of netpoll, after RoCE's

struct card_frame { u8 *bytes; u32 len_bytes; };

// One open for reading. netpoll produces, the reader consumes; netpoll frees it once closed.
struct card_tap {
    struct ring ring;
    struct card_frame slot[TAP_FRAMES];
    bool closed;                     // atomic
};

struct card_port_counters {
    u64 received, dropped, hidden, truncated, sent, send_failed, refused;
};

struct card_port {
    struct net_card *card;
    struct card_tap *tap[TAPS_MAX];  // atomic: set by the reader's side, cleared by netpoll
    struct ring tx;                  // the writers' side produces, netpoll consumes
    struct card_frame tx_slot[PORT_TX_FRAMES];
    struct wait_list readers, writers;
    bool news;                       // netpoll's: readers are to be woken
    struct card_port_counters counters;   // the first three and sent, send_failed: netpoll's
};

extern struct card_port card_ports[NET_CARDS_MAX];

void card_ports_init(void);          // boot, after net_init
struct frame_guard card_guard(const struct card_port *port);

// The users' side; files_lock held.
status_t card_tap_open(struct card_port *port, struct card_tap **tap);   // E_NOMEM, E_BUSY
void card_tap_close(struct card_tap *tap);
void card_port_send(struct card_port *port, struct card_frame frame);    // tx is not full

// netpoll's side; net_lock held. True: a reader got it, or it is not for readers.
bool card_port_receive(struct net_card *card, const u8 *frame, u32 len_bytes);
bool card_ports_round(void);         // true: more waits to be sent
extern bool card_ports_busy;         // atomic: a round has something to do
