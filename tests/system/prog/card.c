// What shell commands cannot do with a network card's raw frames. Prints one line each;
// cards.py compares. A wait that never ends is found by the launcher's time limit.
//   card exchange A B COUNT [NODE]  frames of many lengths from A to B and back, each compared;
//                                   half-way this process moves to NODE
//   card drops TO FROM COUNT        COUNT frames that nobody reads, then what was kept
//   card errors PATH                what a read, a write, an open, a poll refuse
//   card forge PATH MAC0 MAC1       which frames may not be sent: errors by name
//   card hidden CARRIER FROM FILE   reads FILE of the other node, and CARRIER sees none of it
//   card answer PATH HOSTMAC        tells the host to begin, and turns its frames around until
//                                   it says good-bye
//   card late TO FROM               a read that waits before the frame comes; both copies of it
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TYPE 0x88b6                              // local experimental
#define HEADER 14
#define FRAME_MAX 9100
#define OPENS 8
static unsigned char sent[FRAME_MAX], got[FRAME_MAX];

static void die(const char *what) {
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

static int card_open(const char *path, int flags) {
    int fd = open(path, flags);
    if (fd < 0) die(path);
    return fd;
}

// A line of the card's status.
static char *status_of(const char *path, const char *key) {
    static char text[2048], name[256];
    snprintf(name, sizeof name, "%s.status", path);
    int fd = card_open(name, O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) die(name);
    text[n] = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        size_t len = strlen(key);
        if (!strncmp(line, key, len) && line[len] == ':') return line + len + 2;
    }
    die(key);
    return NULL;
}

static void mac_parse(const char *text, unsigned char *mac) {
    for (int i = 0; i < 6; i++) mac[i] = (unsigned char)strtoul(text + 3 * i, NULL, 16);
}

static unsigned long figure(const char *path, const char *key) {
    return strtoul(status_of(path, key), NULL, 10);
}

static void header(unsigned char *f, const char *to, const char *from, unsigned type) {
    mac_parse(status_of(to, "mac"), f);
    mac_parse(status_of(from, "mac"), f + 6);
    f[12] = (unsigned char)(type >> 8);
    f[13] = (unsigned char)type;
}

static void readable_wait(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, -1) != 1 || !(p.revents & POLLIN)) die("poll");
}

// The next frame of our type.
static ssize_t next(int fd) {
    for (;;) {
        readable_wait(fd);
        ssize_t n = read(fd, got, sizeof got);
        if (n < 0) die("read");
        if (n >= HEADER && got[12] == TYPE >> 8 && got[13] == (TYPE & 255)) return n;
    }
}

static int pass(int from, int to, int length, int seed) {
    for (int i = HEADER; i < length; i++) sent[i] = (unsigned char)(seed * 31 + i * 7);
    if (write(from, sent, (size_t)length) != length) die("write");
    return next(to) == length && !memcmp(sent, got, (size_t)length);
}

static int exchange(const char *a, const char *b, int count, const char *node) {
    int fd[2] = {card_open(a, O_RDWR), card_open(b, O_RDWR)}, good = 0;
    int mtu = (int)figure(a, "mtu");
    for (int way = 0; way < 2; way++) {
        header(sent, way ? a : b, way ? b : a, TYPE);
        for (int i = 0; i < count; i++)
            good += pass(fd[way], fd[!way], 60 + (mtu + HEADER - 60) * i / (count - 1), i);
        if (way || !node) continue;
        int move = card_open("/proc/self/node", O_WRONLY);
        if (write(move, node, strlen(node)) < 0) die("move");
        close(move);
    }
    printf("exchange %d of %d\n", good, 2 * count);
    return 0;
}

static int drops(const char *to, const char *from, int count) {
    int in = card_open(to, O_RDONLY | O_NONBLOCK), out = card_open(from, O_WRONLY), kept = 0;
    unsigned long before = figure(to, "raw_received"), dropped = figure(to, "raw_dropped");
    unsigned long truncated = figure(to, "raw_truncated");
    header(sent, to, from, TYPE);
    for (int i = 0; i < count; i++) {
        sent[HEADER] = (unsigned char)i;
        if (write(out, sent, 60) != 60) die("write");
    }
    if (fsync(out)) die("fsync");
    while (figure(to, "raw_received") - before < (unsigned long)count) poll(NULL, 0, 10);
    int ordered = 1;
    for (ssize_t n; (n = read(in, got, 20)) > 0; kept++)
        ordered &= got[HEADER] == kept && n == 20;
    printf("kept %d%s, %s, dropped %lu, truncated %lu\n", kept, ordered ? " in order" : "",
           strerror(errno), figure(to, "raw_dropped") - dropped,
           figure(to, "raw_truncated") - truncated);
    return 0;
}

