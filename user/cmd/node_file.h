// The one file that moves processes: /proc/PID/node. Used by migrate, on and spawn.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// Writes `where` (a node's id, "any" for whoever takes it, "auto") to /proc/PID/node.
// Returns 0, or -1 after saying on standard error what was wrong.
static inline int node_file_write(const char *command, const char *pid, const char *where) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/node", pid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "%s: no process %s: %s\n", command, pid,
                strerror(errno == ENOENT ? ESRCH : errno));
        return -1;
    }
    ssize_t n = write(fd, where, strlen(where));
    if (n < 0) {
        fprintf(stderr, "%s: process %s cannot go to node %s: %s\n", command, pid, where,
                strerror(errno));
        close(fd);
        return -1;
    }
    close(fd);
    return 0;
}
