// moves NODES [SELF-TEST...]: what a process keeps when it moves, seen from inside. Each
// check moves by /proc/PID/node, its own or a child's, and prints "ok NAME" or
// "FAIL NAME: what was seen". Meant for musl, glibc and static PIE alike.
// (tidy: long, because it is one check after the other, each on its own.)
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (1u << 20)
#define PAGE 4096u

static int nodes = 2, at, failed;
static char why[256];

// got: a figure to see with what failed.
#define CHECK_SAW(cond, got)                                                               \
    do {                                                                                   \
        if (!(cond)) {                                                                     \
            snprintf(why, sizeof why, "line %d: %s (saw %lld, errno %d)", __LINE__, #cond, \
                     (long long)(got), errno);                                             \
            return 0;                                                                      \
        }                                                                                  \
    } while (0)
#define CHECK(cond)                                                                        \
    do {                                                                                   \
        if (!(cond)) {                                                                     \
            snprintf(why, sizeof why, "line %d: %s (errno %d)", __LINE__, #cond, errno);   \
            return 0;                                                                      \
        }                                                                                  \
    } while (0)

// Moves process pid (0: this one) to node; 0, or errno.
static int move(pid_t pid, int node) {
    char path[64], text[16];
    if (pid) snprintf(path, sizeof path, "/proc/%d/node", pid);
    else snprintf(path, sizeof path, "/proc/self/node");
    int length = snprintf(text, sizeof text, "%d", node);
    int fd = open(path, O_WRONLY);
    if (fd < 0) return errno;
    errno = 0;
    int result = write(fd, text, (size_t)length) == length ? 0 : errno ? errno : EIO;
    close(fd);
    return result;
}

static int hop(void) {
    at = (at + 1) % nodes;
    return move(0, at);
}

static int node_of(pid_t pid) {
    char path[64], text[16] = "";
    if (pid) snprintf(path, sizeof path, "/proc/%d/node", pid);
    else snprintf(path, sizeof path, "/proc/self/node");
    int fd = open(path, O_RDONLY);
    if (fd < 0) return -1;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 ? atoi(text) : -1;
}

static int64_t now_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint32_t sum(const unsigned char *bytes, size_t n, uint32_t s) {
    for (size_t i = 0; i < n; i++) s = s * 31 + bytes[i];
    return s;
}

static void fill(unsigned char *bytes, size_t n, uint32_t seed) {
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (unsigned char)(seed >> 24);
    }
}

static unsigned char *pages_map(size_t bytes) {
    return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int status_of(pid_t child) {
    int status = -1;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return -errno;
    return status;
}

// --- checks ---------------------------------------------------------------------------------

static int check_where(void) {
    for (int i = 0; i < 2 * nodes; i++) {
        CHECK(hop() == 0);
        CHECK(node_of(0) == at && node_of(getpid()) == at);
    }
    return 1;
}

static int check_identity(void) {
    pid_t pid = getpid(), ppid = getppid(), pgid = getpgrp(), sid = getsid(0);
    CHECK(hop() == 0);
    CHECK(getpid() == pid && getppid() == ppid && getpgrp() == pgid && getsid(0) == sid);
    return 1;
}

static int check_sse(void) {
    double a[8], b = 1.0 / 3;
    for (int i = 0; i < 8; i++) a[i] = b * (i + 1);
    volatile double x = 0.1;
    double sums = 0;
    for (int k = 0; k < 2 * nodes; k++) {
        for (int i = 0; i < 8; i++) sums += a[i] * x;
        __asm__ volatile("movsd %0, %%xmm9" : : "m"(b) : "xmm9");
        char text[2] = {(char)('0' + (at + 1) % nodes), 0};
        int fd = open("/proc/self/node", O_WRONLY);
        long result;
        double after;
        register long r10 __asm__("r10") = 0;
        (void)r10;
        __asm__ volatile("movsd %3, %%xmm9\n\tsyscall\n\tmovsd %%xmm9, %1"
                         : "=a"(result), "=m"(after)
                         : "0"(1L), "m"(b), "D"((long)fd), "S"(text), "d"(1L)
                         : "rcx", "r11", "memory", "xmm9");
        close(fd);
        CHECK(result == 1);
        at = (at + 1) % nodes;
        CHECK(memcmp(&after, &b, sizeof b) == 0);
    }
    CHECK(sums > 4.79 * nodes / 2 && sums < 4.81 * nodes);
    return 1;
}

static int check_clock(void) {
    int64_t mono = now_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < 2 * nodes; i++) {
        CHECK(hop() == 0);
        int64_t later = now_ns(CLOCK_MONOTONIC);
        CHECK_SAW(later >= mono && later - mono < 60000000000ll, later - mono);
        mono = later;
    }
    return 1;
}