static const char *said(ssize_t n) { return n < 0 ? strerror(errno) : "good"; }

static int errors(const char *path) {
    int mtu = (int)figure(path, "mtu"), fd[OPENS + 1];
    int rw = card_open(path, O_RDWR | O_NONBLOCK), w = card_open(path, O_WRONLY);
    struct pollfd p = {.fd = rw, .events = POLLIN | POLLOUT};
    header(sent, path, path, TYPE);
    printf("short %s; ", said(write(rw, sent, HEADER - 1)));
    printf("long %s; ", said(write(rw, sent, (size_t)mtu + HEADER + 1)));
    printf("longest %s; ", said(write(rw, sent, (size_t)mtu + HEADER)));
    printf("empty %s; ", said(read(rw, got, sizeof got)));
    printf("unread %s; ", said(read(w, got, sizeof got)));
    int ready = poll(&p, 1, 0);
    printf("poll %d %s; ", ready, p.revents == POLLOUT ? "out" : "other");
    printf("seek %s; ", said(lseek(rw, 0, SEEK_SET)));
    close(rw);
    int opened = 0;
    while (opened <= OPENS && (fd[opened] = open(path, O_RDONLY)) >= 0) opened++;
    printf("opens %d then %s; ", opened, strerror(errno));
    for (int i = 0; i < opened; i++) close(fd[i]);
    while ((rw = open(path, O_RDONLY)) < 0 && errno == EBUSY) poll(NULL, 0, 1);
    printf("again %s\n", said(rw));
    return 0;
}

static void put16(int at, unsigned v) {
    sent[at] = (unsigned char)(v >> 8);
    sent[at + 1] = (unsigned char)v;
}

static void udp4(int at, unsigned from_host, unsigned to_host, unsigned from, unsigned to) {
    static const unsigned char ip[20] = {0x45, 0, 0, 46, 0, 1, 0, 0, 64, 17, 0, 0, 10, 7, 0, 0, 10,
                                         7, 0, 0};
    put16(at - 2, 0x0800);
    memcpy(sent + at, ip, sizeof ip);
    sent[at + 15] = (unsigned char)from_host;
    sent[at + 19] = (unsigned char)to_host;
    put16(at + 20, from);
    put16(at + 22, to);
}

static void arp(unsigned host, const unsigned char *mac) {
    static const unsigned char body[8] = {0, 1, 8, 0, 6, 4, 0, 2};
    put16(12, 0x0806);
    memcpy(sent + HEADER, body, sizeof body);
    memcpy(sent + HEADER + 8, mac, 6);
    memcpy(sent + HEADER + 14, (unsigned char[]){10, 7, 0, (unsigned char)host}, 4);
}

// Hosts 1 and 2 are nodes 0 and 1 of the cluster, 77 and 78 nobody.
static int forge(const char *path, const char *mac0, const char *mac1) {
    int fd = card_open(path, O_WRONLY);
    unsigned char own[6], other[6], peer[6];
    mac_parse(status_of(path, "mac"), own);
    mac_parse(mac0, other);
    mac_parse(mac1, peer);
    if (!memcmp(own, other, 6)) memcpy(other, peer, 6);
    static const char *const names[] = {"plain", "roce", "roce-from", "roce-strangers", "roce-vlan",
                                        "roce-v6", "roce-1", "mac", "arp", "arp-own", "ip"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        memset(sent, 0, 80);
        memcpy(sent, peer, 6);
        memcpy(sent + 6, own, 6);
        switch (i) {
        case 0: udp4(HEADER, 77, 78, 5000, 5001); break;
        case 1: udp4(HEADER, 77, 2, 49152, 4791); break;
        case 2: udp4(HEADER, 77, 1, 4791, 9); break;
        case 3: udp4(HEADER, 77, 78, 49152, 4791); break;
        case 4: put16(12, 0x8100); udp4(HEADER + 4, 77, 2, 49152, 4791); break;
        case 5:
            put16(12, 0x86dd), sent[HEADER] = 0x60, sent[HEADER + 6] = 17;
            put16(HEADER + 42, 4791);
            break;
        case 6: put16(12, 0x8915); break;
        case 7: put16(12, TYPE), memcpy(sent + 6, other, 6); break;
        case 8: arp(memcmp(peer, other, 6) ? 1 : 2, own); break;
        case 9: arp(77, own); break;
        default: udp4(HEADER, memcmp(peer, other, 6) ? 1 : 2, 78, 5000, 5001); break;
        }
        printf("%s%s %s", i ? "; " : "", names[i], said(write(fd, sent, 80)));
    }
    printf("\n");
    return 0;
}

