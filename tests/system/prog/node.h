// Where a test program itself runs, by its own /proc/self/node.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// Goes to `node`. 0, or what went wrong, as errno has it.
static inline int node_go(int node) {
    char text[16];
    const int length = snprintf(text, sizeof text, "%d", node);
    const int fd = open("/proc/self/node", O_WRONLY);
    if (fd < 0) return errno;
    errno = EIO;
    const int error = write(fd, text, (size_t)length) == length ? 0 : errno;
    close(fd);
    return error;
}

// The node it is on, -1 where that cannot be read.
static inline int node_here(void) {
    char text[16] = "";
    const int fd = open("/proc/self/node", O_RDONLY);
    if (fd < 0) return -1;
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 ? atoi(text) : -1;
}
