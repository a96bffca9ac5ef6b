// What a child of vfork or posix_spawn leaves behind in its parent's memory: a missing program is
// an error of posix_spawn, a write before _exit or exec is seen; signals that come meanwhile wait
// until the child is done, but those that kill. The same lines on every system.
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static volatile int left;

static int ended(pid_t pid) {
    int status = -1;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static volatile int handled, left_then;
static void handler(int sig) {
    (void)sig;
    handled++;
    left_then = left;
}

// Without SA_RESTART. One comes from the child while it has the memory, one for its end.
static void signals(int exec) {
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGCHLD, &action, NULL);
    handled = left_then = 0;
    const pid_t parent = getpid(), pid = vfork();
    if (pid == 0) {
        kill(parent, SIGUSR1);
        left = 6;
        if (exec) execl("/bin/true", "true", (char *)NULL);
        _exit(0);
    }
    printf("signals: %s, left %d then\n", pid > 0 ? "a child" : strerror(errno), left_then);
    while (handled < 2) pause();                 // an exec'ed child may live on
    printf("its end: %d\n", ended(pid));
    signal(SIGCHLD, SIG_DFL);
}

// A parent whose child does not end is killed all the same.
static void killed(int sig) {
    int up[2], hold[2], status = -1;
    char byte;
    if (pipe(up) || pipe(hold)) _exit(9);
    const pid_t parent = fork();
    if (parent == 0) {
        close(hold[1]);
        if (vfork() == 0) {
            if (write(up[1], "", 1) != 1) _exit(9);
            _exit((int)read(hold[0], &byte, 1));
        }
        _exit(0);
    }
    if (read(up[0], &byte, 1) != 1) _exit(9);
    kill(parent, sig);
    waitpid(parent, &status, 0);
    printf("killed: %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : -1);
    for (int i = 0; i < 2; i++) close(up[i]), close(hold[i]);
}

int main(void) {
    pid_t pid;
    char *nothing[] = {"nothing", NULL}, *shell[] = {"sh", "-c", "exit 5", NULL};
    printf("missing: %s\n", strerror(posix_spawn(&pid, "/no/such/program", NULL, NULL, nothing,
                                                 environ)));
    int error = posix_spawn(&pid, "/bin/sh", NULL, NULL, shell, environ);
    printf("there: %s, %d\n", strerror(error), ended(pid));
    pid = vfork();
    if (pid == 0) {
        left = 1;
        _exit(3);
    }
    printf("exit: %d, left %d\n", ended(pid), left);
    pid = vfork();
    if (pid == 0) {
        left = 2;
        execl("/bin/sh", "sh", "-c", "exit 4", (char *)NULL);
        _exit(1);
    }
    printf("exec: %d, left %d\n", ended(pid), left);
    signals(0);
    signals(1);
    killed(SIGKILL);
    killed(SIGTERM);
    return 0;
}
