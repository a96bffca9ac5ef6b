// The one file that moves processes: /proc/PID/node. Used by migrate, on and spawn.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// Says on standard error why a process could not go to `where`: `error` as the write gave it.
static inline void node_file_complain(const char *command, const char *pid, const char *where,
                                      int error) {
    if (error == EINVAL) {
        fprintf(stderr, "%s: %s is no node's number (`nodes` lists them)\n", command, where);
    } else if (error == EHOSTUNREACH) {
        fprintf(stderr, "%s: there is no node %s, or it is down (`nodes` lists them)\n", command,
                where);
    } else if (error == ESRCH) {
        fprintf(stderr, "%s: process %s: %s\n", command, pid, strerror(ESRCH));
    } else if (strcmp(pid, "self") == 0) {
        fprintf(stderr, "%s: cannot go to node %s: %s\n", command, where, strerror(error));
    } else {
        fprintf(stderr, "%s: process %s cannot go to node %s: %s\n", command, pid, where,
                strerror(error));
    }
}

// Writes `where` (a node's id, "any" for whoever takes it, "auto") to /proc/PID/node.
// Returns 0, or -1 after saying on standard error what was wrong; 1 without a word where
// that was quiet_on (0: no such error).
static inline int node_file_try(const char *command, const char *pid, const char *where,
                                int quiet_on) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/node", pid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        const int error = errno == ENOENT ? ESRCH : errno;
        fprintf(stderr, "%s: process %s: %s\n", command, pid, strerror(error));
        return -1;
    }
    ssize_t n = write(fd, where, strlen(where));
    if (n < 0 && quiet_on && errno == quiet_on) {
        close(fd);
        return 1;
    }
    if (n < 0) {
        node_file_complain(command, pid, where, errno);
        close(fd);
        return -1;
    }
    close(fd);
    return 0;
}

static inline int node_file_write(const char *command, const char *pid, const char *where) {
    return node_file_try(command, pid, where, 0);
}

// This process goes to `where`, now or, where a CPU there lacks what it may have chosen by,
// with its next exec.
static inline int node_file_go(const char *command, const char *where) {
    int moved = node_file_try(command, "self", where, EOPNOTSUPP);
    if (moved <= 0) return moved;
    char at_exec[32];
    snprintf(at_exec, sizeof at_exec, "exec %s", where);
    return node_file_write(command, "self", at_exec);
}