static volatile sig_atomic_t alarms;
static void on_alarm(int signal) { (void)signal; alarms++; }

static int check_alarm(void) {
    struct sigaction a = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &a, NULL);
    alarms = 0;
    struct itimerval t = {.it_value = {0, 200000}};
    CHECK(setitimer(ITIMER_REAL, &t, NULL) == 0);
    CHECK(hop() == 0);
    while (!alarms) pause();
    CHECK(alarms == 1);
    return 1;
}

static int check_signal_mask(void) {
    struct sigaction a = {.sa_handler = on_alarm};
    sigaction(SIGUSR1, &a, NULL);
    sigset_t set, old, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    alarms = 0;
    raise(SIGUSR1);
    CHECK(hop() == 0);
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGUSR1) && alarms == 0);
    sigprocmask(SIG_SETMASK, &old, NULL);
    CHECK(alarms == 1);
    return 1;
}

static int check_memory(void) {
    unsigned char *m = pages_map(4 * MIB);
    CHECK(m != MAP_FAILED);
    fill(m, 4 * MIB, 7);
    uint32_t want = sum(m, 4 * MIB, 0);
    CHECK(hop() == 0);
    CHECK(munmap(m + MIB, PAGE) == 0);                      // while pages are still away
    CHECK(mprotect(m + 2 * MIB, MIB, PROT_READ) == 0);
    m[3 * MIB] ^= 1;
    CHECK(hop() == 0);
    m[3 * MIB] ^= 1;
    uint32_t got = sum(m, MIB, 0);
    unsigned char gone[PAGE];
    uint32_t seed = 7;
    unsigned char *again = malloc(4 * MIB);
    fill(again, 4 * MIB, seed);
    memcpy(gone, again + MIB, PAGE);
    got = sum(gone, PAGE, got);
    got = sum(m + MIB + PAGE, 3 * MIB - PAGE, got);
    CHECK(got == want);
    free(again);
    CHECK(munmap(m, 4 * MIB) == 0);
    return 1;
}

static int check_brk(void) {
    unsigned char *m = (unsigned char *)syscall(SYS_brk, 0L);     // musl's sbrk only asks
    CHECK(syscall(SYS_brk, m + MIB) == (long)(m + MIB));
    fill(m, MIB, 3);
    uint32_t want = sum(m, MIB, 0);
    CHECK(hop() == 0);
    CHECK(syscall(SYS_brk, m + 2 * MIB) == (long)(m + 2 * MIB) && sum(m + MIB, MIB, 0) == 0);
    CHECK(hop() == 0);
    CHECK(sum(m, MIB, 0) == want);
    CHECK(syscall(SYS_brk, m) == (long)m);
    return 1;
}

static int check_fork_drain(void) {
    unsigned char *m = pages_map(8 * MIB);
    CHECK(m != MAP_FAILED);
    fill(m, 8 * MIB, 9);
    uint32_t want = sum(m, 8 * MIB, 0);
    for (int i = 0; i < 2 * nodes; i++) {
        CHECK(hop() == 0);
        pid_t child = fork();                               // while pages are still away
        CHECK(child >= 0);
        if (child == 0) _exit(sum(m, 8 * MIB, 0) == want && node_of(0) == at ? 0 : 1);
        CHECK(hop() == 0);
        int status = status_of(child);
        CHECK_SAW(status == 0, status);
    }
    munmap(m, 8 * MIB);
    return 1;
}