static int hidden(const char *carrier, const char *from, const char *file) {
    int in = card_open(carrier, O_RDONLY | O_NONBLOCK), out = card_open(from, O_WRONLY);
    unsigned long before = figure(carrier, "raw_hidden");
    for (int i = 0; i < 50; i++) {
        int fd = card_open(file, O_RDONLY);
        while (read(fd, got, sizeof got) > 0) continue;
        close(fd);
    }
    header(sent, carrier, from, TYPE);
    if (write(out, sent, 60) != 60) die("write");
    readable_wait(in);
    int seen = 0, ours = 0;
    for (ssize_t n; (n = read(in, got, sizeof got)) > 0; seen++) ours += !memcmp(got, sent, 60);
    printf("seen %d, ours %d, hidden %s\n", seen, ours,
           figure(carrier, "raw_hidden") - before > 50 ? "many" : "few");
    return 0;
}

static int answer(const char *path, const char *host) {
    int fd = card_open(path, O_RDWR);
    unsigned char own[6];
    mac_parse(status_of(path, "mac"), own);
    header(sent, path, path, TYPE);
    mac_parse(host, sent);
    if (write(fd, sent, 60) != 60) die("write");
    for (;;) {
        ssize_t n = next(fd);
        if (got[HEADER] == 0xff && got[HEADER + 1] == 0xee) break;
        memcpy(got, got + 6, 6);
        memcpy(got + 6, own, 6);
        got[HEADER] ^= 255;
        if (write(fd, got, (size_t)n) != n) die("write");
    }
    printf("answered\n");
    return 0;
}

static int late(const char *to, const char *from) {
    int in[2] = {card_open(to, O_RDONLY), card_open(to, O_RDONLY)}, pipes[2], good = 0;
    if (pipe(pipes)) die("pipe");
    for (int i = 0; i < 2; i++) {
        if (fork()) continue;
        if (write(pipes[1], "x", 1) != 1) die("pipe");
        _exit(read(in[i], got, sizeof got) == 60 && got[HEADER] == 99 ? 0 : 1);
    }
    for (int i = 0; i < 2; i++)
        if (read(pipes[0], got, 1) != 1) die("pipe");
    int out = card_open(from, O_WRONLY);
    header(sent, to, from, TYPE);
    sent[HEADER] = 99;
    if (write(out, sent, 60) != 60) die("write");
    for (int i = 0, status; i < 2; i++) good += wait(&status) > 0 && status == 0;
    printf("late %d of 2\n", good);
    return 0;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    const char *what = argc > 2 ? argv[1] : "";
    if (!strcmp(what, "exchange") && argc >= 5)
        return exchange(argv[2], argv[3], atoi(argv[4]), argv[5]);
    if (!strcmp(what, "drops") && argc == 5) return drops(argv[2], argv[3], atoi(argv[4]));
    if (!strcmp(what, "errors")) return errors(argv[2]);
    if (!strcmp(what, "forge") && argc == 5) return forge(argv[2], argv[3], argv[4]);
    if (!strcmp(what, "hidden") && argc == 5) return hidden(argv[2], argv[3], argv[4]);
    if (!strcmp(what, "answer") && argc == 4) return answer(argv[2], argv[3]);
    if (!strcmp(what, "late") && argc == 4) return late(argv[2], argv[3]);
    fprintf(stderr, "card: see the head of card.c\n");
    return 2;
}
