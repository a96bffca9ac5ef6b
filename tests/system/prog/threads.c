// threads [NODES [TIMES]]: what C libraries build on threads, with 32 of them: mutexes, condition
// variables, barriers, read-write locks, timed waits, cancellation, thread-local storage,
// pthread_once, robust mutexes, signals to threads, fork, and an end by pthread_exit in main.
// Prints a line for each, the same on every system. With NODES other than 0, a thread moves the
// process round so many nodes by its own /proc/self/node all the time. The first of them do their
// rounds TIMES as often.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node.h"

#define THREADS 32
#define ROUNDS 200
#define TIMES_MAX 100
#define MOVE_EVERY (CLOCKS_PER_SEC / 50)     // of CPU time of all threads

static pthread_t threads[THREADS];
static int rounds = ROUNDS;

static void say(int good, const char *what) {
    printf("%s %s\n", good ? "ok" : "not ok", what);
    fflush(stdout);
}

static void start(void *(*run)(void *)) {
    for (intptr_t i = 0; i < THREADS; i++) {
        int error = pthread_create(&threads[i], NULL, run, (void *)i);
        if (error) {
            printf("not ok thread %d: %s\n", (int)i, strerror(error));
            exit(1);
        }
    }
}

static intptr_t join(void) {
    intptr_t sum = 0;
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        sum += (intptr_t)result;
    }
    return sum;
}

// --- mutexes, thread-local storage, once ---
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static long total, once_count;
static __thread long mine;

static void once_run(void) { once_count++; }
static void *add(void *arg) {
    pthread_once(&once, once_run);
    for (int i = 0; i < rounds; i++) {
        pthread_mutex_lock(&lock);
        long was = total;
        if (i % 50 == (int)(intptr_t)arg) sched_yield();
        total = was + 1;
        pthread_mutex_unlock(&lock);
        mine++;
    }
    return (void *)(intptr_t)mine;
}

// --- condition variables: a queue of four places, half put, half take ---
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER, not_empty = PTHREAD_COND_INITIALIZER;
static long places[4];
static int filled;
static void *put_or_take(void *arg) {
    intptr_t sum = 0;
    for (int i = 0; i < rounds; i++) {
        pthread_mutex_lock(&lock);
        if ((intptr_t)arg % 2) {
            while (filled == 4) pthread_cond_wait(&not_full, &lock);
            places[filled++] = i;
            pthread_cond_signal(&not_empty);
        } else {
            while (filled == 0) pthread_cond_wait(&not_empty, &lock);
            sum += places[--filled];
            pthread_cond_signal(&not_full);
        }
        pthread_mutex_unlock(&lock);
    }
    return (void *)sum;
}

// --- barrier, broadcast ---
static pthread_barrier_t barrier;
static _Atomic long phases[TIMES_MAX * ROUNDS / 10];
static void *in_phases(void *arg) {
    (void)arg;
    intptr_t good = 1;
    for (int i = 0; i < rounds / 10; i++) {
        phases[i]++;
        pthread_barrier_wait(&barrier);
        good &= phases[i] == THREADS;
        pthread_barrier_wait(&barrier);
    }
    return (void *)good;
}

static pthread_cond_t go = PTHREAD_COND_INITIALIZER;
static int gone;
static void *wait_go(void *arg) {
    (void)arg;
    pthread_mutex_lock(&lock);
    while (!gone) pthread_cond_wait(&go, &lock);
    pthread_mutex_unlock(&lock);
    return (void *)1;
}

// --- read-write lock, semaphore ---
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static sem_t tokens;
static long pair[2];
static void *read_or_write(void *arg) {
    intptr_t good = 1;
    for (int i = 0; i < rounds / 4; i++) {
        sem_wait(&tokens);
        if ((intptr_t)arg % 4 == 0) {
            pthread_rwlock_wrlock(&rw);
            pair[0]++;
            sched_yield();
            pair[1]++;
        } else {
            pthread_rwlock_rdlock(&rw);
            good &= pair[0] == pair[1];
        }
        pthread_rwlock_unlock(&rw);
        sem_post(&tokens);
    }
    return (void *)good;
}

// --- cancellation ---
static int cleaned;
static void clean(void *arg) {
    (void)arg;
    cleaned++;
    pthread_mutex_unlock(&lock);
}
static void *wait_for_ever(void *arg) {
    (void)arg;
    pthread_mutex_lock(&lock);
    pthread_cleanup_push(clean, NULL);
    for (;;) pthread_cond_wait(&not_full, &lock);
    pthread_cleanup_pop(0);
    return NULL;
}

// --- signals to threads ---
static _Atomic int handled;
static __thread int handled_here;
static void on_signal(int sig) {
    (void)sig;
    handled_here = 1;
    handled++;
}
static void *wait_signal(void *arg) {
    (void)arg;
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    pthread_barrier_wait(&barrier);
    sigdelset(&old, SIGUSR1);
    while (!handled_here) sigsuspend(&old);
    return (void *)1;
}