static int check_exec_drain(void) {
    unsigned char *m = pages_map(4 * MIB);
    fill(m, 4 * MIB, 9);
    for (int i = 0; i < 2 * nodes; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            if (hop() != 0) _exit(9);
            execl("/bin/sh", "sh", "-c", "exit 5", (char *)NULL);
            _exit(8);
        }
        CHECK(status_of(child) == 5 << 8);
    }
    munmap(m, 4 * MIB);
    return 1;
}

static int check_exit_drain(void) {
    unsigned char *m = pages_map(4 * MIB);
    fill(m, 4 * MIB, 9);
    for (int i = 0; i < 3 * nodes; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) _exit(hop() == 0 ? 17 : 1);         // ends while pages are still away
        CHECK(status_of(child) == 17 << 8);
    }
    munmap(m, 4 * MIB);
    return 1;
}

static int check_file_offset(void) {
    int fd = open("/tmp/moves.file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    unsigned char bytes[10000], back[10000];
    fill(bytes, sizeof bytes, 5);
    for (size_t i = 0; i < sizeof bytes; i += 1000) {
        CHECK(write(fd, bytes + i, 1000) == 1000);
        CHECK(hop() == 0);
    }
    CHECK(lseek(fd, 0, SEEK_CUR) == sizeof bytes && lseek(fd, 0, SEEK_SET) == 0);
    for (size_t i = 0; i < sizeof bytes; i += 2500) {
        CHECK(read(fd, back + i, 2500) == 2500);
        CHECK(hop() == 0);
    }
    CHECK(memcmp(bytes, back, sizeof bytes) == 0);
    close(fd);
    CHECK(unlink("/tmp/moves.file") == 0);
    return 1;
}

static int check_shared_offset(void) {
    int fd = open("/tmp/moves.log", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (hop() != 0 || write(fd, "child\n", 6) != 6) _exit(1);
        _exit(0);
    }
    CHECK(status_of(child) == 0);
    CHECK(write(fd, "parent\n", 7) == 7);                   // behind the child's
    CHECK(hop() == 0);
    char text[32] = "";
    CHECK(pread(fd, text, sizeof text, 0) == 13 && strcmp(text, "child\nparent\n") == 0);
    close(fd);
    unlink("/tmp/moves.log");
    return 1;
}

static int check_append(void) {
    enum { WRITERS = 3, LINES = 40 };
    unlink("/tmp/moves.append");
    pid_t child[WRITERS];
    for (int w = 0; w < WRITERS; w++) {
        child[w] = fork();
        CHECK(child[w] >= 0);
        if (child[w]) continue;
        at = (at + w) % nodes;
        int fd = open("/tmp/moves.append", O_WRONLY | O_APPEND | O_CREAT, 0600);
        for (int i = 0; i < LINES; i++) {
            char line[32];
            int n = snprintf(line, sizeof line, "%d %02d line\n", w, i);
            if (write(fd, line, (size_t)n) != n) _exit(1);
            if (i % 10 == w && hop() != 0) _exit(2);
        }
        _exit(0);
    }
    for (int w = 0; w < WRITERS; w++) CHECK(status_of(child[w]) == 0);
    FILE *file = fopen("/tmp/moves.append", "r");
    CHECK(file != NULL);
    int next[WRITERS] = {0}, w, i, lines = 0;
    while (fscanf(file, "%d %d line\n", &w, &i) == 2) {
        CHECK(w >= 0 && w < WRITERS && next[w] == i);
        next[w]++;
        lines++;
    }
    fclose(file);
    CHECK(lines == WRITERS * LINES);
    return 1;
}

// A producer here, a consumer in a child; both move while 12 MiB go through the pipe.
static int check_pipe(void) {
    enum { CHUNK = 48 * 1024, CHUNKS = 256 };
    static unsigned char bytes[CHUNK];
    int to[2], back[2];
    CHECK(pipe(to) == 0 && pipe(back) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(to[1]);
        close(back[0]);
        uint32_t s = 0;
        uint64_t total = 0, next = 1 * MIB;
        for (ssize_t n; (n = read(to[0], bytes, sizeof bytes)) != 0;) {
            if (n < 0) _exit(1);
            s = sum(bytes, (size_t)n, s);
            total += (uint64_t)n;
            if (total < next) continue;
            next += 2 * MIB;
            if (hop() != 0) _exit(2);
        }
        if (write(back[1], &s, sizeof s) != sizeof s) _exit(3);
        _exit(total == (uint64_t)CHUNK * CHUNKS ? 0 : 4);
    }
    close(to[0]);
    close(back[1]);
    uint32_t want = 0, got = 0;
    for (uint32_t i = 0; i < CHUNKS; i++) {
        fill(bytes, sizeof bytes, i);
        want = sum(bytes, sizeof bytes, want);
        for (size_t done = 0; done < sizeof bytes;) {
            ssize_t n = write(to[1], bytes + done, sizeof bytes - done);
            CHECK(n > 0);
            done += (size_t)n;
        }
        if (i % 40 == 20) CHECK(hop() == 0);
    }
    close(to[1]);
    CHECK(read(back[0], &got, sizeof got) == sizeof got);
    close(back[0]);
    int status = status_of(child);
    CHECK_SAW(status == 0, status);
    CHECK(got == want);
    return 1;
}

// poll on a pipe whose writer is a child elsewhere: time-out, data, hang-up.
static int check_poll(void) {
    int to[2], go[2];
    char c;
    CHECK(pipe(to) == 0 && pipe(go) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(to[0]);
        close(go[1]);
        if (hop() != 0 || read(go[0], &c, 1) != 1 || write(to[1], "x", 1) != 1) _exit(1);
        if (read(go[0], &c, 1) != 1) _exit(2);
        _exit(0);
    }
    close(to[1]);
    close(go[0]);
    struct pollfd p = {.fd = to[0], .events = POLLIN};
    CHECK(hop() == 0);
    CHECK(poll(&p, 1, 30) == 0);
    CHECK(write(go[1], "1", 1) == 1);
    CHECK(poll(&p, 1, -1) == 1 && p.revents == POLLIN);
    CHECK(read(to[0], &c, 1) == 1 && c == 'x');
    CHECK(hop() == 0);
    CHECK(write(go[1], "2", 1) == 1);
    CHECK(poll(&p, 1, -1) == 1 && (p.revents & POLLHUP));
    CHECK(read(to[0], &c, 1) == 0);
    CHECK(status_of(child) == 0);
    close(to[0]);
    close(go[1]);
    return 1;
}

// Moves of a child that is blocked: in read, in nanosleep, in wait4, in poll, in pause.
static int check_blocked_read(void) {
    int to[2];
    CHECK(pipe(to) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char c = 0;
        close(to[1]);
        _exit(read(to[0], &c, 1) == 1 ? c : 1);
    }
    close(to[0]);
    for (int i = 0; i < 3 * nodes; i++) {
        int to_node = (at + 1 + i) % nodes;
        CHECK(move(child, to_node) == 0);
        CHECK(node_of(child) == to_node);
    }
    CHECK(write(to[1], "A", 1) == 1);
    CHECK(status_of(child) == 'A' << 8);
    close(to[1]);
    return 1;
}

// 1: it made its moves while it slept; 0: it woke before them, as it may where the machine is
// slow; -1: failed.
static int sleeper_moves(int64_t ms) {
    pid_t child = fork();
    if (child == 0) {
        int64_t before = now_ns(CLOCK_MONOTONIC);
        struct timespec t = {ms / 1000, ms % 1000 * 1000000}, left;
        int result = nanosleep(&t, &left);
        _exit(result ? 1 : now_ns(CLOCK_MONOTONIC) - before < ms * 1000000 ? 2 : 4);
    }
    int error = child < 0 ? errno : 0, moved = 0;
    for (; moved < 3 && !error; moved += !error) error = move(child, (at + 1 + moved) % nodes);
    int status = child < 0 ? 0 : status_of(child);
    if (status != 4 << 8 || (error && error != ESRCH)) {
        snprintf(why, sizeof why, "%lld ms, %d moves: error %d, status %x", (long long)ms, moved,
                 error, status);
        return -1;
    }
    return moved == 3;
}

static int check_blocked_sleep(void) {
    int result = 0;
    for (int64_t ms = 400; result == 0 && ms < 200000; ms *= 4) result = sleeper_moves(ms);
    if (result == 0) snprintf(why, sizeof why, "three moves took longer than every sleep");
    return result == 1;
}

static int check_blocked_wait(void) {
    int to[2];
    CHECK(pipe(to) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(to[1]);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            char c;
            _exit(read(to[0], &c, 1) == 1 ? 21 : 1);
        }
        int status = status_of(grandchild);
        _exit(status == 21 << 8 ? 22 : 1);
    }
    close(to[0]);
    CHECK(move(child, (at + 1) % nodes) == 0);
    CHECK(move(child, at) == 0);
    CHECK(move(child, (at + 1) % nodes) == 0);
    CHECK(write(to[1], "x", 1) == 1);
    CHECK(status_of(child) == 22 << 8);
    close(to[1]);
    return 1;
}

