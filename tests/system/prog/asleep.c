// asleep WORK: a thread computes, and others sleep and wait for events and times meanwhile, for as
// long as it does. No wait ends before its time by CLOCK_MONOTONIC, and each event comes through.
// Prints a line for each and what was computed, the same on every system.
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ll
#define NS 1000000000ll

static _Atomic int over;
static int to_child[2], from_child[2], idle[2];

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS + t.tv_nsec;
}

// Each waits about so long, once. 0: as it should.
static int by_nanosleep(int64_t ns) {
    const struct timespec t = {0, ns};
    return nanosleep(&t, NULL);
}
static int by_deadline(int64_t ns) {
    const int64_t at = now_ns() + ns;
    const struct timespec t = {at / NS, at % NS};
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}
static int by_poll(int64_t ns) {
    struct pollfd p = {.fd = idle[0], .events = POLLIN};
    return poll(&p, 1, (int)(ns / MS));
}
static int by_select(int64_t ns) {
    fd_set set;
    struct timeval t = {0, ns / 1000};
    FD_ZERO(&set);
    FD_SET(idle[0], &set);
    return select(idle[0] + 1, &set, NULL, NULL, &t);
}
static int by_epoll(int64_t ns) {
    struct epoll_event e = {.events = EPOLLIN}, got;
    const int set = epoll_create1(0);
    if (set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, idle[0], &e)) return -1;
    const int result = epoll_wait(set, &got, 1, (int)(ns / MS));
    close(set);
    return result;
}
static int by_condition(int64_t ns) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never;
    pthread_condattr_t attr;
    const int64_t at = now_ns() + ns;
    const struct timespec t = {at / NS, at % NS};
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&never, &attr);
    pthread_mutex_lock(&lock);
    const int result = pthread_cond_timedwait(&never, &lock, &t);
    pthread_mutex_unlock(&lock);
    return result == ETIMEDOUT ? 0 : -1;
}
// A byte goes to another process, which sends it back; no time.
static int by_answer(int64_t ns) {
    static unsigned char sent;
    unsigned char got = 0;
    struct pollfd p = {.fd = from_child[0], .events = POLLIN};
    (void)ns;
    sent++;
    if (write(to_child[1], &sent, 1) != 1 || poll(&p, 1, -1) != 1) return -1;
    return read(from_child[0], &got, 1) != 1 || got != sent;
}

static const struct waiter { const char *name; int (*wait)(int64_t ns); int64_t ns; } waiters[] = {
    {"nanosleep", by_nanosleep, 7 * MS}, {"a deadline", by_deadline, 9 * MS},
    {"poll", by_poll, 5 * MS}, {"select", by_select, 11 * MS}, {"epoll", by_epoll, 6 * MS},
    {"a condition variable", by_condition, 8 * MS}, {"a long sleep", by_nanosleep, 300 * MS},
    {"another process", by_answer, 0},
};
#define WAITERS (sizeof waiters / sizeof waiters[0])

static void *wait_on_and_on(void *arg) {
    const struct waiter *w = arg;
    do {
        const int64_t before = now_ns();
        const int result = w->wait(w->ns);
        const int64_t took = now_ns() - before;
        if (result == 0 && took >= w->ns) continue;
        printf("not ok %s: result %d, errno %d, %lld of %lld ns\n", w->name, result, errno,
               (long long)took, (long long)w->ns);
        return NULL;
    } while (!over);
    return arg;
}

static void answer(void) {
    unsigned char byte;
    close(to_child[1]);
    while (read(to_child[0], &byte, 1) == 1 && write(from_child[1], &byte, 1) == 1) {}
    _exit(0);
}

int main(int argc, char **argv) {
    pthread_t threads[WAITERS];
    uint64_t value = 1, hash = 0;
    if (pipe(to_child) || pipe(from_child) || pipe(idle)) return 2;
    const pid_t child = fork();
    if (child < 0) return 2;
    if (child == 0) answer();
    for (size_t i = 0; i < WAITERS; i++)
        if (pthread_create(&threads[i], NULL, wait_on_and_on, (void *)(uintptr_t)&waiters[i]))
            return 2;
    for (long long k = argc > 1 ? atoll(argv[1]) : 1; k > 0; k--) {
        value = value * 6364136223846793005u + 1442695040888963407u;
        hash = (hash ^ value >> 29) * 31;
    }
    over = 1;
    for (size_t i = 0; i < WAITERS; i++) {
        void *good = NULL;
        pthread_join(threads[i], &good);
        if (good) printf("ok %s\n", waiters[i].name);
    }
    close(to_child[1]);
    int status = -1;
    waitpid(child, &status, 0);
    printf("%016llx, %d\n", (unsigned long long)hash, status);
    return 0;
}
