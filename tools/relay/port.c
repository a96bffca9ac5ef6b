// Ports of the relay: the sockets, the bounded backlog of frames for a slow guest, and
// the counters. Called by relay.c only; single thread, no locks.
//
// A unix datagram socket blocks its sender when the receiver is full, so nothing is
// lost there. UDP drops in silence: before the receiver's buffer fills we look at its
// length in /proc/net/udp and pause. (QEMU's own sends to a UDP port of ours meet a
// buffer that is as large as the system allows.)
#define _GNU_SOURCE
#include "port.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKET_BUFFER_BYTES (8 << 20)
#define UDP_LOOK_EVERY 16u              // frames between two looks at the receiver
#define UDP_QUEUE_BYTES_HIGH (96u << 10) // under half of Linux's default buffer
#define UDP_STALL_NS 200000u

static int socket_make(int family) {
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int bytes = SOCKET_BUFFER_BYTES;
    int names[] = {SO_RCVBUF, SO_SNDBUF, SO_RCVBUFFORCE, SO_SNDBUFFORCE};
    for (unsigned i = 0; i < 4; i++) // the FORCE ones work for root only: best effort
        (void)setsockopt(fd, SOL_SOCKET, names[i], &bytes, sizeof(bytes));
    return fd;
}

static bool open_failed(const char *what) {
    fprintf(stderr, "relay: cannot open %s: %s\n", what, strerror(errno));
    return false;
}

static bool address_set(struct sockaddr_un *address, const char *path) {
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof(address->sun_path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(address->sun_path, path, strlen(path) + 1);
    return true;
}

/**
 * Opens a port on unix datagram sockets: receives on the path `local` (made anew) and
 * sends to `remote`, which need not exist yet. Sending has a socket of its own, so that
 * a guest which was killed and started again is found by a new connect.
 */
bool port_open_unix(struct port *port, const char *local, const char *remote) {
    struct sockaddr_un address = {0};
    memset(port, 0, sizeof(*port));
    port->tail = &port->head;
    const char *base = strrchr(local, '/');
    snprintf(port->name, sizeof(port->name), "%s", base ? base + 1 : local);
    port->rx_fd = socket_make(AF_UNIX);
    port->tx_fd = socket_make(AF_UNIX);
    if (port->rx_fd < 0 || port->tx_fd < 0)
        return open_failed(local);
    if (!address_set(&address, local) || !address_set(&port->remote, remote))
        return open_failed(local);
    unlink(local);
    if (bind(port->rx_fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return open_failed(local);
    return true;
}

/**
 * Opens a port on UDP of the loopback interface: receives on `number`, sends to
 * `number` + 1 (both host order).
 */
bool port_open_udp(struct port *port, uint16_t number) {
    memset(port, 0, sizeof(*port));
    port->tail = &port->head;
    snprintf(port->name, sizeof(port->name), "udp%u", number);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(number)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    port->rx_fd = port->tx_fd = socket_make(AF_INET);
    if (port->rx_fd < 0 || bind(port->rx_fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return open_failed(port->name);
    port->udp = port->connected = true;
    port->udp_remote = (uint16_t)(number + 1);
    return true;
}

struct udp_state {
    bool found;
    unsigned long queued_bytes, drops;
};

// Looks the socket bound to `number` up in /proc/net/udp.
static struct udp_state udp_look(uint16_t number) {
    struct udp_state state = {0};
    char line[512];
    FILE *file = fopen("/proc/net/udp", "re");
    while (file && fgets(line, sizeof(line), file)) {
        unsigned port;
        unsigned long queued, drops;
        if (sscanf(line, " %*u: %*x:%x %*x:%*x %*x %*x:%lx %*x:%*x %*x %*u %*u %*u %*d %*s %lu",
                   &port, &queued, &drops) == 3 && port == number)
            state = (struct udp_state){true, queued, drops};
    }
    if (file)
        fclose(file);
    return state;
}

/** Counts the frames that the host's kernel dropped at either end of a UDP port. */
uint64_t port_udp_drops(const struct port *port) {
    if (!port->udp)
        return 0;
    return udp_look(port->udp_remote).drops + udp_look((uint16_t)(port->udp_remote - 1)).drops;
}

// True if the receiver behind a UDP port has no room just now.
static bool udp_must_wait(struct port *port, uint64_t now_ns) {
    if (now_ns < port->stalled_until_ns)
        return true;
    if (port->sent_since_look < UDP_LOOK_EVERY)
        return false;
    struct udp_state state = udp_look(port->udp_remote);
    if (state.found && state.queued_bytes > UDP_QUEUE_BYTES_HIGH) {
        port->stalled_until_ns = now_ns + UDP_STALL_NS;
        return true;
    }
    port->sent_since_look = 0;
    return false;
}

static ssize_t send_udp(struct port *port, const struct frame *frame) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port->udp_remote)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    port->sent_since_look++;
    return sendto(port->tx_fd, frame->data, frame->length, 0, (struct sockaddr *)&address,
                  sizeof(address));
}

// Sends on a unix port, connecting first (again, if the guest was restarted).
static ssize_t send_unix(struct port *port, const struct frame *frame) {
    for (int attempt = 0; attempt < 2; attempt++) {
        if (!port->connected &&
            connect(port->tx_fd, (struct sockaddr *)&port->remote, sizeof(port->remote)) < 0)
            return -1;
        port->connected = true;
        ssize_t sent = send(port->tx_fd, frame->data, frame->length, MSG_NOSIGNAL);
        if (sent >= 0 || errno == EAGAIN || errno == ENOBUFS)
            return sent;
        port->connected = false;
    }
    return -1;
}

// Tries to send one frame. False: the guest is full, keep the frame. Frees it otherwise.
static bool frame_try(struct port *port, struct frame *frame, uint64_t now_ns) {
    if (port->udp && udp_must_wait(port, now_ns))
        return false;
    ssize_t sent = port->udp ? send_udp(port, frame) : send_unix(port, frame);
    if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == EINTR))
        return false;
    if (sent >= 0) {
        port->frames_out++;
        port->bytes_out += frame->length;
    } else if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTCONN) {
        port->unplugged++;
    } else {
        port->dropped++;
    }
    free(frame);
    return true;
}

/** Sends the backlog in order until it is empty or the guest is full. */
void port_flush(struct port *port, uint64_t now_ns) {
    while (port->head) {
        struct frame *frame = port->head, *next = frame->next;
        if (!frame_try(port, frame, now_ns))
            return;
        port->head = next;
        port->backlog--;
    }
    port->tail = &port->head;
}

/**
 * Sends a frame, or keeps it in the backlog if the guest is full; drops and counts it
 * if PORT_BACKLOG_MAX frames wait already. Takes the frame over in every case.
 */
void port_send(struct port *port, struct frame *frame, uint64_t now_ns) {
    frame->next = NULL;
    if (!port->head && frame_try(port, frame, now_ns))
        return;
    if (port->backlog >= PORT_BACKLOG_MAX) {
        port->dropped++;
        free(frame);
        return;
    }
    *port->tail = frame;
    port->tail = &frame->next;
    port->backlog++;
}