static int check_kill_away(void) {
    for (int i = 0; i < 2 * nodes; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) for (;;) pause();
        CHECK(move(child, (at + 1) % nodes) == 0);
        CHECK(kill(child, 0) == 0);
        CHECK(kill(child, i % 2 ? SIGKILL : SIGTERM) == 0);
        int status = status_of(child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == (i % 2 ? SIGKILL : SIGTERM));
        CHECK(kill(child, 0) != 0 && errno == ESRCH);
        CHECK(waitpid(child, NULL, 0) == -1 && errno == ECHILD);
    }
    return 1;
}

static int check_kill_runs(void) {
    pid_t child = fork();                                   // one that never enters the kernel
    CHECK(child >= 0);
    if (child == 0) for (volatile unsigned i = 0;; i++) {}
    CHECK(move(child, (at + 1) % nodes) == 0);
    CHECK(kill(child, SIGKILL) == 0);
    int status = status_of(child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return 1;
}

static volatile sig_atomic_t children_ended;
static void on_child(int signal) { (void)signal; children_ended++; }

static int check_sigchld(void) {
    struct sigaction a = {.sa_handler = on_child}, old;
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &before);
    sigaction(SIGCHLD, &a, &old);
    children_ended = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) _exit(hop() == 0 ? 3 : 1);
    while (!children_ended) sigsuspend(&before);
    int status = -1;
    CHECK(waitpid(child, &status, WNOHANG) == child && status == 3 << 8);
    sigaction(SIGCHLD, &old, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return 1;
}

