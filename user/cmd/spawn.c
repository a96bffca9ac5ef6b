// spawn [-w] COMMAND...: starts COMMAND through the shared run queue: whichever node takes
// it runs it. Prints its process id; with -w waits instead and returns its exit status.
#include <stdbool.h>
#include <sys/wait.h>

#include "user/cmd/node_file.h"

static int become(char **command) {
    if (node_file_go("spawn", "any") != 0) return 126;
    execvp(command[0], command);
    int error = errno;
    fprintf(stderr, "spawn: %s: %s\n", command[0], strerror(error));
    return error == ENOENT ? 127 : 126;
}

int main(int argc, char **argv) {
    bool wait_for_it = argc > 1 && strcmp(argv[1], "-w") == 0;
    char **command = argv + 1 + wait_for_it;
    if (command >= argv + argc || command[0][0] == '-') {
        fprintf(stderr, "usage: spawn [-w] COMMAND [ARGUMENT]...\n");
        return 2;
    }
    pid_t pid = fork();
    if (pid < 0) {
        perror("spawn: fork");
        return 126;
    }
    if (pid == 0) _exit(become(command));
    if (!wait_for_it) {
        printf("%d\n", pid);
        return 0;
    }
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno == EINTR) continue;
        perror("spawn: wait");
        return 126;
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
