// File locks: fcntl's record locks, those of open descriptions, flock; between processes that
// are on other nodes and move. `locks FILE NODES`; with one node (Linux) nothing moves. The
// same lines everywhere. Nothing here waits for a time.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef F_OFD_SETLK
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#endif
#define CHECK(x) do { if (!(x)) { printf("FAIL line %d: %s (errno %d)\n", __LINE__, #x, errno); \
                                  fflush(stdout); return 0; } } while (0)
#define ROUNDS 40

static const char *file;
static int nodes;

static void go(pid_t pid, int node) {
    if (nodes < 2) return;
    char path[64], text[16];
    snprintf(path, sizeof path, "/proc/%d/node", pid);
    int fd = open(path, O_WRONLY), len = snprintf(text, sizeof text, "%d", node % nodes);
    if (fd < 0 || write(fd, text, (size_t)len) != len) perror("locks: move");
    if (fd >= 0) close(fd);
}

static int lock(int fd, int command, int type, off_t start, off_t len) {
    struct flock l = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    return fcntl(fd, command, &l);
}
static int set(int fd, int type, off_t start, off_t len) {
    return lock(fd, F_SETLK, type, start, len);
}

// What a child on another node finds in twelve pieces of ten bytes: '.', 'r' or 'w' each.
static int probe(int fd, char *seen) {
    int p[2];
    if (pipe(p)) return 0;
    pid_t child = fork();
    if (child == 0) {
        go(getpid(), 1);
        for (int i = 0; i < 12; i++) {
            struct flock l = {.l_type = F_WRLCK, .l_start = i * 10, .l_len = 10};
            char c = fcntl(fd, F_GETLK, &l) ? '?' : l.l_type == F_UNLCK ? '.'
                   : l.l_type == F_RDLCK ? 'r' : 'w';
            if (c != '.' && c != '?' && l.l_pid != getppid()) c = '!';
            if (write(p[1], &c, 1) != 1) _exit(1);
        }
        _exit(0);
    }
    close(p[1]);
    for (int i = 0; i < 12; i++)
        if (read(p[0], seen + i, 1) != 1) seen[i] = '?';
    close(p[0]);
    int status;
    return waitpid(child, &status, 0) == child && status == 0;
}

static int check_ranges(void) {
    int fd = open(file, O_RDWR);
    char seen[13] = "";
    static const struct { short type; off_t start, len; const char *after; } steps[] = {
        {F_WRLCK, 0, 100, "wwwwwwwwww.."}, {F_UNLCK, 40, 10, "wwww.wwwww.."},
        {F_RDLCK, 20, 10, "wwrw.wwwww.."}, {F_RDLCK, 30, 30, "wwrrrrwwww.."},
        {F_WRLCK, 110, 0, "wwrrrrwwww.w"}, {F_WRLCK, 25, 1, "wwrrrrwwww.w"},
        {F_UNLCK, 0, 60, "......wwww.w"}, {F_UNLCK, 0, 0, "............"},
        {F_RDLCK, 5, 50, "rrrrrr......"}, {F_WRLCK, 0, 120, "wwwwwwwwwwww"},
        {F_UNLCK, 10, 10, "w.wwwwwwwwww"}, {F_UNLCK, 0, 0, "............"}};
    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        CHECK(set(fd, steps[i].type, steps[i].start, steps[i].len) == 0);
        CHECK(probe(fd, seen));
        if (strcmp(seen, steps[i].after)) printf("step %u: %s\n", i, seen);
        CHECK(strcmp(seen, steps[i].after) == 0);
        go(getpid(), (int)i);
    }
    go(getpid(), 0);
    close(fd);
    return 1;
}