// The parent moves while its children live: some stay, some went elsewhere.
static int check_parent_moves(void) {
    int go[2];
    char c;
    CHECK(pipe(go) == 0);
    pid_t child[4];
    for (int i = 0; i < 4; i++) {
        child[i] = fork();
        CHECK(child[i] >= 0);
        if (child[i]) continue;
        close(go[1]);
        if (i % 2 && hop() != 0) _exit(99);
        (void)!read(go[0], &c, 1);
        _exit(30 + i);
    }
    close(go[0]);
    CHECK(hop() == 0);
    CHECK(hop() == 0);
    CHECK(hop() == 0);
    int status = -1;
    pid_t early = waitpid(-1, &status, WNOHANG);
    CHECK_SAW(early == 0, status);
    close(go[1]);
    for (int i = 0; i < 4; i++) CHECK(status_of(child[i]) == (30 + i) << 8);
    CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
    return 1;
}

// The orphan is on another node when its parent ends: it is told.
static int check_orphan(void) {
    int to[2], left[2];
    char c = 0;
    CHECK(pipe(to) == 0 && pipe(left) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(to[0]);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            if (hop() != 0 || write(left[1], "l", 1) != 1) _exit(1);
            while (getppid() % 65536 != 1) sched_yield();
            (void)!write(to[1], "o", 1);
            _exit(0);
        }
        _exit(grandchild > 0 && read(left[0], &c, 1) == 1 ? 0 : 1);
    }
    close(to[1]);
    CHECK(status_of(child) == 0);
    CHECK(read(to[0], &c, 1) == 1 && c == 'o');
    CHECK(read(to[0], &c, 1) == 0);
    close(to[0]);
    close(left[0]);
    close(left[1]);
    return 1;
}

static int check_shared(void) {
    volatile char *m = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(m != MAP_FAILED);
    *m = 7;
    CHECK(hop() == 0);
    CHECK((*m)++ == 7);
    CHECK(hop() == 0);
    CHECK(*m == 8);
    munmap((void *)m, PAGE);
    return 1;
}

