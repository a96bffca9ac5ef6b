// The Ethernet between the guests: a learning switch in user space, with capture and
// chaos in one. Each guest's QEMU (-netdev dgram) is a port; see usage() for options.
// One thread, one poll loop; every queue is bounded and every drop is counted.
//
// Way of a frame: received -> counted, captured -> chaos decides (RoCEv2 only) -> held
// back if late -> switched -> sent, or kept in the backlog of a guest that is full.
// Prints "ready" on stdout when all sockets are open. SIGTERM or SIGINT ends it and
// writes the statistics; SIGUSR1 writes them without ending; SIGUSR2 cuts the ports named
// by --cut off from the others, and once more joins them again.
#define _GNU_SOURCE
#include "chaos.h"
#include "pcap.h"
#include "port.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORTS_MAX 64
#define STATIONS_MAX 1024u
#define HELD_MAX 65536u
#define BURST_MAX 64        // frames taken from one port before the next has its turn
#define REORDER_HOLD_NS 4000000u
#define BACKLOG_POLL_MS 1

struct station {
    uint8_t mac[6];
    int port;
};

static struct relay {
    struct port ports[PORTS_MAX];
    int port_count;
    struct station stations[STATIONS_MAX];
    uint32_t station_count;
    struct chaos chaos;
    FILE *pcap;
    const char *stats_path;
    struct frame *held;      // late and delayed frames, in order of arrival
    uint32_t held_count;
    uint64_t cut_mask;       // ports on one side of the cut
    bool cut;
    uint64_t cut_frames;
    uint64_t lost, doubled, reordered, corrupted, roce_frames, runts, pcap_errors;
} relay;

static volatile sig_atomic_t stop_wanted, stats_wanted, cut_toggle_wanted;

static void on_signal(int number) {
    if (number == SIGUSR1)
        stats_wanted = 1;
    else if (number == SIGUSR2)
        cut_toggle_wanted = 1;
    else
        stop_wanted = 1;
}

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct frame *frame_make(const uint8_t *data, uint32_t length, int port_in) {
    struct frame *frame = malloc(sizeof(*frame) + length);
    if (!frame) {
        fprintf(stderr, "relay: out of memory\n");
        exit(1);
    }
    *frame = (struct frame){.flow = FLOW_NONE, .port_in = port_in, .length = length};
    memcpy(frame->data, data, length);
    return frame;
}

// Port behind which a station was last seen, or -1.
static int station_port(const uint8_t *mac) {
    for (uint32_t i = 0; i < relay.station_count; i++)
        if (!memcmp(relay.stations[i].mac, mac, 6))
            return relay.stations[i].port;
    return -1;
}

static void station_learn(const uint8_t *mac, int port) {
    if (mac[0] & 1)
        return;
    for (uint32_t i = 0; i < relay.station_count; i++) {
        if (!memcmp(relay.stations[i].mac, mac, 6)) {
            relay.stations[i].port = port;
            return;
        }
    }
    if (relay.station_count == STATIONS_MAX)
        return; // frames for it are flooded: slower, not wrong
    struct station *station = &relay.stations[relay.station_count++];
    memcpy(station->mac, mac, 6);
    station->port = port;
}

// True: the frame does not pass from `from` to `to`, for they lie on two sides of the cut.
static bool is_cut(int from, int to) {
    bool apart = relay.cut && ((relay.cut_mask >> from ^ relay.cut_mask >> to) & 1);
    relay.cut_frames += apart;
    return apart;
}

// Sends a frame to the port of its target, or to all others if that is not known.
static void frame_switch(struct frame *frame, uint64_t now_ns) {
    int target = frame->data[0] & 1 ? -1 : station_port(frame->data);
    if (target >= 0 && target != frame->port_in && !is_cut(frame->port_in, target)) {
        port_send(&relay.ports[target], frame, now_ns);
        return;
    }
    for (int i = 0; target < 0 && i < relay.port_count; i++)
        if (i != frame->port_in && !is_cut(frame->port_in, i))
            port_send(&relay.ports[i], frame_make(frame->data, frame->length, frame->port_in),
                      now_ns);
    free(frame);
}

// Lets go every held frame whose time has come or that enough frames have passed.
static void held_release(uint64_t now_ns) {
    struct frame **link = &relay.held;
    while (*link) {
        struct frame *frame = *link;
        bool passed = frame->behind == 0 && !relay.chaos.delay_ns;
        if (now_ns < frame->due_ns && !passed) {
            link = &frame->next;
            continue;
        }
        *link = frame->next;
        relay.held_count--;
        frame_switch(frame, now_ns);
    }
}