static int check_whence(void) {
    int fd = open(file, O_RDWR);
    char seen[13] = "";
    CHECK(ftruncate(fd, 100) == 0 && lseek(fd, 50, SEEK_SET) == 50);
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = 10, .l_len = -20};
    CHECK(fcntl(fd, F_SETLK, &l) == 0 && probe(fd, seen) && !strcmp(seen, "....ww......"));
    l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -10};
    CHECK(fcntl(fd, F_SETLK, &l) == 0 && probe(fd, seen) && !strcmp(seen, "....ww...www"));
    l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = -1};
    CHECK(fcntl(fd, F_SETLK, &l) == -1 && errno == EINVAL);
    l = (struct flock){.l_type = F_WRLCK, .l_whence = 7};
    CHECK(fcntl(fd, F_SETLK, &l) == -1 && errno == EINVAL);
    l = (struct flock){.l_type = 9};
    CHECK(fcntl(fd, F_SETLK, &l) == -1 && errno == EINVAL);
    CHECK(fcntl(fd, F_SETLK, (struct flock *)8) == -1 && errno == EFAULT);
    close(fd);
    int only_read = open(file, O_RDONLY), only_write = open(file, O_WRONLY);
    CHECK(set(only_read, F_WRLCK, 0, 1) == -1 && errno == EBADF);
    CHECK(set(only_write, F_RDLCK, 0, 1) == -1 && errno == EBADF);
    CHECK(set(only_read, F_RDLCK, 0, 1) == 0 && set(only_write, F_UNLCK, 0, 1) == 0);
    CHECK(set(99, F_RDLCK, 0, 1) == -1 && errno == EBADF && flock(99, LOCK_EX) == -1);
    CHECK(flock(only_read, 77) == -1 && errno == EINVAL);
    close(only_read);
    close(only_write);
    return 1;
}

// A child on another node tries, without waiting; returns its errno, 0: it got it.
static int other_tries(int how) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        go(getpid(), 1);
        int fd = open(file, O_RDWR);
        int r = how == F_OFD_SETLK ? lock(fd, F_OFD_SETLK, F_WRLCK, 0, 1)
              : how == F_SETLK ? set(fd, F_WRLCK, 0, 1) : flock(fd, LOCK_EX | LOCK_NB);
        _exit(r ? errno : 0);
    }
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

static int check_close(void) {
    int a = open(file, O_RDWR), b = open(file, O_RDWR);
    CHECK(set(a, F_WRLCK, 0, 10) == 0 && other_tries(F_SETLK) == EAGAIN);
    CHECK(set(b, F_WRLCK, 0, 10) == 0);              // the same owner
    close(b);
    CHECK(other_tries(F_SETLK) == 0);                // any close releases
    CHECK(set(a, F_WRLCK, 0, 10) == 0);
    int c = dup(a);
    close(c);
    CHECK(other_tries(F_SETLK) == 0);
    pid_t child = fork();
    if (child == 0) _exit(set(a, F_WRLCK, 0, 1) == 0 && set(a, F_RDLCK, 0, 1) == 0 ? 7 : 1);
    int status;
    waitpid(child, &status, 0);
    CHECK(WEXITSTATUS(status) == 7 && other_tries(F_SETLK) == 0);    // its end released them
    close(a);
    return 1;
}

// A child elsewhere takes a lock and says so; then it is killed.
static int check_death(void) {
    int p[2], fd = open(file, O_RDWR);
    char c;
    CHECK(pipe(p) == 0);
    for (int how = 0; how < 2; how++) {
        pid_t child = fork();
        if (child == 0) {
            go(getpid(), 1);
            int mine = open(file, O_RDWR);
            c = (how ? flock(mine, LOCK_EX) : set(mine, F_WRLCK, 0, 0)) ? 'n' : 'y';
            if (write(p[1], &c, 1) == 1) for (;;) pause();
            _exit(1);
        }
        CHECK(read(p[0], &c, 1) == 1 && c == 'y');
        CHECK((how ? flock(fd, LOCK_EX | LOCK_NB) : set(fd, F_RDLCK, 0, 1)) == -1);
        CHECK(errno == EAGAIN);
        kill(child, SIGKILL);
        // One that waits gets it once the dead has let go.
        CHECK((how ? flock(fd, LOCK_EX) : lock(fd, F_SETLKW, F_RDLCK, 0, 1)) == 0);
        waitpid(child, NULL, 0);
        CHECK((how ? flock(fd, LOCK_UN) : set(fd, F_UNLCK, 0, 0)) == 0);
    }
    close(fd), close(p[0]), close(p[1]);
    return 1;
}

