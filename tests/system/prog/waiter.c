// waiter A B: makes a pipe on node A, then moves to node B and reads from it; nobody writes. Says
// when it waits, and what the read gave: 0 where it ended with an error.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int go(const char *node) {
    const int fd = open("/proc/self/node", O_WRONLY);
    const ssize_t n = fd < 0 ? -1 : write(fd, node, strlen(node));
    if (n < 0) perror("waiter: move");
    close(fd);
    return n < 0;
}

int main(int argc, char **argv) {
    int ends[2];
    char byte;
    if (argc != 3 || go(argv[1]) != 0 || pipe(ends) != 0 || go(argv[2]) != 0) return 2;
    printf("waits\n");
    fflush(stdout);
    const ssize_t n = read(ends[0], &byte, 1);
    printf("%zd %s\n", n, n < 0 ? strerror(errno) : "");
    return n >= 0;
}
