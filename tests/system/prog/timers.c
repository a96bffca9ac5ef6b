// Timers that raise signals: prints what came of them, the same on Linux and on a node, wherever
// the process is. Nothing here depends on how long anything takes: who waits for a timer waits for
// its signal. `timers [HERE THERE]`: moves itself while timers are set.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "places.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static volatile sig_atomic_t came, code, value, overrun_good;
static timer_t last;
static void on_timer(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    came++;
    code = info->si_code;
    value = info->si_value.sival_int;
    overrun_good = info->si_code != SI_TIMER || info->si_overrun == timer_getoverrun(last);
}

static void handle(int sig) {
    struct sigaction sa = {.sa_sigaction = on_timer, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(sig, &sa, NULL);
}

static struct itimerspec spec(long first_ms, long every_ms) {
    return (struct itimerspec){{every_ms / 1000, every_ms % 1000 * 1000000},
                               {first_ms / 1000, first_ms % 1000 * 1000000}};
}

static void burn(int until) {
    volatile unsigned x = 0;
    while (came < until) x++;
}

static void wait_for(int until) {
    sigset_t set, old;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, &old);
    while (came < until) sigsuspend(&old);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static int make(clockid_t clock, int sig, int number, timer_t *t) {
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = sig,
                         .sigev_value.sival_int = number};
    return timer_create(clock, &e, t);
}

static void test_real(void) {
    static const struct { const char *name; clockid_t clock; } clocks[] = {
        {"monotonic", CLOCK_MONOTONIC}, {"realtime", CLOCK_REALTIME}, {"boottime", CLOCK_BOOTTIME}};
    for (int i = 0; i < 3; i++) {
        struct itimerspec s = spec(20, 10), was;
        handle(SIGUSR1);
        came = 0;
        printf("%s: %d\n", clocks[i].name, make(clocks[i].clock, SIGUSR1, 40 + i, &last));
        printf("set: %d\n", timer_settime(last, 0, &s, NULL));
        go(1);
        wait_for(3);
        go(0);
        wait_for(5);
        printf("code %d value %d overrun %d\n", code == SI_TIMER, value, overrun_good);
        s = spec(0, 0);
        printf("unset: %d\n", timer_settime(last, 0, &s, &was));
        printf("was: every %ld, soon %d\n", was.it_interval.tv_nsec, was.it_value.tv_sec == 0);
        timer_gettime(last, &was);
        printf("now: %ld %ld\n", was.it_value.tv_nsec, was.it_interval.tv_nsec);
        clock_gettime(clocks[i].clock, &s.it_value);
        s.it_value.tv_nsec += 30000000;
        if (s.it_value.tv_nsec >= 1000000000) s.it_value.tv_sec++, s.it_value.tv_nsec -= 1000000000;
        came = 0;
        timer_settime(last, TIMER_ABSTIME, &s, NULL);
        go(1);
        wait_for(1);
        go(0);
        struct timespec now;
        clock_gettime(clocks[i].clock, &now);
        printf("not early: %d, once: %d\n", now.tv_sec > s.it_value.tv_sec ||
               (now.tv_sec == s.it_value.tv_sec && now.tv_nsec >= s.it_value.tv_nsec), came);
        printf("end: %d\n", timer_delete(last));
    }
}

// A blocked signal of a timer counts what it missed.
static void test_overrun(void) {
    sigset_t set, old;
    struct itimerspec s = spec(1, 1);
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, &old);
    make(CLOCK_MONOTONIC, SIGRTMIN, 7, &last);
    timer_settime(last, 0, &s, NULL);
    struct timespec t = {0, 50000000};
    nanosleep(&t, NULL);
    go(1);
    int sig = sigwaitinfo(&set, &info);
    printf("overrun: %d %d %d, many %d, the same %d\n", sig - SIGRTMIN, info.si_code == SI_TIMER,
           info.si_value.sival_int, info.si_overrun >= 40,
           info.si_overrun == timer_getoverrun(last));
    sig = sigwaitinfo(&set, &info);
    printf("goes on: %d, %d\n", sig - SIGRTMIN, info.si_code == SI_TIMER);
    go(0);
    timer_delete(last);
    sigtimedwait(&set, &info, &(struct timespec){0, 0});
    sigprocmask(SIG_SETMASK, &old, NULL);
}