static void frame_hold(struct frame *frame) {
    struct frame **link = &relay.held;
    while (*link && (*link)->due_ns <= frame->due_ns)
        link = &(*link)->next;
    frame->next = *link;
    *link = frame;
    relay.held_count++;
}

// A frame of a flow goes on: those held behind it are one frame nearer to their turn.
static void frame_passes(struct frame *frame, uint64_t now_ns) {
    uint32_t flow = frame->flow;
    if (relay.chaos.delay_ns && flow != FLOW_NONE && relay.held_count < HELD_MAX) {
        frame->due_ns = now_ns + relay.chaos.delay_ns;
        frame_hold(frame);
    } else {
        frame_switch(frame, now_ns);
    }
    for (struct frame *held = relay.held; held && flow != FLOW_NONE; held = held->next)
        if (held->flow == flow && held->behind)
            held->behind--;
}

static void frame_received(int port_in, uint8_t *data, uint32_t length, uint64_t now_ns) {
    struct port *port = &relay.ports[port_in];
    if (length < 14) {
        relay.runts++;
        return;
    }
    port->frames_in++;
    port->bytes_in += length;
    if (relay.pcap && !pcap_write(relay.pcap, clock_ns(CLOCK_REALTIME), data, length))
        relay.pcap_errors++;
    station_learn(data + 6, port_in);
    struct chaos_verdict verdict = chaos_judge(&relay.chaos, data, length);
    relay.roce_frames += verdict.roce;
    if (verdict.lost) {
        relay.lost++;
        return;
    }
    struct frame *frame = frame_make(data, length, port_in);
    frame->flow = verdict.flow;
    if (verdict.doubled) {
        relay.doubled++;
        struct frame *twin = frame_make(data, length, port_in);
        twin->flow = verdict.flow;
        frame_passes(twin, now_ns);
    }
    if (verdict.flips) {
        relay.corrupted++;
        chaos_corrupt(&verdict, frame->data, length);
    }
    if (verdict.behind && relay.held_count < HELD_MAX) {
        relay.reordered++;
        frame->behind = verdict.behind;
        frame->due_ns = now_ns + relay.chaos.delay_ns + REORDER_HOLD_NS;
        frame_hold(frame);
    } else {
        frame_passes(frame, now_ns);
    }
    held_release(now_ns);
}

static void port_drain(int index) {
    static uint8_t data[FRAME_BYTES_MAX];
    for (int i = 0; i < BURST_MAX; i++) {
        ssize_t length = recv(relay.ports[index].rx_fd, data, sizeof(data), 0);
        if (length < 0)
            return;
        frame_received(index, data, (uint32_t)length, clock_ns(CLOCK_MONOTONIC));
    }
}

static uint64_t port_dropped(const struct port *port) {
    return port->dropped + port_udp_drops(port);
}

// Writes the counters as JSON: the file appears whole or not at all.
static void stats_write(void) {
    char temporary[4096];
    if (!relay.stats_path)
        return;
    snprintf(temporary, sizeof(temporary), "%s.new", relay.stats_path);
    FILE *file = fopen(temporary, "we");
    if (!file) {
        fprintf(stderr, "relay: cannot write %s: %s\n", temporary, strerror(errno));
        return;
    }
    uint64_t dropped = relay.runts;
    fprintf(file, "{\"ports\": [");
    for (int i = 0; i < relay.port_count; i++) {
        const struct port *port = &relay.ports[i];
        uint64_t port_drops = port_dropped(port);
        dropped += port_drops;
        fprintf(file, "%s\n  {\"name\": \"%s\", \"frames_in\": %lu, \"frames_out\": %lu, "
                "\"bytes_in\": %lu, \"bytes_out\": %lu, \"unplugged\": %lu, \"dropped\": %lu}",
                i ? "," : "", port->name, port->frames_in, port->frames_out, port->bytes_in,
                port->bytes_out, port->unplugged, port_drops);
    }
    fprintf(file, "],\n \"roce_frames\": %lu, \"lost\": %lu, \"doubled\": %lu, \"reordered\": %lu, "
            "\"corrupted\": %lu, "
            "\"cut\": %lu,\n \"dropped\": %lu, \"runts\": %lu, \"pcap_errors\": %lu}\n",
            relay.roce_frames, relay.lost, relay.doubled, relay.reordered, relay.corrupted,
            relay.cut_frames,
            dropped, relay.runts, relay.pcap_errors);
    if (fclose(file) == 0)
        rename(temporary, relay.stats_path);
}

