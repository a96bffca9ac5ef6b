// share NODES ROUNDS KIB [FILE]: one process on each node and a mapping that they share, without
// a name or of FILE. Each round they meet (atomics in the mapping), each writes its stripe, they
// meet, each checks all stripes, adds to one counter many times, takes its turn by a futex, and
// moves to the next node.
// With FILE the parent also looks at the same bytes by read() and changes them by write().
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node.h"

#define PAGE 4096u
#define ADDS 200
enum { FUTEX_WAIT_WORD, FUTEX_WAKE_WORD };   // not private: the word is in shared memory

struct top {
    _Atomic uint32_t arrived, round, failed;
    _Atomic uint64_t sum;
    _Atomic uint32_t turn;
    char pad[PAGE - 32];
};

static struct top *top;
static unsigned char *data;
static int workers;
static size_t bytes;

static void fail(const char *what, long a, long b) {
    printf("not ok %s: %ld %ld (%s)\n", what, a, b, strerror(errno));
    fflush(stdout);
    if (top) top->failed = 1;
    _exit(1);
}

static void go(int node) {
    const int error = node_go(node);
    if (error) fail("move", node, error);
}

static void meet(void) {
    const uint32_t round = top->round;
    if (atomic_fetch_add(&top->arrived, 1) + 1 == (uint32_t)workers) {
        top->arrived = 0;
        top->round = round + 1;
        return;
    }
    while (top->round == round) {
        if (top->failed) _exit(1);
        usleep(5000);
    }
}

// Each round the workers go on one after the other, each woken by the one before it.
static void take_turn(int me, int round) {
    const uint32_t mine = (uint32_t)(round * workers + me);
    for (uint32_t now; (now = top->turn) != mine;)
        syscall(SYS_futex, &top->turn, FUTEX_WAIT_WORD, now, NULL, NULL, 0);
    top->turn = mine + 1;
    syscall(SYS_futex, &top->turn, FUTEX_WAKE_WORD, workers, NULL, NULL, 0);
}

static unsigned char value(int worker, int round, size_t at) {
    return (unsigned char)(worker * 61 + round * 7 + (int)(at / 64) + 1);
}

static void work(int me, int nodes, int rounds) {
    const size_t stripe = bytes / (size_t)workers / 64 * 64;
    for (int round = 0; round < rounds; round++) {
        go((me + round) % nodes);
        meet();
        for (size_t i = 0; i < stripe; i += 64)
            memset(data + (size_t)me * stripe + i, value(me, round, i), 64);
        meet();
        for (int w = 0; w < workers; w++)
            for (size_t i = 0; i < stripe; i += 64) {
                const unsigned char *at = data + (size_t)w * stripe + i;
                if (*at != value(w, round, i) || at[63] != *at) fail("byte", w, (long)i);
            }
        for (int i = 0; i < ADDS; i++) atomic_fetch_add(&top->sum, (uint64_t)(i % 3));
        take_turn(me, round);
        meet();
    }
    _exit(0);
}

// The mapping and the file are the same bytes, whoever changed them last.
static void look_by_calls(int fd) {
    unsigned char page[PAGE], *got = malloc(bytes);
    for (size_t at = 0; at < bytes;) {
        const ssize_t n = pread(fd, got + at, bytes - at, (off_t)(PAGE + at));
        if (n <= 0) fail("pread", (long)at, n);
        at += (size_t)n;
    }
    if (memcmp(got, data, bytes) != 0) fail("the file's bytes", got[0], data[0]);
    free(got);
    memset(page, 0xa5, sizeof page);
    if (pwrite(fd, page, sizeof page, PAGE) != (ssize_t)sizeof page) fail("pwrite", 0, 0);
    if (memcmp(data, page, sizeof page) != 0) fail("write() seen in the mapping", data[0], 0xa5);
    data[1] = 0x5a;
    if (pread(fd, page, 2, PAGE) != 2 || page[1] != 0x5a) fail("store seen by read()", page[1], 0);
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    const int nodes = atoi(argv[1]), rounds = atoi(argv[2]);
    int fd = -1, status, bad = 0;
    workers = nodes;
    bytes = (size_t)atoi(argv[3]) * 1024;
    if (argc > 4) {
        fd = open(argv[4], O_RDWR | O_CREAT | O_TRUNC, 0600);
        if (fd < 0 || ftruncate(fd, (off_t)(PAGE + bytes)) != 0) fail("file", fd, errno);
    }
    top = mmap(NULL, PAGE + bytes, PROT_READ | PROT_WRITE,
               MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
    if (top == MAP_FAILED) fail("mmap", 0, errno);
    data = (unsigned char *)top + PAGE;
    for (int i = 0; i < workers; i++)
        if (fork() == 0) work(i, nodes, rounds);
    for (int i = 0; i < workers; i++) {
        if (wait(&status) < 0) fail("wait", i, errno);
        bad |= status;
    }
    if (bad) fail("a worker", bad, 0);
    uint64_t sum = 0;
    for (int i = 0; i < ADDS; i++) sum += (uint64_t)(i % 3);
    if (top->sum != sum * (uint64_t)workers * (uint64_t)rounds) fail("sum", (long)top->sum, 0);
    if (fd >= 0) {
        go(1);
        look_by_calls(fd);
        go(0);
        look_by_calls(fd);
    }
    printf("shared %d rounds of %d\n", rounds, workers);
    return 0;
}
