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
        setpgid(pid, leader);                    // wherever it is by now
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

static int bytes[2];
static void byte_write(void) {
    if (write(bytes[1], "", 1) != 1) _exit(98);
}
static int byte_read(void) {
    char byte;
    return read(bytes[0], &byte, 1) == 1;
}
static void bytes_close(void) {
    close(bytes[0]);
    close(bytes[1]);
}

// Says so once it is where it is to be: in its group; in one, or a session, of its own.
static int ready(int n) {
    if (n == 1 && (setpgid(0, 0) || getpgrp() != getpid())) return 97;
    if (n == 2 && (setsid() != getpid() || setsid() != -1 || errno != EPERM)) return 96;
    byte_write();
    return forever(0);
}
static int refused(pid_t pid, pid_t pgid, int error) {
    errno = 0;
    return setpgid(pid, pgid) == -1 && errno == error;
}
static int ends(pid_t pid, int sig) {
    int status;
    return kill(pid, sig) == 0 && waitpid(pid, &status, 0) > 0 && WIFSIGNALED(status) &&
           WTERMSIG(status) == sig;
}

// A parent puts its children into groups, wherever they and it are.
static void parent_groups(void) {
    pid_t pid[CHILDREN];
    int good = pipe(bytes) == 0, status, ended = 0;
    for (int i = 0; i < CHILDREN; i++) {
        pid[i] = child(i, ready, 0);
        good &= setpgid(pid[i], pid[0]) == 0;    // before, while or after it moves
        if (i == 3) go();
    }
    for (int i = 0; i < CHILDREN; i++) good &= byte_read();
    for (int i = 0; i < CHILDREN; i++)
        good &= getpgid(pid[i]) == pid[0] && getsid(pid[i]) == getsid(0);
    good &= setpgid(pid[5], 0) == 0 && getpgid(pid[5]) != pid[0];
    good &= setpgid(pid[4], pid[5]) == 0 && setpgid(pid[3], pid[5]) == 0;
    good &= waitpid(-pid[0], &status, WNOHANG) == 0 && waitpid(-pid[5], &status, WNOHANG) == 0;
    good &= kill(-pid[5], SIGTERM) == 0;
    while (waitpid(-pid[5], &status, 0) > 0) ended += WIFSIGNALED(status);
    good &= ended == 3 && errno == ECHILD && refused(pid[1], pid[5], EPERM);
    go();
    good &= kill(-pid[0], SIGKILL) == 0;
    while (waitpid(-pid[0], &status, 0) > 0) ended += WIFSIGNALED(status);
    good &= ended == 6 && kill(-pid[0], 0) == -1 && errno == ESRCH;
    good &= getpgid(pid[0]) == -1 && errno == ESRCH;
    bytes_close();
    say(good, "a parent sets the groups of its children");
}

// A child that sets its own group or session; its parent's calls agree at once.
static void own_groups(void) {
    int good = pipe(bytes) == 0, status;
    for (int i = 0; i < 3; i++) {
        const pid_t group = child(i, ready, 1);
        good &= byte_read() && waitpid(-group, &status, WNOHANG) == 0;
        good &= getpgid(group) == group && kill(-group, 0) == 0;
        const pid_t session = child(i + 1, ready, 2);
        good &= byte_read() && waitpid(-session, &status, WNOHANG) == 0;
        good &= getsid(session) == session && getpgid(session) == session;
        good &= refused(session, session, EPERM) && refused(group, session, EPERM);
        good &= ends(-group, SIGTERM) && waitpid(-group, &status, 0) == -1;
        good &= ends(session, SIGKILL);
    }
    bytes_close();
    say(good, "children in groups and sessions of their own");
}

static int numbers[2];
static int has_child(int n) {
    int status;
    const pid_t pid = child(n + 1, ready, 0);
    if (write(numbers[1], &pid, sizeof pid) != sizeof pid) return 95;
    return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) ? 0 : 94;
}
static int program(int n) {
    fcntl(bytes[1], F_SETFD, FD_CLOEXEC);
    execlp("sleep", "sleep", "1000", NULL);
    return n;
}
// Somebody else's child, one that has another program, and what is no group.
static void no_groups(void) {
    int good = pipe(bytes) == 0 && pipe(numbers) == 0, status;
    pid_t pid = child(1, has_child, 1), grandchild = 0;
    good &= read(numbers[0], &grandchild, sizeof grandchild) == sizeof grandchild && byte_read();
    good &= getpgid(grandchild) == getpgrp() && refused(grandchild, grandchild, ESRCH);
    good &= kill(grandchild, SIGTERM) == 0;
    good &= waitpid(pid, &status, 0) == pid && status == 0;
    pid = child(2, program, 93);
    close(bytes[1]);
    good &= !byte_read();                        // all who could write have closed it
    close(bytes[0]);
    close(numbers[0]);
    close(numbers[1]);
    good &= refused(pid, pid, EACCES) && refused(pid, getpgrp(), EACCES);
    good &= ends(pid, SIGKILL) && refused(pid, pid, ESRCH);
    good &= refused(getppid(), 0, ESRCH) && refused(0, -1, EINVAL);
    say(good, "groups that are refused");
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

// A child, from outside: it has stopped and asks for nothing. Nothing without NODES.
static void send_on(pid_t pid) {
    char path[40], node[16];
    if (!nodes) return;
    snprintf(path, sizeof path, "/proc/%d/node", pid);
    const int length = snprintf(node, sizeof node, "%d", ++turn % nodes);
    const int fd = open(path, O_WRONLY);
    if (fd >= 0 && write(fd, node, (size_t)length) == length && close(fd) == 0) return;
    perror(path);
    exit(4);
}

static int stop_self(int n) {
    raise(SIGSTOP);
    return byte_read() ? n : 97;
}
// Each goes to another node while it is stopped, before its parent is told and after.
static void stops(void) {
    int good = 1, status;
    siginfo_t info = {0};
    if (pipe(bytes)) exit(3);
    for (int i = 0; i < CHILDREN; i++) {
        const int dies = i % 3 == 2;
        const pid_t pid = child(i, stop_self, 20 + i);
        good &= waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT) == 0 && info.si_pid == pid &&
                info.si_code == CLD_STOPPED && info.si_status == SIGSTOP;
        send_on(pid);
        if (i % 2) go();
        good &= waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) &&
                WSTOPSIG(status) == SIGSTOP;
        send_on(pid);
        if (i % 2) go();
        good &= waitpid(pid, &status, WNOHANG | WUNTRACED) == 0;
        kill(pid, dies ? SIGKILL : SIGCONT);
        if (!dies) {
            good &= waitid(P_PID, (id_t)pid, &info, WCONTINUED | WNOWAIT) == 0 &&
                    info.si_code == CLD_CONTINUED;
            if (i % 2) go();
            good &= waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status);
            good &= waitpid(pid, &status, WNOHANG | WCONTINUED) == 0;
            byte_write();
        }
        good &= waitpid(pid, &status, 0) == pid;
        good &= dies ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
                     : WIFEXITED(status) && WEXITSTATUS(status) == 20 + i;
    }
    say(good, "stopped, moved so, told once, and continued or killed");
    bytes_close();
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
    parent_groups();
    own_groups();
    no_groups();
    sigchld();
    orphans();
    stops();
    say(deep(8) == 9, "eight generations");
    go();
    return 0;
}