static _Noreturn void usage(void) {
    fprintf(stderr, "usage: relay [--unix LOCAL REMOTE]... [--udp PORT]... [--pcap FILE] "
                    "[--stats FILE] [--cut PORTS]\n"
                    "             [--chaos loss=,dup=,reorder=,corrupt=,delay=,seed=]\n");
    exit(2);
}

static bool port_add(const char *kind, const char *first, const char *second) {
    if (relay.port_count == PORTS_MAX) {
        fprintf(stderr, "relay: more than %d ports\n", PORTS_MAX);
        return false;
    }
    struct port *port = &relay.ports[relay.port_count++];
    if (!strcmp(kind, "--unix"))
        return port_open_unix(port, first, second);
    unsigned long number = strtoul(first, NULL, 10);
    if (number < 1 || number > 65534)
        usage();
    return port_open_udp(port, (uint16_t)number);
}

static void options_read(int count, char **words) {
    for (int i = 1; i < count; i += 2) {
        const char *name = words[i];
        if (i + 1 >= count)
            usage();
        bool good = true;
        if (!strcmp(name, "--unix")) {
            if (i + 2 >= count)
                usage();
            good = port_add(name, words[i + 1], words[i + 2]);
            i++;
        } else if (!strcmp(name, "--udp")) {
            good = port_add(name, words[i + 1], NULL);
        } else if (!strcmp(name, "--pcap")) {
            good = (relay.pcap = pcap_open(words[i + 1])) != NULL;
        } else if (!strcmp(name, "--stats")) {
            relay.stats_path = words[i + 1];
        } else if (!strcmp(name, "--cut")) {
            relay.cut_mask = strtoull(words[i + 1], NULL, 0);
        } else if (!strcmp(name, "--chaos")) {
            good = chaos_parse(&relay.chaos, words[i + 1]);
        } else {
            usage();
        }
        if (!good)
            exit(1);
    }
    if (!relay.port_count)
        usage();
}

// How long the next poll may sleep, in nanoseconds; -1 for ever.
static int64_t sleep_ns(uint64_t now_ns) {
    int64_t wait = -1;
    if (relay.held)
        wait = relay.held->due_ns > now_ns ? (int64_t)(relay.held->due_ns - now_ns) : 0;
    for (int i = 0; i < relay.port_count; i++)
        if (relay.ports[i].head && (wait < 0 || wait > BACKLOG_POLL_MS * 1000000))
            wait = relay.ports[i].udp ? 200000 : BACKLOG_POLL_MS * 1000000;
    return wait;
}

static void loop(const sigset_t *unblocked) {
    struct pollfd polls[PORTS_MAX * 2];
    while (!stop_wanted) {
        nfds_t count = 0;
        for (int i = 0; i < relay.port_count; i++)
            polls[count++] = (struct pollfd){.fd = relay.ports[i].rx_fd, .events = POLLIN};
        for (int i = 0; i < relay.port_count; i++)
            if (relay.ports[i].head && !relay.ports[i].udp)
                polls[count++] = (struct pollfd){.fd = relay.ports[i].tx_fd, .events = POLLOUT};
        int64_t wait = sleep_ns(clock_ns(CLOCK_MONOTONIC));
        struct timespec pause = {wait / 1000000000, wait % 1000000000};
        if (ppoll(polls, count, wait < 0 ? NULL : &pause, unblocked) < 0 && errno != EINTR) {
            perror("relay: poll");
            exit(1);
        }
        for (int i = 0; i < relay.port_count; i++)
            port_drain(i);
        uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
        held_release(now_ns);
        for (int i = 0; i < relay.port_count; i++)
            if (relay.ports[i].head)
                port_flush(&relay.ports[i], now_ns);
        if (cut_toggle_wanted) {
            cut_toggle_wanted = 0;
            relay.cut = !relay.cut;
        }
        if (stats_wanted) {
            stats_wanted = 0;
            if (relay.pcap)
                fflush(relay.pcap);
            stats_write();
        }
    }
}

int main(int count, char **words) {
    sigset_t blocked, unblocked;
    struct sigaction action = {.sa_handler = on_signal};
    const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
    options_read(count, words);
    sigemptyset(&blocked);
    for (unsigned i = 0; i < 4; i++) {
        sigaddset(&blocked, signals[i]);
        sigaction(signals[i], &action, NULL);
    }
    sigprocmask(SIG_BLOCK, &blocked, &unblocked); // delivered within ppoll only
    for (unsigned i = 0; i < 4; i++)
        sigdelset(&unblocked, signals[i]);
    printf("ready\n");
    fflush(stdout);
    loop(&unblocked);
    if (relay.pcap && fclose(relay.pcap))
        relay.pcap_errors++;
    stats_write();
    return 0;
}
