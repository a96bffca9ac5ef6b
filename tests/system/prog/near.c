// Where processes of a node of four CPUs wake, of which no other wants any. For ROUNDS rounds each,
// prints how often
//   sleeps  one that ends a sleep is on its CPU of before
//   forks   a child begins on the free CPU next to its parent's
//   wakes   one that a pipe's writer wakes, whose own CPU another has taken meanwhile, goes to the
//           free CPU nearest to the writer's; and of how many rounds (in others a CPU was not as
//           wanted beforehand)
// near ROUNDS. Only where a process was put counts, not when it ran.
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CPUS 4
#define SLEEP_NS 2000000L
#define LOOKS_MAX 5000               // a hang detector

static volatile int *shared;         // [0]: where the burner is, -1: nowhere yet

static void pause_ns(long ns) { nanosleep(&(struct timespec){0, ns}, NULL); }

static int sleeps(int rounds) {
    int same = 0;
    for (int i = 0; i < rounds; i++) {
        const int before = sched_getcpu();
        pause_ns(SLEEP_NS);
        same += sched_getcpu() == before;
    }
    return same;
}

static int end_of(pid_t pid) {
    int status = -1;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int forks(int rounds) {
    int next = 0;
    for (int i = 0; i < rounds; i++) {
        const int here = sched_getcpu();
        const pid_t pid = fork();
        if (pid == 0) _exit(sched_getcpu());
        next += end_of(pid) == (here ^ 1);
    }
    return next;
}

// Whether the process sleeps, by /proc/PID/stat, after some looks.
static int comes_to_rest(pid_t pid) {
    char path[32], text[256];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    for (int i = 0; i < LOOKS_MAX; i++) {
        FILE *f = fopen(path, "r");
        const size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
        if (f) fclose(f);
        text[n] = '\0';
        const char *after = strrchr(text, ')');
        if (after && after[1] == ' ' && after[2] == 'S') return 1;
        pause_ns(SLEEP_NS);
    }
    return 0;
}

static pid_t burner(void) {
    shared[0] = -1;
    const pid_t pid = fork();
    if (pid == 0)
        for (;;) shared[0] = sched_getcpu();
    for (int i = 0; i < LOOKS_MAX && shared[0] < 0; i++) pause_ns(SLEEP_NS);
    return pid;
}

static void sleeper(int in, int out) {
    char byte = (char)sched_getcpu();
    if (write(out, &byte, 1) != 1 || read(in, &byte, 1) != 1) _exit(1);
    byte = (char)sched_getcpu();
    _exit(write(out, &byte, 1) != 1);
}

// One round. 1: near, 0: elsewhere, -1: it does not count.
static int wake(void) {
    int to[2], from[2];
    char was = -1, is = -1;
    if (pipe(to) != 0 || pipe(from) != 0) return -1;
    const pid_t pid = fork();
    if (pid == 0) sleeper(to[0], from[1]);
    int counts = read(from[0], &was, 1) == 1 && comes_to_rest(pid);
    const pid_t other = burner();
    const int here = sched_getcpu();
    counts = counts && shared[0] == was && here != was;
    const int near = was == (here ^ 1) ? here ^ 2 : here ^ 1;
    if (write(to[1], "", 1) != 1 || read(from[0], &is, 1) != 1) counts = 0;
    counts = counts && shared[0] == was && sched_getcpu() == here;
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    if (end_of(pid) != 0) counts = 0;
    for (int i = 0; i < 2; i++) {
        close(to[i]);
        close(from[i]);
    }
    return counts ? is == near : -1;
}

int main(int argc, char **argv) {
    const int rounds = argc > 1 ? atoi(argv[1]) : 20;
    int near = 0, counted = 0;
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || sysconf(_SC_NPROCESSORS_ONLN) != CPUS) return 2;
    printf("sleeps %d ", sleeps(rounds));
    printf("forks %d ", forks(rounds));
    for (int i = 0; i < rounds; i++) {
        const int got = wake();
        near += got == 1;
        counted += got >= 0;
    }
    printf("wakes %d of %d\n", near, counted);
    return 0;
}