static int check_refused(void) {
    int before = node_of(0);
    int none = move(0, 63), beyond = move(0, 64);
    CHECK(none == EHOSTUNREACH || none == ENXIO);
    CHECK(beyond == EHOSTUNREACH || beyond == ENXIO);
    CHECK(move(99999, 1) == ESRCH || errno == ENOENT);
    int fd = open("/proc/self/node", O_WRONLY);
    CHECK(fd >= 0);
    CHECK(write(fd, "x", 1) == -1 && errno == EINVAL);
    CHECK(write(fd, "1x", 2) == -1 && errno == EINVAL);
    CHECK(write(fd, "-1", 2) == -1 && errno == EINVAL);
    CHECK(write(fd, "auto", 4) == 4);
    close(fd);
    CHECK(node_of(0) == before);
    CHECK(move(0, before) == 0);
    CHECK(hop() == 0);
    return 1;
}

static int check_vfork(void) {
    CHECK(hop() == 0);
    pid_t child = vfork();
    CHECK(child >= 0);
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "exit 6", (char *)NULL);
        _exit(1);
    }
    CHECK(status_of(child) == 6 << 8);
    CHECK(hop() == 0);
    return 1;
}

static int check_cwd(void) {
    char before[256], after[256];
    CHECK(mkdir("/tmp/moves.dir", 0700) == 0 && chdir("/tmp/moves.dir") == 0);
    CHECK(getcwd(before, sizeof before) != NULL);
    CHECK(hop() == 0);
    CHECK(getcwd(after, sizeof after) != NULL && strcmp(before, after) == 0);
    int fd = open("here", O_WRONLY | O_CREAT, 0600);
    CHECK(fd >= 0);
    close(fd);
    CHECK(hop() == 0);
    CHECK(access("/tmp/moves.dir/here", F_OK) == 0);
    CHECK(unlink("here") == 0 && chdir("/") == 0 && rmdir("/tmp/moves.dir") == 0);
    return 1;
}

static int check_hundred(void) {
    for (int i = 0; i < 100; i++) CHECK(hop() == 0);
    return 1;
}

static const struct { const char *name; int (*run)(void); } checks[] = {
    {"it is where it was sent", check_where},
    {"identity", check_identity},
    {"SSE registers", check_sse},
    {"the clock never goes back", check_clock},
    {"an alarm set before rings after", check_alarm},
    {"mask and pending signals", check_signal_mask},
    {"memory changed while pages are away", check_memory},
    {"brk", check_brk},
    {"fork during the drain", check_fork_drain},
    {"exec during the drain", check_exec_drain},
    {"exit during the drain", check_exit_drain},
    {"a file's offset", check_file_offset},
    {"an offset shared with a child elsewhere", check_shared_offset},
    {"three append from all nodes", check_append},
    {"12 MiB through a pipe, both ends moving", check_pipe},
    {"poll on a pipe from elsewhere", check_poll},
    {"moved while blocked in read", check_blocked_read},
    {"moved while blocked in nanosleep", check_blocked_sleep},
    {"moved while blocked in wait4", check_blocked_wait},
    {"signals to a process elsewhere, its status", check_kill_away},
    {"SIGKILL to one that never enters the kernel", check_kill_runs},
    {"SIGCHLD from elsewhere", check_sigchld},
    {"a parent moves, its children do not", check_parent_moves},
    {"an orphan elsewhere", check_orphan},
    {"memory that could be shared moves along", check_shared},
    {"refusals say why", check_refused},
    {"vfork after a move", check_vfork},
    {"the working directory", check_cwd},
    {"a hundred moves in a row", check_hundred},
};

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1) nodes = atoi(argv[1]);
    at = node_of(0);
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        int wanted = argc < 3;
        for (int k = 2; k < argc; k++) wanted |= strstr(checks[i].name, argv[k]) != NULL;
        if (!wanted) continue;
        at = node_of(0);
        if (checks[i].run()) {
            printf("ok %s\n", checks[i].name);
        } else {
            printf("FAIL %s: %s\n", checks[i].name, why);
            failed++;
        }
    }
    return failed != 0;
}