// Eight timers of one signal, all pending at once: each is told of.
static void test_many(void) {
    sigset_t set, old;
    timer_t t[8];
    int seen = 0;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    sigaddset(&set, SIGALRM);
    sigprocmask(SIG_BLOCK, &set, &old);
    for (int i = 0; i < 8; i++) {
        struct itimerspec s = spec(1 + i, 0);
        make(CLOCK_MONOTONIC, i & 1 ? SIGALRM : SIGRTMIN + 1, i, &t[i]);
        timer_settime(t[i], 0, &s, NULL);
    }
    struct timespec pause = {0, 30000000};
    nanosleep(&pause, NULL);
    go(1);
    for (int i = 0; i < 8; i++) {
        sigwaitinfo(&set, &info);
        if (info.si_code == SI_TIMER) seen |= 1 << info.si_value.sival_int;
    }
    printf("all came: %#x\n", seen);
    int more = sigtimedwait(&set, &info, &(struct timespec){0, 0});
    printf("no more: %d\n", more < 0 && errno == EAGAIN);
    for (int i = 0; i < 8; i++) timer_delete(t[i]);
    sigprocmask(SIG_SETMASK, &old, NULL);
    go(0);
}

static void test_cpu(void) {
    static const struct { const char *name; clockid_t clock; } clocks[] = {
        {"process", CLOCK_PROCESS_CPUTIME_ID}, {"thread", CLOCK_THREAD_CPUTIME_ID}};
    for (int i = 0; i < 2; i++) {
        struct itimerspec s = spec(5000, 0);
        came = 0;
        handle(SIGUSR2);
        printf("%s: %d\n", clocks[i].name, make(clocks[i].clock, SIGUSR2, 50 + i, &last));
        timer_settime(last, 0, &s, NULL);
        struct timespec pause = {0, 60000000};
        nanosleep(&pause, NULL);
        printf("not while it sleeps: %d\n", came);
        s = spec(20, 10);
        timer_settime(last, 0, &s, NULL);
        burn(2);
        go(1);
        burn(4);
        go(0);
        struct timespec used;
        clock_gettime(clocks[i].clock, &used);
        printf("value %d code %d, used %d\n", value, code == SI_TIMER,
               used.tv_sec > 0 || used.tv_nsec > 40000000);
        timer_delete(last);
    }
    clockid_t mine, threads;
    struct timespec a, b;
    printf("ids: %d %d\n", clock_getcpuclockid(0, &mine),
           pthread_getcpuclockid(pthread_self(), &threads));
    printf("read: %d %d", clock_gettime(mine, &a), clock_gettime(threads, &b));
    printf(" %d %d\n", a.tv_sec || a.tv_nsec, b.tv_sec || b.tv_nsec);
    printf("nobody's: %d\n", clock_getcpuclockid(0x3ffffff, &mine));
}

static void test_interval(void) {
    static const struct { const char *name; int which, sig; } kinds[] = {
        {"real", ITIMER_REAL, SIGALRM}, {"virtual", ITIMER_VIRTUAL, SIGVTALRM},
        {"prof", ITIMER_PROF, SIGPROF}};
    for (int i = 0; i < 3; i++) {
        struct itimerval set = {{0, 10000}, {0, 20000}}, was;
        handle(kinds[i].sig);
        came = 0;
        printf("%s: %d\n", kinds[i].name, setitimer(kinds[i].which, &set, NULL));
        burn(2);
        go(1);
        burn(4);
        getitimer(kinds[i].which, &was);
        printf("every %ld, soon %d\n", (long)was.it_interval.tv_usec, was.it_value.tv_sec == 0);
        if (fork() == 0) {                       // has none
            getitimer(kinds[i].which, &was);
            printf("a child: %ld %ld\n", (long)was.it_value.tv_usec, (long)was.it_interval.tv_usec);
            _exit(0);
        }
        while (wait(NULL) < 0 && errno == EINTR) continue;
        go(0);
        set = (struct itimerval){0};
        setitimer(kinds[i].which, &set, &was);
        printf("was every %ld\n", (long)was.it_interval.tv_usec);
    }
    printf("no such: %d\n", setitimer(3, &(struct itimerval){0}, NULL) < 0 && errno == EINVAL);
}

static sem_t posted;
static void notified(union sigval v) {
    for (int i = 0; i < v.sival_int; i++) sem_post(&posted);
}
static void sem_take(void) {
    while (sem_wait(&posted) != 0) continue;
}