// --- timed waits ---
static void *timed(void *arg) {
    struct timespec at;
    pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_nsec += 1000000 * (long)((intptr_t)arg % 7 + 1);
    if (at.tv_nsec >= 1000000000) at.tv_sec++, at.tv_nsec -= 1000000000;
    pthread_mutex_lock(&own);
    int error = pthread_cond_timedwait(&never, &own, &at);
    pthread_mutex_unlock(&own);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int late = now.tv_sec > at.tv_sec || (now.tv_sec == at.tv_sec && now.tv_nsec >= at.tv_nsec);
    return (void *)(intptr_t)(error == ETIMEDOUT && late);
}

// --- robust mutexes ---
static pthread_mutex_t robust;
static void *die_holding(void *arg) {
    (void)arg;
    pthread_mutex_lock(&robust);
    return NULL;
}

// --- fork, pipes ---
static void *fork_one(void *arg) {
    pid_t pid = fork();
    if (pid == 0) _exit((int)(intptr_t)arg);
    int status = -1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return NULL;
    return (void *)(intptr_t)(WIFEXITED(status) && WEXITSTATUS(status) == (int)(intptr_t)arg);
}

static int ring[THREADS][2];
static void *pass_on(void *arg) {
    intptr_t me = (intptr_t)arg, good = 1;
    for (int i = 0; i < 20; i++) {
        int value = -1;
        good &= read(ring[me][0], &value, sizeof value) == sizeof value && value == i;
        if (me + 1 < THREADS) good &= write(ring[me + 1][1], &value, sizeof value) == sizeof value;
    }
    return (void *)good;
}

// --- moving ---
static int nodes;
static _Atomic int moves_end;
static void *mover(void *arg) {
    (void)arg;
    for (int n = 1; !moves_end; n++) {
        errno = node_go(n % nodes);
        if (errno != 0 && errno != EBUSY) {
            perror("threads: /proc/self/node");
            exit(2);
        }
        const clock_t until = clock() + MOVE_EVERY;
        while (!moves_end && clock() < until) usleep(10000);
    }
    return NULL;
}

static void *last(void *arg) {
    pthread_t *main_thread = arg;
    pthread_join(*main_thread, NULL);
    say(1, "main ended by pthread_exit, a thread goes on");
    exit(7);
}

int main(int argc, char **argv) {
    pthread_t move;
    nodes = argc > 1 ? atoi(argv[1]) : 0;
    const int times = argc > 2 ? atoi(argv[2]) : 1;
    rounds = ROUNDS * (times < 1 ? 1 : times > TIMES_MAX ? TIMES_MAX : times);
    if (nodes) pthread_create(&move, NULL, mover, NULL);
    start(add);
    say(join() == THREADS * rounds && total == THREADS * rounds && once_count == 1,
        "mutexes, thread-local storage, once");
    start(put_or_take);
    say(join() == THREADS / 2 * ((intptr_t)rounds * (rounds - 1) / 2), "condition variables");
    pthread_barrier_init(&barrier, NULL, THREADS);
    start(in_phases);
    say(join() == THREADS, "barriers");
    start(wait_go);
    pthread_mutex_lock(&lock);
    gone = 1;
    pthread_cond_broadcast(&go);
    pthread_mutex_unlock(&lock);
    say(join() == THREADS, "broadcast");
    sem_init(&tokens, 0, THREADS / 2);
    start(read_or_write);
    say(join() == THREADS, "read-write locks, semaphores");
    start(wait_for_ever);
    for (int i = 0; i < THREADS; i++) pthread_cancel(threads[i]);
    int cancelled = 0;
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        cancelled += result == PTHREAD_CANCELED;
    }
    say(cancelled == THREADS, "cancellation");
    signal(SIGUSR1, on_signal);
    pthread_barrier_destroy(&barrier);
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    start(wait_signal);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < THREADS; i++) pthread_kill(threads[i], SIGUSR1);
    say(join() == THREADS && handled == THREADS, "signals to threads");
    start(timed);
    say(join() == THREADS, "timed waits");
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attr);
    pthread_create(&threads[0], NULL, die_holding, NULL);
    pthread_join(threads[0], NULL);
    int error = pthread_mutex_lock(&robust);
    say(error == EOWNERDEAD && pthread_mutex_consistent(&robust) == 0, "robust mutex");
    start(fork_one);
    say(join() == THREADS, "fork in a thread");
    for (int i = 0; i < THREADS; i++)
        if (pipe(ring[i])) return 3;
    start(pass_on);
    for (int i = 0; i < 20; i++)
        if (write(ring[0][1], &i, sizeof i) != sizeof i) return 3;
    say(join() == THREADS, "pipes between threads");
    say(getpid() == (pid_t)syscall(SYS_gettid), "the first thread has the process's number");
    moves_end = 1;
    if (nodes) pthread_join(move, NULL);
    static pthread_t self;
    self = pthread_self();
    pthread_create(&threads[0], NULL, last, &self);
    pthread_exit(NULL);
}
