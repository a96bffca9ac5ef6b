// Two processes that need nothing but their own pages: `born FILE` makes a child, which writes
// its pid to FILE once it has been through all that it does from then on, and both sleep, over
// and over.
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static void say(const char *path) {
    char text[16];
    const int len = snprintf(text, sizeof text, "%d\n", (int)getpid());
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, text, (size_t)len) != len) _exit(1);
    close(fd);
}

int main(int argc, char **argv) {
    const struct timespec some = {.tv_nsec = 10000000};
    if (argc != 2) return 1;
    const pid_t child = fork();
    if (child < 0) return 1;
    for (unsigned round = 0;; round++) {
        nanosleep(&some, NULL);
        if (child == 0 && round == 2) say(argv[1]);
    }
}
