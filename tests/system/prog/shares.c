// Two processes that only compute, on one CPU or two: shares NICE SLICES [NODE]. The second one
// has the nice value NICE; all go to NODE first, where one is given. Each counts the pieces of work
// that it has done; once both together have done SLICES, what each did is printed, and on which
// CPUs they were.
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node.h"

#define PIECE 200000u                // steps of one piece of work

struct shared { volatile uint64_t done[2]; volatile int cpu[2]; };

static void compute(struct shared *s, int who) {
    volatile uint64_t x = 1;
    for (;;) {
        for (unsigned i = 0; i < PIECE; i++) x = x * 6364136223846793005u + 1;
        s->cpu[who] = sched_getcpu();
        s->done[who]++;
    }
}

static void go_to(const char *node) {
    if (node && node_go(atoi(node)) != 0) _exit(4);
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    struct shared *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child[2];
    for (int i = 0; i < 2; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            if (i == 1 && nice(atoi(argv[1])) == -1) _exit(3);
            go_to(argv[3]);
            compute(s, i);
        }
    }
    go_to(argv[3]);
    const uint64_t wanted = strtoull(argv[2], NULL, 10);
    while (s->done[0] + s->done[1] < wanted) usleep(20000);
    printf("%lu %lu cpus %d %d\n", s->done[0], s->done[1], s->cpu[0], s->cpu[1]);
    for (int i = 0; i < 2; i++) kill(child[i], SIGKILL);
    for (int i = 0; i < 2; i++) waitpid(child[i], NULL, 0);
    return 0;
}
