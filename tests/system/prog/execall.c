// Executes each file that it is given, one after another, and prints how it went:
// "NAME errno N", "NAME exit N" or "NAME signal N". A program that does not end by itself
// is ended by its alarm.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALARM_S 1

static void run(const char *path) {
    int ends[2], status = 0, error = 0;
    if (pipe2(ends, O_CLOEXEC)) return;
    const pid_t child = fork();
    if (child == 0) {
        alarm(ALARM_S);
        execl(path, path, (char *)NULL);
        error = errno;
        (void)!write(ends[1], &error, sizeof error);
        _exit(127);
    }
    close(ends[1]);
    const ssize_t n = read(ends[0], &error, sizeof error);
    close(ends[0]);
    if (child < 0 || waitpid(child, &status, 0) != child)
        printf("%s lost %s\n", path, strerror(errno));
    else if (n == (ssize_t)sizeof error) printf("%s errno %d\n", path, error);
    else if (WIFSIGNALED(status)) printf("%s signal %d\n", path, WTERMSIG(status));
    else printf("%s exit %d\n", path, WEXITSTATUS(status));
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) run(argv[i]);
    return 0;
}
