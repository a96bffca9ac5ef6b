// futexes [alone|NODES]: what threads ask of the kernel itself: futex calls with their counts,
// a wake that meets a signal, signals to a process and to a thread, locks of a killed process,
// exec, exit and death in a thread, stop and continue. Prints a line for each, the same on every
// system. With NODES a thread moves the process round so many nodes all the time; the counts are
// left out then, and with "alone", since who moves looks at its word anew.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node.h"

// As in Linux's futex.h, which musl's headers are without.
enum { FUTEX_WAIT, FUTEX_WAKE, FUTEX_REQUEUE = 3, FUTEX_CMP_REQUEUE, FUTEX_WAKE_OP,
       FUTEX_WAIT_BITSET = 9, FUTEX_WAKE_BITSET };
enum { OP_ADD = 1, OP_OR = 2, IF_EQ = 0, IF_LT = 2 };
#define BITS_ANY ~0u
#define WAKE_OP(op, arg, cmp, against)                                                             \
    ((uint32_t)(op) << 28 | (uint32_t)(cmp) << 24 | (uint32_t)(arg) << 12 | (uint32_t)(against))

#define WAITERS 4
#define ROUNDS 50
#define MOVED_ROUNDS 8
#define MOVE_EVERY_US 50000          // the others run in between

static _Atomic uint32_t a, b;
static int nodes;

static void say(int good, const char *what) {
    printf("%s %s\n", good ? "ok" : "not ok", what);
    fflush(stdout);
}

static int tid(void) { return (int)syscall(SYS_gettid); }

static long futex(void *word, int op, uint32_t value, const void *time, void *other,
                  uint32_t last) {
    long result = syscall(SYS_futex, word, op, value, time, other, last);
    return result < 0 ? -errno : result;
}

// How many wait for a word: each is let wait for the same one.
static long waiting(void *word) { return futex(word, FUTEX_REQUEUE, 0, (void *)INT_MAX, word, 0); }
static void until_waiting(void *word, long count) {
    while (waiting(word) != count) sched_yield();
}

static void *wait_bits(void *arg) {
    return (void *)futex(&a, FUTEX_WAIT_BITSET, 0, NULL, NULL, (uint32_t)(uintptr_t)arg);
}

static void waiters_start(pthread_t *threads) {
    for (int i = 0; i < WAITERS; i++)
        pthread_create(&threads[i], NULL, wait_bits, (void *)(uintptr_t)(1u << i));
    until_waiting(&a, WAITERS);
}
static int waiters_join(pthread_t *threads) {
    int zeros = 0;
    for (int i = 0; i < WAITERS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        zeros += result == NULL;
    }
    return zeros == WAITERS;
}

static void counts(void) {
    pthread_t threads[WAITERS];
    waiters_start(threads);
    say(futex(&a, FUTEX_WAKE_BITSET, INT_MAX, NULL, NULL, 6) == 2 &&
        futex(&a, FUTEX_WAKE_BITSET, INT_MAX, NULL, NULL, 6) == 0 &&
        futex(&a, FUTEX_WAKE, 1, NULL, NULL, 0) == 1 &&
        futex(&a, FUTEX_WAKE, INT_MAX, NULL, NULL, 0) == 1 && waiters_join(threads), "bitsets");
    waiters_start(threads);
    say(futex(&a, FUTEX_CMP_REQUEUE, 1, (void *)INT_MAX, &b, 1) == -EAGAIN &&
        futex(&a, FUTEX_CMP_REQUEUE, 1, (void *)2, &b, 0) == 3 && waiting(&b) == 2 &&
        futex(&a, FUTEX_WAKE, INT_MAX, NULL, NULL, 0) == 1 &&
        futex(&b, FUTEX_WAKE, INT_MAX, NULL, NULL, 0) == 2 && waiters_join(threads), "requeue");
    waiters_start(threads);
    b = 5;
    uint32_t add = WAKE_OP(OP_ADD, 2, IF_EQ, 4);
    say(futex(&a, FUTEX_WAKE_OP, 1, (void *)9, &b, add) == 1 && b == 7, "WAKE_OP that is not met");
    b = 0;
    add = WAKE_OP(OP_OR, 8, IF_LT, 1);
    say(futex(&b, FUTEX_WAKE_OP, 1, (void *)9, &a, add) == 3 && a == 8 && waiters_join(threads),
        "WAKE_OP that is met");
    a = b = 0;
}

static void *wait_timed(void *arg) {
    struct timespec soon = {0, 2000000}, now;
    long error = futex(&a, FUTEX_WAIT, 0, &soon, NULL, 0);
    clock_gettime(CLOCK_MONOTONIC, &now);        // late by then
    long late = futex(&a, FUTEX_WAIT_BITSET, 0, &now, NULL, BITS_ANY);
    soon.tv_nsec = 1000000000;
    long wrong = futex(&a, FUTEX_WAIT, 0, &soon, NULL, 0);
    return (void *)(uintptr_t)(error == -ETIMEDOUT && late == -ETIMEDOUT && wrong == -EINVAL &&
                               futex(&a, FUTEX_WAIT, 1, NULL, NULL, 0) == -EAGAIN && arg == NULL);
}

