// Signals that queue, that carry values, that end sleeps: prints what came of it, the same on
// Linux and on a node, wherever the process is. `signals [HERE THERE]`: moves itself while
// signals are pending.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "places.h"

static int order[32], values[32], codes[32], own[32], count;
static void note(int sig, siginfo_t *info, void *context) {
    (void)context;
    if (count == 32) return;
    order[count] = sig - SIGRTMIN;
    values[count] = info->si_value.sival_int;
    codes[count] = info->si_code;
    own[count++] = info->si_pid == getpid();
}

static void queue(int sig, int value) {
    union sigval v = {.sival_int = value};
    printf("queue %d %d: %d\n", sig - SIGRTMIN, value, sigqueue(getpid(), sig, v));
}

static void test_queue(void) {
    struct sigaction sa = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    sigset_t set, old;
    sigemptyset(&set);
    for (int i = 0; i < 3; i++) {
        sigaction(SIGRTMIN + i, &sa, NULL);
        sigaddset(&set, SIGRTMIN + i);
    }
    sigprocmask(SIG_BLOCK, &set, &old);
    for (int i = 0; i < 4; i++) queue(SIGRTMIN + 1, 10 + i);
    queue(SIGRTMIN, 1);
    queue(SIGRTMIN, 2);
    go(1);
    queue(SIGRTMIN + 2, 30);
    if (fork() == 0) {                           // has none of them
        sigset_t mine;
        sigpending(&mine);
        printf("a child: %d\n", sigismember(&mine, SIGRTMIN));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    siginfo_t info;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGRTMIN + 1);
    int got = sigwaitinfo(&one, &info);
    printf("taken: %d %d %d\n", got - SIGRTMIN, info.si_value.sival_int, info.si_code);
    go(0);
    sigprocmask(SIG_SETMASK, &old, NULL);
    // Linux runs the handler of the lowest last, for each is entered before the one below it runs.
    int sum = 0, kinds[3] = {0, 0, 0};
    for (int i = 0; i < count; i++) {
        sum += values[i], kinds[order[i]]++;
        if (codes[i] != SI_QUEUE || !own[i]) printf("odd: code %d own %d\n", codes[i], own[i]);
    }
    printf("%d came: %d %d %d, sum %d\n", count, kinds[0], kinds[1], kinds[2], sum);
    int last = 0, rising = 1;
    for (int i = 0; i < count; i++) {
        if (order[i] != 1) continue;
        rising &= values[i] > last;
        last = values[i];
    }
    printf("in order or its reverse: %d\n", rising || last == 11);
}

static void on_alarm(int sig) { (void)sig; }

static void test_sleep(void) {
    struct sigaction sa = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &sa, NULL);
    struct timespec t = {1000, 0}, left = {0, 0};
    go(1);
    pid_t parent = getpid(), pid = fork();
    while (pid == 0) {                           // one of them finds it asleep
        struct timespec pause = {0, 20000000};
        nanosleep(&pause, NULL);
        kill(parent, SIGALRM);
    }
    int r = nanosleep(&t, &left);
    printf("sleep: %d %d, left %d\n", r, errno == EINTR, left.tv_sec > 900 && left.tv_sec <= 1000);
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
    go(0);
    printf("queue: nobody %d %d\n", sigqueue(0x7ffffff, 0, (union sigval){0}), errno == ESRCH);
    printf("queue: no signal %d %d\n", sigqueue(getpid(), 99, (union sigval){0}), errno == EINVAL);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc == 3) places[0] = argv[1], places[1] = argv[2];
    test_queue();
    test_sleep();
    printf("end\n");
    return 0;
}
