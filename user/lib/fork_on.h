// Remote fork for programs: a child that begins on another node of the cluster, with the parent's
// memory copy on write. A header alone, for C programs of any library.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

// Chooses where the next child of this process begins, however it is made (fork, clone, vfork,
// posix_spawn, system, popen): a node's number; -1: whichever node takes it first. Once only.
// 0, or -1 with errno: EHOSTUNREACH (no such member), EOPNOTSUPP (its CPU lacks features that
// this program may use), ENXIO (no node can have that number).
static inline int fork_on_next(int node) {
    char text[24];
    const int len = node < 0 ? snprintf(text, sizeof text, "fork any")
                             : snprintf(text, sizeof text, "fork %d", node);
    const int fd = open("/proc/self/node", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    const ssize_t n = write(fd, text, (size_t)len);
    const int error = errno;
    close(fd);
    errno = error;
    return n == len ? 0 : -1;
}

// fork, with the child on that node. As fork; also -1 as fork_on_next, or EHOSTUNREACH where the
// node was lost in between. Where the node has no room for it the child begins on this one.
static inline pid_t fork_on(int node) {
    return fork_on_next(node) == 0 ? fork() : -1;
}
