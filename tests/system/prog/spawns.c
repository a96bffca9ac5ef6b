// What a child of vfork or posix_spawn leaves behind in its parent's memory: a missing program is
// an error of posix_spawn, a write before _exit or exec is seen. The same lines on every system.
#include <errno.h>
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
    return 0;
}