static void test_threads(void) {
    sem_init(&posted, 0, 0);
    struct sigevent e = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = notified,
                         .sigev_value.sival_int = 2};
    struct itimerspec s = spec(10, 10);
    timer_t t;
    printf("thread: %d\n", timer_create(CLOCK_MONOTONIC, &e, &t));
    printf("set: %d\n", timer_settime(t, 0, &s, NULL));
    sem_take();
    go(1);
    for (int i = 0; i < 5; i++) sem_take();
    go(0);
    sem_take();
    printf("told: %d\n", timer_delete(t));
}

// Straight to the kernel: where both C libraries would look at it first.
static int kernel_create(int clock, struct sigevent *e) {
    int id;
    long r = syscall(SYS_timer_create, clock, e, &id);
    if (r == 0) syscall(SYS_timer_delete, id);
    return r == 0 ? syscall(SYS_timer_delete, id) == 0 : errno;       // there is none any more
}

static void test_errors(void) {
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 65};
    struct itimerspec bad = {{0, 0}, {0, 1000000000}}, none;
    printf("signal 65: %d\n", kernel_create(CLOCK_MONOTONIC, &e) == EINVAL);
    e.sigev_signo = 0;
    printf("signal 0: %d\n", kernel_create(CLOCK_MONOTONIC, &e) == EINVAL);
    e.sigev_notify = 3;
    printf("notify 3: %d\n", kernel_create(CLOCK_MONOTONIC, &e) == EINVAL);
    e = (struct sigevent){.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    e.sigev_notify_thread_id = 1;
    printf("thread of another: %d\n", kernel_create(CLOCK_MONOTONIC, &e) == EINVAL);
    e.sigev_notify_thread_id = (int)syscall(SYS_gettid);
    printf("own thread: %d\n", kernel_create(CLOCK_MONOTONIC, &e));
    printf("clock 99: %d\n", kernel_create(99, NULL) == EINVAL);
    printf("raw clock: %d\n", kernel_create(CLOCK_MONOTONIC_RAW, NULL) == EOPNOTSUPP);
    printf("coarse: %d\n", kernel_create(CLOCK_MONOTONIC_COARSE, NULL) == EOPNOTSUPP);
    e = (struct sigevent){.sigev_notify = SIGEV_NONE};
    printf("none: %d\n", timer_create(CLOCK_MONOTONIC, &e, &last));
    printf("bad time: %d\n", timer_settime(last, 0, &bad, NULL) < 0 && errno == EINVAL);
    struct itimerspec s = spec(100000, 0);
    timer_settime(last, 0, &s, NULL);
    go(1);
    timer_gettime(last, &none);
    printf("left: %d\n", none.it_value.tv_sec > 0 && none.it_value.tv_sec < 100);
    go(0);
    timer_delete(last);
}

static void test_sleep(void) {
    struct timespec t = {0, 20000000}, before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    printf("sleep by clock: %d", clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL));
    clock_gettime(CLOCK_MONOTONIC, &after);
    long ns = (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec;
    printf(" %d\n", ns >= 20000000);
    printf("thread's: %d\n", clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL) == EINVAL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    t.tv_nsec = 0;
    printf("process's, past: %d\n",
           clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME, &t, NULL));
}

static volatile int stop;
static void *burner(void *arg) {
    while (!stop) continue;
    return arg;
}
static void test_cpu_sleep(void) {               // which another thread's work ends
    pthread_t thread;
    struct timespec t = {0, 30000000}, before, after;
    pthread_create(&thread, NULL, burner, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    int r = clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &t, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    long ns = (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec;
    printf("sleep by CPU time: %d %d\n", r, ns >= 30000000);
    stop = 1;
    pthread_join(thread, NULL);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc == 3) places[0] = argv[1], places[1] = argv[2];
    if (argc == 2) {                             // what an exec leaves
        struct itimerval was;
        getitimer(ITIMER_PROF, &was);
        printf("exec: prof %d, timer %d\n", was.it_value.tv_sec > 0,
               (int)syscall(SYS_timer_delete, 0));
        return 0;
    }
    test_errors();
    test_real();
    test_overrun();
    test_many();
    test_cpu();
    test_interval();
    test_sleep();
    test_cpu_sleep();
    test_threads();
    make(CLOCK_MONOTONIC, SIGUSR1, 0, &last);
    setitimer(ITIMER_PROF, &(struct itimerval){{0, 0}, {1000, 0}}, NULL);
    printf("end\n");
    execl("/proc/self/exe", "timers", "exec", NULL);
    return 1;
}
