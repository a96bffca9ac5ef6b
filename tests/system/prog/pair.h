// What the test programs of terminals share: a pseudo-terminal, and who works on it.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "places.h"

static inline void show(const char *what, const char *bytes, ssize_t n) {
    printf("%s ", what);
    for (ssize_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c >= 32 && c < 127 && c != '\\') putchar(c);
        else printf("\\%03o", c);
    }
    printf("\n");
}

static int master, slave;
static char name[64];

static inline void open_pair(void) {
    master = posix_openpt(O_RDWR | O_NOCTTY);
    snprintf(name, sizeof name, "%s", master < 0 ? "none" : ptsname(master));
    int locked = open(name, O_RDWR | O_NOCTTY);
    printf("locked: %d\n", locked < 0 && errno == EIO);
    printf("grant %d unlock %d, %.9s\n", grantpt(master), unlockpt(master), name);
    slave = open(name, O_RDWR | O_NOCTTY);
    struct stat s;
    fstat(slave, &s);
    printf("terminals: %d %d, device %d\n", isatty(master), isatty(slave),
           S_ISCHR(s.st_mode) && s.st_rdev >> 8 == 136);
}
static inline void close_pair(void) {
    close(master);
    close(slave);
}

// Reads until what came ends with `end`.
static inline ssize_t read_until(int fd, char *to, size_t size, const char *end) {
    size_t n = 0, len = strlen(end);
    while (n < size) {
        ssize_t r = read(fd, to + n, size - n);
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) return r < 0 ? -errno : (ssize_t)n;
        n += (size_t)r;
        if (n >= len && !memcmp(to + n - len, end, len)) break;
    }
    return (ssize_t)n;
}

// Makes this process a session's leader with the slave as its terminal.
static inline void lead_session(void) {
    setsid();
    printf("takes it: %d\n", ioctl(slave, TIOCSCTTY, 0));
    fflush(stdout);
}

static inline void say(const char *text) {
    if (write(slave, text, strlen(text)) < 0) _exit(3);
}
static inline void type(const char *text) {
    if (write(master, text, strlen(text)) < 0) printf("not typed\n");
}