static int check_flock(void) {
    int a = open(file, O_RDONLY), b = open(file, O_RDWR), c = dup(a);
    CHECK(flock(a, LOCK_SH) == 0 && flock(b, LOCK_SH) == 0);
    CHECK(flock(b, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
    CHECK(flock(c, LOCK_EX | LOCK_NB) == 0);         // b's was given up by its failed try
    CHECK(flock(b, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK);
    CHECK(other_tries(0) == EAGAIN && other_tries(F_SETLK) == 0);    // another kind of lock
    close(a);
    CHECK(other_tries(0) == EAGAIN);                 // the dup still has it
    pid_t child = fork();
    if (child == 0) {
        go(getpid(), 1);
        _exit(flock(c, LOCK_UN) ? 1 : 0);            // shared with the parent
    }
    int status;
    waitpid(child, &status, 0);
    CHECK(status == 0 && flock(b, LOCK_EX | LOCK_NB) == 0);
    close(b), close(c);
    CHECK(other_tries(0) == 0);
    return 1;
}

static int check_ofd(void) {
    int a = open(file, O_RDWR), b = open(file, O_RDWR);
    CHECK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 10) == 0);
    CHECK(lock(b, F_OFD_SETLK, F_WRLCK, 5, 10) == -1 && errno == EAGAIN);
    CHECK(set(a, F_WRLCK, 0, 1) == -1 && errno == EAGAIN);           // POSIX against it
    struct flock l = {.l_type = F_RDLCK, .l_start = 3, .l_len = 1};
    CHECK(fcntl(b, F_OFD_GETLK, &l) == 0 && l.l_type == F_WRLCK && l.l_start == 0);
    CHECK(l.l_len == 10 && l.l_pid == -1);
    l = (struct flock){.l_type = F_RDLCK, .l_pid = 5};
    CHECK(fcntl(b, F_OFD_SETLK, &l) == -1 && errno == EINVAL);
    CHECK(other_tries(F_OFD_SETLK) == EAGAIN);
    int c = dup(a);
    close(a);
    CHECK(other_tries(F_OFD_SETLK) == EAGAIN);       // it goes with the description
    close(c);
    CHECK(other_tries(F_OFD_SETLK) == 0 && lock(b, F_OFD_SETLK, F_WRLCK, 5, 10) == 0);
    close(b);
    return 1;
}

// A child waits; its parent writes the word that it must see, then lets go. The waiter, and
// the holder, move meanwhile.
static int check_wait(void) {
    for (int how = 0; how < 3; how++) {
        int fd = open(file, O_RDWR), p[2];
        char word[4] = "";
        CHECK(pipe(p) == 0 && pwrite(fd, "old", 3, 0) == 3);
        CHECK((how == 2 ? flock(fd, LOCK_EX) : set(fd, F_WRLCK, 0, 0)) == 0);
        pid_t child = fork();
        if (child == 0) {
            close(fd);
            fd = open(file, O_RDWR);
            if (write(p[1], "w", 1) != 1) _exit(9);
            int r = how == 2 ? flock(fd, LOCK_EX)
                  : how == 1 ? lock(fd, 38, F_WRLCK, 0, 4) : lock(fd, F_SETLKW, F_RDLCK, 2, 2);
            if (r || pread(fd, word, 3, 0) != 3) _exit(8);
            _exit(strcmp(word, "new") ? 7 : 0);
        }
        CHECK(read(p[0], word, 1) == 1);
        go(child, 1);
        go(child, 2);
        go(getpid(), 2);
        go(child, 0);
        CHECK(pwrite(fd, "new", 3, 0) == 3);
        CHECK((how == 2 ? flock(fd, LOCK_UN) : set(fd, F_UNLCK, 0, 0)) == 0);
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        go(getpid(), 0);
        close(fd), close(p[0]), close(p[1]);
    }
    return 1;
}

static void nothing(int sig) { (void)sig; }

// A wait that a handler ends: EINTR. The parent signals until the child says so.
static int check_interrupt(void) {
    int fd = open(file, O_RDWR), p[2];
    CHECK(pipe(p) == 0 && set(fd, F_WRLCK, 0, 0) == 0);
    pid_t child = fork();
    if (child == 0) {
        struct sigaction act = {.sa_handler = nothing};
        sigaction(SIGUSR1, &act, NULL);
        go(getpid(), 1);
        if (write(p[1], "r", 1) != 1) _exit(9);
        int r = lock(fd, F_SETLKW, F_WRLCK, 0, 1);
        char c = r == -1 && errno == EINTR ? 'i' : 'x';
        _exit(write(p[1], &c, 1) == 1 ? 0 : 9);
    }
    char c;
    struct pollfd ready = {.fd = p[0], .events = POLLIN};
    CHECK(read(p[0], &c, 1) == 1);
    do kill(child, SIGUSR1); while (poll(&ready, 1, 10) == 0);
    CHECK(read(p[0], &c, 1) == 1 && c == 'i');
    waitpid(child, NULL, 0);
    close(fd), close(p[0]), close(p[1]);
    return 1;
}

// Two take one byte each, then want the other's: one of them is refused, and the other gets it.
static int check_deadlock(int other_node) {
    int fd = open(file, O_RDWR), up[2], down[2], status;
    char c;
    CHECK(pipe(up) == 0 && pipe(down) == 0 && set(fd, F_WRLCK, 0, 1) == 0);
    pid_t child = fork();
    if (child == 0) {
        go(getpid(), other_node);
        if (set(fd, F_WRLCK, 1, 1) || write(up[1], "t", 1) != 1 || read(down[0], &c, 1) != 1)
            _exit(9);
        if (lock(fd, F_SETLKW, F_WRLCK, 0, 1) == 0) _exit(0);
        _exit(errno == EDEADLK ? 1 : 8);
    }
    CHECK(read(up[0], &c, 1) == 1 && write(down[1], "g", 1) == 1);
    const int mine = lock(fd, F_SETLKW, F_WRLCK, 1, 1), refused = mine && errno == EDEADLK;
    CHECK(mine == 0 || refused);
    if (refused) CHECK(set(fd, F_UNLCK, 0, 0) == 0);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == !refused);
    close(fd), close(up[0]), close(up[1]), close(down[0]), close(down[1]);
    return 1;
}
static int check_circle_apart(void) { return check_deadlock(1); }
static int check_circle_together(void) { return check_deadlock(0); }