static void errors(void) {
    say(wait_timed(NULL) != NULL &&
        futex(&a, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0) == -EINVAL &&
        futex((char *)&a + 1, FUTEX_WAKE, 1, NULL, NULL, 0) == -EINVAL &&
        futex((void *)(1ull << 62), FUTEX_WAIT, 0, NULL, NULL, 0) == -EFAULT &&
        futex((void *)64, FUTEX_WAIT, 0, NULL, NULL, 0) == -EFAULT &&
        futex(&a, 99, 0, NULL, NULL, 0) == -ENOSYS, "errors");
    say(syscall(SYS_tgkill, getpid(), 0, 0) < 0 && errno == EINVAL &&
        syscall(SYS_tgkill, 1, tid(), 0) < 0 && errno == ESRCH &&
        syscall(SYS_tgkill, getpid(), tid(), 65) < 0 && errno == EINVAL &&
        syscall(SYS_tgkill, getpid(), tid(), 0) == 0, "tgkill");
}

// --- a wake, then a signal, before the woken thread runs: the wake counts ---
static _Atomic int handled, handled_by;
static void on_signal(int sig) {
    (void)sig;
    handled_by = tid();
    handled++;
}
static void wake_and_signal(void) {
    int good = 1;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_t thread;
        void *result;
        handled = 0;
        pthread_create(&thread, NULL, wait_bits, (void *)1);
        until_waiting(&a, 1);
        good &= futex(&a, FUTEX_WAKE, 1, NULL, NULL, 0) == 1;
        int sent = pthread_kill(thread, SIGUSR1) == 0;
        pthread_join(thread, &result);
        good &= result == NULL && sent && handled <= 1;
    }
    say(good, "a signal behind a wake");
}

static void *wait_for_ever(void *arg) {
    (void)arg;
    return (void *)futex(&a, FUTEX_WAIT, 0, NULL, NULL, 0);
}
static void interrupted(void) {
    pthread_t thread;
    void *result;
    handled = 0;
    pthread_create(&thread, NULL, wait_for_ever, NULL);
    if (!nodes) until_waiting(&a, 1);
    while (!handled) {
        pthread_kill(thread, SIGUSR1);
        usleep(1000);
    }
    for (;;) {                       // it may have been handled before the call
        if (pthread_tryjoin_np(thread, &result) == 0) break;
        pthread_kill(thread, SIGUSR1);
        usleep(1000);
    }
    say((long)result == -EINTR, "a signal without a wake");
}

// --- signals to the process ---
static _Atomic int ready, ends, taker;
static void *take_signal(void *arg) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    if (arg) pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    if (arg) taker = tid();
    ready++;
    while (!ends) usleep(1000);
    return NULL;
}
static void *take_by_wait(void *arg) {
    sigset_t set;
    int sig = 0;
    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigwait(&set, &sig);
    return (void *)(uintptr_t)sig;
}
static void to_process(void) {
    pthread_t threads[WAITERS], waiter;
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t set;
    void *sig;
    sigaction(SIGUSR2, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    handled = 0;
    for (int i = 0; i < WAITERS; i++)
        pthread_create(&threads[i], NULL, take_signal, i == 2 ? &threads[i] : NULL);
    while (ready < WAITERS) sched_yield();
    kill(getpid(), SIGUSR2);
    while (!handled) usleep(1000);
    say(handled == 1 && handled_by == taker, "who does not block it takes the process's signal");
    ends = 1;
    for (int i = 0; i < WAITERS; i++) pthread_join(threads[i], NULL);
    pthread_create(&waiter, NULL, take_by_wait, NULL);
    kill(getpid(), SIGUSR2);
    pthread_join(waiter, &sig);
    say((uintptr_t)sig == SIGUSR2 && handled == 1, "sigwait");
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

// --- names; a fork in a thread, and threads in the child ---
static void *named(void *arg) {
    char name[16] = "";
    prctl(PR_SET_NAME, arg);
    sched_yield();
    prctl(PR_GET_NAME, name);
    return (void *)(uintptr_t)!strcmp(name, arg);
}
static void *fork_here(void *arg) {
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t one, two;
        void *first, *second;
        pthread_create(&one, NULL, named, "one");
        pthread_create(&two, NULL, named, "two");
        pthread_join(one, &first);
        pthread_join(two, &second);
        _exit(first && second && tid() == getpid() ? 11 : 12);
    }
    waitpid(pid, &status, 0);
    return (void *)(uintptr_t)(arg == NULL && WIFEXITED(status) && WEXITSTATUS(status) == 11);
}

// --- the ends of a process with threads, each in a child ---
static int shared_pipe[2];
static void *block_read(void *arg) {
    char c;
    (void)arg;
    return (void *)(uintptr_t)read(shared_pipe[0], &c, 1);
}
static void *end_by(void *arg) {
    char own[16];
    snprintf(own, sizeof own, "%d", getpid());
    if (!strcmp(arg, "exit")) _exit(9);
    if (!strcmp(arg, "trap")) *(volatile int *)64 = 1;
    if (!strcmp(arg, "abort")) syscall(SYS_tgkill, getpid(), tid(), SIGABRT);
    if (!strcmp(arg, "exec")) execl("/proc/self/exe", "futexes", "exec", own, (char *)NULL);
    return NULL;
}
static int ended_by(const char *how) {
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        for (int i = 0; i < WAITERS; i++)
            pthread_create(&thread, NULL, i % 2 ? wait_for_ever : block_read, NULL);
        pthread_create(&thread, NULL, end_by, (void *)(uintptr_t)how);
        pthread_join(thread, NULL);
        for (;;) pause();
    }
    waitpid(pid, &status, 0);
    return status;
}

