// family [NODES]: parents and children, their ends and who is told: exit codes, signals, waits
// in all forms, groups, orphans, zombies. Prints the same lines on every system. With NODES,
// each child goes to another node, by its own /proc/self/node, before it does what it is there
// for, and the parent moves in between.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node.h"

#define CHILDREN 6

static int nodes, turn;

static void say(int good, const char *what) {
    printf("%s %s\n", good ? "ok" : "not ok", what);
    fflush(stdout);
}

// To another node than the last time; nothing without NODES.
static void go(void) {
    if (!nodes || (errno = node_go(++turn % nodes)) == 0) return;
    perror("family: /proc/self/node");
    _exit(99);
}

// A child that goes to node number `to` and runs f.
static pid_t child(int to, int (*f)(int), int arg) {
    pid_t pid = fork();
    if (pid) return pid;
    turn = to;
    go();
    _exit(f(arg));
}

static int code(int n) { return n; }
static int forever(int n) {
    while (!n) pause();
    return n;
}

static void exit_codes(void) {
    int good = 1, status;
    for (int i = 0; i < CHILDREN; i++) {
        pid_t pid = child(i, code, 40 + i);
        good &= waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
                WEXITSTATUS(status) == 40 + i;
    }
    say(good, "exit codes");
}

static void any_child(void) {
    int seen = 0, status;
    for (int i = 0; i < CHILDREN; i++) child(i, code, i);
    for (int i = 0; i < CHILDREN; i++) {
        if (i == 2) go();
        if (wait(&status) > 0 && WIFEXITED(status)) seen |= 1 << WEXITSTATUS(status);
    }
    say(seen == (1 << CHILDREN) - 1 && wait(&status) == -1 && errno == ECHILD,
        "wait for any, then none");
}

static void kills(void) {
    static const int signals[] = {SIGKILL, SIGTERM, SIGSEGV, SIGKILL, SIGINT, SIGKILL};
    pid_t pid[CHILDREN];
    int good = 1, status;
    for (int i = 0; i < CHILDREN; i++) pid[i] = child(i, forever, 0);
    go();
    for (int i = 0; i < CHILDREN; i++) {
        good &= waitpid(pid[i], &status, WNOHANG) == 0;
        kill(pid[i], signals[i]);
        good &= waitpid(pid[i], &status, 0) == pid[i] && WIFSIGNALED(status) &&
                WTERMSIG(status) == signals[i];
        good &= kill(pid[i], 0) == -1 && errno == ESRCH;
    }
    say(good, "killed by signals, then gone");
}

static void zombies(void) {
    siginfo_t info;
    int good = 1, status;
    pid_t pid = child(1, code, 5);
    memset(&info, 0, sizeof info);
    good &= waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0 && info.si_pid == pid &&
            info.si_code == CLD_EXITED && info.si_status == 5;
    good &= kill(pid, 0) == 0;                   // it is there until it is waited for
    go();
    good &= waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 5;
    say(good, "a zombie waits for its parent, wherever that goes");
}

static void groups(void) {
    int ready[2], good = 1, status, ended = 0;
    char byte;
    if (pipe(ready)) exit(3);
    pid_t leader = 0;
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            setpgid(0, leader);                  // as shells do it: the child, and its parent
            turn = i;
            go();
            byte = 1;
            if (write(ready[1], &byte, 1) != 1) _exit(98);
            forever(0);
        }
        if (!leader) leader = pid;
        setpgid(pid, leader);                    // in vain where it has left already
    }
    for (int i = 0; i < 3; i++) good &= read(ready[0], &byte, 1) == 1;
    good &= waitpid(-leader, &status, WNOHANG) == 0;
    good &= kill(-leader, SIGTERM) == 0;
    while (waitpid(-leader, &status, 0) > 0)
        ended += WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
    say(good && ended == 3, "a group is killed and waited for as one");
    close(ready[0]);
    close(ready[1]);
}

static volatile sig_atomic_t told;
static void on_child(int sig) { (void)sig; told++; }
static void sigchld(void) {
    struct sigaction a = {.sa_handler = on_child}, old;
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &before);
    sigaction(SIGCHLD, &a, &old);
    told = 0;
    pid_t pid = child(1, code, 0);
    while (!told) sigsuspend(&before);
    int good = waitpid(pid, NULL, WNOHANG) == pid;
    sigaction(SIGCHLD, &old, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    say(good, "SIGCHLD, and the child can be waited for");
}

// The parent of an orphan ends; the orphan says who its parent is then, and is nobody's here.
static int make_orphan(int to) {
    pid_t middle = getpid();
    if (fork() == 0) {
        turn = to;
        go();
        while (getppid() == middle) usleep(1000);
        _exit(0);
    }
    return 7;
}
static void orphans(void) {
    int status, good = 1;
    for (int i = 0; i < 3; i++) {
        pid_t pid = child(i, make_orphan, i + 1);
        good &= waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7;
    }
    say(good && waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD, "orphans are not ours");
}

// A child's child elsewhere, and the codes passed up.
static int deep(int n) {
    int status;
    if (n == 0) return 1;
    pid_t pid = child(n, deep, n - 1);
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) return 100;
    return WEXITSTATUS(status) + 1;
}

int main(int argc, char **argv) {
    nodes = argc > 1 ? atoi(argv[1]) : 0;
    signal(SIGINT, SIG_DFL);                     // who starts it in the background ignores that
    exit_codes();
    any_child();
    kills();
    zombies();
    groups();
    sigchld();
    orphans();
    say(deep(8) == 9, "eight generations");
    go();
    return 0;
}