// Four processes add to one number, each on its own node, and move on.
static int check_count(void) {
    int fd = open(file, O_RDWR);
    uint32_t n = 0;
    CHECK(pwrite(fd, &n, sizeof n, 0) == sizeof n);
    for (int i = 0; i < 4; i++) {
        if (fork()) continue;
        close(fd);
        fd = open(file, O_RDWR);
        for (int k = 0; k < ROUNDS; k++) {
            if (k % 10 == 0) go(getpid(), i + k / 10);
            if (i % 2 ? lock(fd, F_SETLKW, F_WRLCK, 0, 4) : lock(fd, 38, F_WRLCK, 0, 4)) _exit(1);
            if (pread(fd, &n, sizeof n, 0) != sizeof n) _exit(2);
            n++;
            if (pwrite(fd, &n, sizeof n, 0) != sizeof n) _exit(3);
            if (i % 2 ? set(fd, F_UNLCK, 0, 4) : lock(fd, F_OFD_SETLK, F_UNLCK, 0, 4)) _exit(4);
        }
        _exit(0);
    }
    for (int i = 0; i < 4; i++) {
        int status;
        CHECK(wait(&status) > 0 && status == 0);
    }
    CHECK(pread(fd, &n, sizeof n, 0) == sizeof n && n == 4 * ROUNDS);
    close(fd);
    return 1;
}

static const struct { const char *name; int (*run)(void); } checks[] = {
    {"ranges are cut and joined", check_ranges},
    {"where a range begins, and refusals", check_whence},
    {"a close releases a process's record locks", check_close},
    {"a process that is killed releases", check_death},
    {"flock", check_flock},
    {"locks of open descriptions", check_ofd},
    {"one that waits gets it", check_wait},
    {"a signal ends a wait", check_interrupt},
    {"a circle is refused", check_circle_together},
    {"a circle over two nodes is refused", check_circle_apart},
    {"four add to one number", check_count},
};

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    file = argv[1];
    nodes = atoi(argv[2]);
    int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0644), bad = fd < 0;
    if (fd >= 0) close(fd);
    for (unsigned i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (argc > 3 && !strstr(checks[i].name, argv[3])) continue;
        fflush(stdout);
        const int good = checks[i].run();
        printf("%s %s\n", good ? "ok" : "not ok", checks[i].name);
        bad |= !good;
    }
    return bad;
}