static int stopped_once(void) {
    _Atomic uint32_t *count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                                   -1, 0);
    int status = -1, good;
    pid_t pid = fork();
    if (pid == 0) {
        alarm(120);                  // if nobody kills it
        pthread_t thread;
        pthread_create(&thread, NULL, wait_for_ever, NULL);
        for (;;) ++*count;
    }
    while (*count < 1000) usleep(1000);
    kill(pid, SIGSTOP);
    good = waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status);
    uint32_t then = *count;
    usleep(20000);
    good &= *count == then;
    kill(pid, SIGCONT);
    good &= waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status);
    while (*count == then) usleep(1000);
    kill(pid, SIGKILL);
    good &= waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    munmap((void *)count, 4096);
    return good;
}
static void stopped(void) {
    int good = 1;
    for (int i = 0; i < (nodes ? MOVED_ROUNDS : 1); i++) good &= stopped_once();
    say(good, "stop, continue, kill");
}

// --- robust locks that threads of a killed process hold; while it moves, their page or the
// threads' own may lie on another node when the process is killed ---
struct shared { pthread_mutex_t lock[WAITERS]; _Atomic int held; };
static struct shared *shared;
static void *hold(void *arg) {
    pthread_mutex_lock(&shared->lock[(uintptr_t)arg]);
    shared->held++;
    for (;;) pause();
    return NULL;
}
static int robust_once(void) {
    pthread_mutexattr_t attr;
    int died = 0, status;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    for (int i = 0; i < WAITERS; i++) pthread_mutex_init(&shared->lock[i], &attr);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        for (uintptr_t i = 0; i < WAITERS; i++) pthread_create(&thread, NULL, hold, (void *)i);
        for (;;) pause();
    }
    while (shared->held < WAITERS) usleep(1000);
    kill(pid, SIGKILL);
    for (int i = 0; i < WAITERS; i++) died += pthread_mutex_lock(&shared->lock[i]) == EOWNERDEAD;
    waitpid(pid, &status, 0);
    munmap(shared, sizeof *shared);
    return died == WAITERS;
}
static void robust(void) {
    int good = 1;
    for (int i = 0; i < (nodes ? MOVED_ROUNDS : 1); i++) good &= robust_once();
    say(good, "locks of a killed process's threads");
}

static _Atomic int moves_end;
static void *mover(void *arg) {
    (void)arg;
    for (int n = 1; !moves_end; n++) {
        errno = node_go(n % nodes);
        if (errno != 0 && errno != EBUSY) {
            perror("futexes: /proc/self/node");
            exit(2);
        }
        usleep(MOVE_EVERY_US);
    }
    return NULL;
}

static void ends_of(void) {
    pthread_t thread;
    void *good;
    pthread_create(&thread, NULL, fork_here, NULL);
    pthread_join(thread, &good);
    say(good != NULL, "fork in a thread, threads in the child, each with its name");
    if (pipe(shared_pipe)) exit(3);
    int status = ended_by("exit");
    say(WIFEXITED(status) && WEXITSTATUS(status) == 9, "exit in a thread ends all");
    status = ended_by("trap");
    say(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "a fault in a thread ends all");
    status = ended_by("abort");
    say(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "a signal to a thread ends all");
    status = ended_by("exec");
    say(WIFEXITED(status) && WEXITSTATUS(status) == 21,
        "exec in a thread takes the process's number");
}

int main(int argc, char **argv) {
    pthread_t move;
    const int counted = argc == 1;
    if (argc == 3) return getpid() == tid() && getpid() == atoi(argv[2]) ? 21 : 22;
    nodes = argc > 1 ? atoi(argv[1]) : 0;
    sigset_t all, none;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &none);     // the mover takes no signal
    if (nodes) pthread_create(&move, NULL, mover, NULL);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    errors();
    if (counted) counts();
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    if (counted) wake_and_signal();
    interrupted();
    to_process();
    ends_of();
    stopped();
    robust();
    moves_end = 1;
    if (nodes) pthread_join(move, NULL);
    return 0;
}
