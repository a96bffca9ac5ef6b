// A port of the relay: a guest's QEMU netdev at the other end of a datagram socket.
#pragma once
#include "frame.h"
#include <sys/un.h>

#define PORT_BACKLOG_MAX 8192u // frames waiting for one slow guest

struct port {
    char name[32];
    int rx_fd, tx_fd;             // the same socket for a UDP port
    bool udp, connected;
    uint16_t udp_remote;          // host order
    struct sockaddr_un remote;    // unix: where the guest's QEMU binds its socket
    uint32_t sent_since_look;     // udp: frames since the receiver's queue was looked at
    uint64_t stalled_until_ns;    // udp: the receiver's queue is filling up
    struct frame *head, **tail;   // backlog
    uint32_t backlog;
    uint64_t frames_in, frames_out, bytes_in, bytes_out;
    uint64_t unplugged;           // frames for a guest that is not there
    uint64_t dropped;             // backlog full, or the send failed: must stay 0
};

// Opens a port on unix datagram sockets; false and a message on stderr on failure.
bool port_open_unix(struct port *port, const char *local, const char *remote);
// Opens a port that receives on UDP 127.0.0.1:number and sends to number + 1.
bool port_open_udp(struct port *port, uint16_t number);
// Puts a frame (which the port then owns) on its way.
void port_send(struct port *port, struct frame *frame, uint64_t now_ns);
// Sends as much of the backlog as the guest takes.
void port_flush(struct port *port, uint64_t now_ns);
// Frames that the kernel dropped at either end of a UDP port.
uint64_t port_udp_drops(const struct port *port);
