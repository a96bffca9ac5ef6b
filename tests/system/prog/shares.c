// Two processes that only compute, on one CPU or two: shares NICE [NODE]. The second one has the
// nice value NICE; all go to NODE first, where one is given, and begin together. What each got is
// its CPU time as the kernel counts it: where the host gives a virtual CPU no time, that passes
// as well, and the kernel shares out what it sees. They end once both together have had TURNS
// times the longest turn that there was, so that one turn more or less decides nothing. Printed:
// CPU time of each and its least for a piece of work (us), on which CPUs they were, and the longest
// that a piece took of either by the clock (us): with a CPU for each it takes longer than two time
// slices only where the host gave one of the virtual CPUs no time.
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node.h"

#define PIECE 200000u                // steps of one piece of work
#define SLICE_NS 10000000ull         // FAIR_SLICE_NS
#define TURNS 50u

// One line each: they are written by different CPUs.
struct share {
    _Alignas(64) volatile int here, cpu;
    volatile uint64_t used_ns, least_ns, most_ns;    // in all; of one piece
    volatile uint64_t wall_ns;       // the longest piece, by the clock
};

static uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t)) _exit(5);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void compute(struct share *s, int who) {
    volatile uint64_t x = 1;
    s[who].here = 1;
    while (!s[0].here || !s[1].here) usleep(1000);
    const uint64_t start = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t wall = clock_ns(CLOCK_MONOTONIC);
    for (uint64_t before = start, now; ; before = now) {
        for (unsigned i = 0; i < PIECE; i++) x = x * 6364136223846793005u + 1;
        now = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        const uint64_t took = now - before, then = wall;
        wall = clock_ns(CLOCK_MONOTONIC);
        if (wall - then > s[who].wall_ns) s[who].wall_ns = wall - then;
        if (took > s[who].most_ns) s[who].most_ns = took;
        if (took < s[who].least_ns || s[who].least_ns == 0) s[who].least_ns = took;
        s[who].cpu = sched_getcpu();
        s[who].used_ns = now - start;
    }
}

static void go_to(const char *node) {
    if (node && node_go(atoi(node)) != 0) _exit(4);
}

static uint64_t max(uint64_t a, uint64_t b) { return a > b ? a : b; }

static int had_enough(const struct share *s) {
    const uint64_t most = max(s[0].most_ns, s[1].most_ns);
    return most && s[0].used_ns + s[1].used_ns >= TURNS * (SLICE_NS + most);
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    struct share *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED) return 1;
    pid_t child[2];
    for (int i = 0; i < 2; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            if (i == 1 && nice(atoi(argv[1])) == -1) _exit(3);
            go_to(argv[2]);
            compute(s, i);
        }
    }
    go_to(argv[2]);
    while (!had_enough(s)) usleep(20000);
    printf("%lu %lu piece %lu %lu cpus %d %d longest %lu\n", s[0].used_ns / 1000,
           s[1].used_ns / 1000, s[0].least_ns / 1000, s[1].least_ns / 1000, s[0].cpu, s[1].cpu,
           max(s[0].wall_ns, s[1].wall_ns) / 1000);
    for (int i = 0; i < 2; i++) kill(child[i], SIGKILL);
    for (int i = 0; i < 2; i++) waitpid(child[i], NULL, 0);
    return 0;
}
