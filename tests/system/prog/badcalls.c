// Hostile system calls from a seed: badcalls SEED COUNT [root|move]. Workers, one after another,
// make COUNT calls in all: first every number 0 to 1,023 in turn, then random ones, with pointers,
// sizes, descriptors and flags that a program should not give; some from two threads at once. They
// hold files of every kind, shared mappings, timers, and one of a user program's server where
// /mnt/bad is mounted. A worker may die of what it asks for; the next one goes on. A witness beside
// them keeps a pattern in memory and in a file, and two children, and must find all of it whole.
// Without `root` they are another user's, who tries to kill all others too: first it is seen that
// he may do none of what is another's right. `move`: they are moved between nodes 0 and 1
// meanwhile. Left out: exit, and as root the kill of others.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NUMBERS 1024u
#define KNOWN 471u                   // Linux gives numbers below this one
#define UNPRIVILEGED 1000u
#define SWEEPS 6u                    // of all numbers, before the random ones
#define CALLS_A_WORKER 200u
#define LEFTOVERS_TRIES 10000
#define WORKER_LIMIT_US 400000       // a worker that waits for ever is ended
#define MOVE_AFTER_US 3000
#define WITNESS_BYTES (2u << 20)
#define WITNESS_FILE "/tmp/bad-witness"
#define WITNESS_CHILDREN 2
#define REFILL_CALLS 16u             // then the page that pointers lead to is filled anew
#define THREAD_STACK 16384u
#define PAGE 4096u

struct shared {
    volatile uint64_t calls, number, arg[6];
};
static struct shared *shared;
static uint64_t state;
static uint8_t *edge;                // a page, the next one not mapped
static uint8_t *read_only;
static pid_t worker, watcher;
static int privileged, moving;
static unsigned timer_ticks;
static char long_name[5000];

// Two threads may draw at once: any word will do but 0.
static uint64_t next(void) {
    if (state == 0) state = 1;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state * 0x2545f4914f6cdd1dull;
}
static uint64_t below(uint64_t n) { return (next() >> 11) % n; }

static long call(uint64_t nr, const uint64_t *a) {
    long result;
    register uint64_t r10 __asm__("r10") = a[3];
    register uint64_t r8 __asm__("r8") = a[4];
    register uint64_t r9 __asm__("r9") = a[5];
    __asm__ volatile("syscall" : "=a"(result) : "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]),
                     "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return result;
}

static uint64_t name(void) {
    static const char *const names[] = {
        "", "/", ".", "..", "x", "y/z", "d", "x/x", "//x", "/tmp/bad/x", "/proc/self/maps",
        "/proc/self/fd/3", "/proc/self/status", "/proc/self/mem", "/proc/1/stat", "/dev/null",
        "/dev/full", "/dev/zero", "/proc/meminfo", "/nodes/0/status", "/nodes/9/status", "/dev/fd",
        "/proc/4294967295/stat", "/bin/none", "\xff\xfe", "l", "%s%n", "/proc/self/node",
        "/proc/1/node", "/proc/1/maps", "/proc/self/fd", "/proc/self/task", "/proc/self/fd/5",
        "/nodes/0/control", "/nodes/1/status", "/nodes/1/dev/console", "/nodes/1/proc/1/stat",
        "/mnt/bad/x", "/mnt/bad", "/mnt", "/dev/tty", "/dev/console", "/dev/ptmx", "/dev/pts/0",
        "/proc/65537/stat", "/nodes", "/proc", WITNESS_FILE, "/etc/passwd", "/root/x",
    };
    if (below(20) == 0) return (uint64_t)long_name;
    return (uint64_t)names[below(sizeof names / sizeof *names)];
}

static uint64_t pointer(void) {
    static const uint64_t bad[] = {
        0, 1, 8, 0xfff, 0x1000, 0xffff, 0x7fffffffefff, 0x7ffffffff000, 0x7fffffffffff,
        0x800000000000, 0xffff800000000000, 0xffff8000000b8000, 0xffffffff80000000,
        0xffffffff80200000, 0xffffc00000000000, 0xfffffffffffff000, 0xffffffffffffffff,
        0xfffffffffffffff8, 0x8000000000000000, 0x7fffffff0000, 0x7fffff7f0000,
    };
    switch (below(8)) {
    case 0: case 1: return bad[below(sizeof bad / sizeof *bad)];
    case 2: return (uint64_t)edge + PAGE - below(40);
    case 3: return (uint64_t)read_only + below(64);
    case 4: return (uint64_t)&call;
    case 5: return name();
    default: return (uint64_t)edge + below(8) * 256;
    }
}

static uint64_t number(void) {
    static const uint64_t sizes[] = {
        0, 1, 2, 7, 8, 16, 24, 36, 128, 4095, 4096, 4097, 8192, 65536, 1ull << 20, 1ull << 31,
        1ull << 32, 1ull << 46, 0x7ffffffff000, 1ull << 62, ~0ull >> 1, 1ull << 63, ~0ull,
        ~0ull - 4095, 0xffffffff, 0x80000000, 0x7fffffff,
    };
    switch (below(4)) {
    case 0: return 1ull << below(64);
    case 1: return below(64);
    case 2: return next() & next() & 0xffffff;
    default: return sizes[below(sizeof sizes / sizeof *sizes)];
    }
}

static uint64_t descriptor(void) {
    static const uint64_t odd[] = {~0ull, 0x7fffffff, 0x80000000, 1023, 1024, (uint64_t)-100,
                                   0xffffff9c, 1ull << 32, 3 | 1ull << 32};
    return below(5) == 0 ? odd[below(sizeof odd / sizeof *odd)] : below(20);
}

static uint64_t argument(unsigned i) {
    const uint64_t kind = below(10);
    if (i == 0)
        return kind < 4 ? descriptor() : kind < 7 ? pointer() : kind < 9 ? name() : number();
    if (i == 1) return kind < 6 ? pointer() : kind < 7 ? name() : number();
    if (i == 2) return kind < 6 ? number() : kind < 8 ? pointer() : descriptor();
    return kind < 5 ? number() : kind < 8 ? pointer() : descriptor();
}

static int waits(uint64_t nr) {
    static const uint16_t list[] = {0, 7, 23, 34, 35, 61, 128, 130, 202, 230, 247, 270, 271, 400};
    for (unsigned i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i] == nr) return 1;
    return 0;
}

static uint64_t victim(void) {
    const uint64_t others[] = {1, ~0ull, (uint64_t)getppid(), (uint64_t)watcher};
    return privileged ? 0x7fffffff : others[below(sizeof others / sizeof *others)];
}

// Numbers and arguments of one call; false where it would end or hurt others by right.
static int choose(uint64_t index, uint64_t *nr, uint64_t a[6]) {
    const uint64_t known = below(8) ? KNOWN : NUMBERS;
    *nr = index < SWEEPS * NUMBERS ? index % NUMBERS : below(known);
    for (unsigned i = 0; i < 6; i++) a[i] = argument(i);
    if (*nr == 60 || *nr == 231) return 0;                       // exit, exit_group
    if (index >= SWEEPS * NUMBERS && waits(*nr) && below(10)) return 0;
    if (*nr == 62 || *nr == 200) a[0] = below(2) ? (uint64_t)getpid() : victim();
    if (*nr == 234) a[0] = 0x7fffffff, a[1] = below(2) ? (uint64_t)getpid() : 0x7ffffffe;
    if (*nr == 129 || *nr == 297) a[0] = privileged ? (uint64_t)getpid() : victim();
    if (*nr == 297) a[1] = a[0];
    if ((*nr == 62 || *nr == 200) && below(4)) a[1] = 65 + below(1000);
    return 1;
}

static void fill_page(void) {
    for (unsigned i = 0; i < PAGE / 8; i++) {
        const uint64_t v = below(3) ? below(100) : below(4) ? pointer() : number();
        memcpy(edge + 8 * i, &v, 8);
    }
}

// What later kinds of files a worker holds; those that there are not, it does not.
static void open_more(void) {
    (void)eventfd(0, EFD_NONBLOCK);
    (void)timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    (void)epoll_create1(0);
    (void)open("/mnt/bad/x", O_RDWR | O_CREAT, 0666);
    (void)open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
    (void)open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
    const int shared_file = open("s", O_RDWR | O_CREAT, 0644);
    if (shared_file >= 0 && ftruncate(shared_file, 2 * PAGE) == 0)
        (void)mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, shared_file, 0);
    timer_t timer;
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    (void)timer_create(CLOCK_MONOTONIC, &none, &timer);
}

static void worker_setup(void) {
    (void)setsid();
    for (int fd = 0; fd < 64; fd++) close(fd);
    for (int fd = 0; fd < 3; fd++) (void)open("/dev/null", O_RDWR);
    (void)open("x", O_RDWR | O_CREAT, 0644);
    (void)open(".", O_RDONLY | O_DIRECTORY);
    int ends[2];
    if (pipe2(ends, O_NONBLOCK)) _exit(3);
    (void)open("/proc/self/maps", O_RDONLY);
    (void)open("/dev/zero", O_RDWR);
    const int private = MAP_PRIVATE | MAP_ANONYMOUS;
    uint8_t *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, private, -1, 0);
    read_only = mmap(NULL, PAGE, PROT_READ, private, -1, 0);
    if (pages == MAP_FAILED || read_only == MAP_FAILED || munmap(pages + PAGE, PAGE)) _exit(3);
    edge = pages;
    fill_page();
    open_more();
    if (!privileged && (setgid(UNPRIVILEGED) || setuid(UNPRIVILEGED))) _exit(3);
}

static uint64_t first_call, call_count;
static pid_t work_pid;

// The calls of one thread; the one that counts is the first.
static void make_calls(int counts) {
    static const uint64_t none[6];
    for (uint64_t i = 0; i < call_count; i++) {
        uint64_t nr, a[6];
        if (counts) shared->calls = first_call + i + 1;
        if (i % REFILL_CALLS == 0) fill_page();
        if (!choose(first_call + i, &nr, a)) continue;
        shared->number = nr;
        for (unsigned k = 0; k < 6; k++) shared->arg[k] = a[k];
        (void)call(nr, a);
        if (call(39, none) != work_pid) {            // a child of fork, vfork or clone
            (void)call(231, none);
        }
    }
}

static int second_thread(void *unused) {
    static const uint64_t none[6];
    (void)unused;
    make_calls(0);
    (void)call(60, none);
    return 0;
}

static _Noreturn void work(uint64_t seed, uint64_t first, uint64_t count) {
    static uint8_t stack[THREAD_STACK] __attribute__((aligned(16)));
    state = seed * 0x9e3779b97f4a7c15ull + first + 1;
    worker_setup();
    work_pid = getpid();
    first_call = first, call_count = count;
    if (below(4) == 0)
        (void)clone(second_thread, stack + sizeof stack,
                    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                        CLONE_SYSVSEM, NULL);
    make_calls(1);
    _exit(0);
}

static void timer(long us) {
    const struct itimerval t = {.it_value = {us / 1000000, us % 1000000}};
    setitimer(ITIMER_REAL, &t, NULL);
}

static void move_worker(unsigned node) {
    char name[32];
    snprintf(name, sizeof name, "/proc/%d/node", worker);
    const int fd = open(name, O_WRONLY);
    if (fd < 0) return;
    if (write(fd, node ? "1" : "0", 1) != 1) errno = 0;      // it may be busy, or have ended
    close(fd);
}

// The worker's time: first it is moved, there and back and there again where that is wanted, then
// it has waited too long.
static void tick(int sig) {
    (void)sig;
    if (!moving || timer_ticks >= 3) {
        kill(worker, SIGKILL);
        timer(WORKER_LIMIT_US);
        return;
    }
    move_worker(++timer_ticks & 1);
    timer(timer_ticks < 3 ? MOVE_AFTER_US : WORKER_LIMIT_US);
}

static uint8_t pattern(uint32_t i) { return (uint8_t)(i * 131 + (i >> 8) * 17 + 5); }

// The children do nothing but live; none may have ended.
static void children_start(pid_t *child) {
    for (unsigned i = 0; i < WITNESS_CHILDREN; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            for (;;) pause();
        }
        if (child[i] < 0) _exit(2);
    }
}

static void children_end(const pid_t *child) {
    for (unsigned i = 0; i < WITNESS_CHILDREN; i++) {
        int status;
        if (waitpid(child[i], &status, WNOHANG) != 0 || kill(child[i], SIGKILL)) _exit(4);
        if (waitpid(child[i], &status, 0) != child[i] || status != SIGKILL) _exit(5);
    }
}

static int file_is_whole(int fd) {
    uint8_t bytes[PAGE];
    struct stat st, named;
    if (pread(fd, bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) return 0;
    for (uint32_t i = 0; i < sizeof bytes; i++)
        if (bytes[i] != pattern(i)) return 0;
    return !fstat(fd, &st) && !stat(WITNESS_FILE, &named) && st.st_size == PAGE &&
           st.st_ino == named.st_ino && st.st_uid == 0 && (st.st_mode & 07777) == 0600;
}

static int witness_file(void) {
    uint8_t bytes[PAGE];
    const int fd = open(WITNESS_FILE, O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (uint32_t i = 0; i < sizeof bytes; i++) bytes[i] = pattern(i);
    return write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes ? fd : -1;
}

// Looks over its pattern again and again until the pipe ends; its exit says what it saw. Its
// file is user 0's, so as root a worker may change it by right: it is looked at for others only.
static _Noreturn void witness(int until, int fd) {
    uint8_t *bytes = malloc(WITNESS_BYTES), byte;
    pid_t child[WITNESS_CHILDREN];
    if (!bytes) _exit(2);
    for (uint32_t i = 0; i < WITNESS_BYTES; i++) bytes[i] = pattern(i);
    children_start(child);
    fcntl(until, F_SETFL, O_NONBLOCK);
    for (;;) {
        const ssize_t n = read(until, &byte, 1);
        for (uint32_t i = 0; i < WITNESS_BYTES; i++)
            if (bytes[i] != pattern(i)) _exit(1);
        if (!privileged && !file_is_whole(fd)) _exit(3);
        if (n == 0) break;
    }
    children_end(child);
    unlink(WITNESS_FILE);
    _exit(0);
}

// What the unprivileged user must not do, by name. Its exit says how many were not refused.
static int refused(long result, int want, const char *call) {
    if (result == -1 && errno == want) return 0;
    printf("not refused: %s: %ld, %s\n", call, result, strerror(errno));
    fflush(stdout);
    return 1;
}
#define REFUSED(call, want) refused(call, want, #call)
static _Noreturn void refusals(void) {
    int wrong = 0;
    if (setgid(UNPRIVILEGED) || setuid(UNPRIVILEGED)) _exit(100);
    wrong += REFUSED(kill(watcher, SIGKILL), EPERM);
    wrong += REFUSED(kill(watcher, 0), EPERM);
    wrong += REFUSED(kill(1, SIGTERM), EPERM);
    wrong += REFUSED(kill(-1, SIGKILL), EPERM);
    wrong += REFUSED(sigqueue(watcher, SIGKILL, (union sigval){0}), EPERM);
    wrong += REFUSED(syscall(SYS_tgkill, watcher, watcher, SIGKILL), EPERM);
    wrong += REFUSED(setpriority(PRIO_PROCESS, (id_t)watcher, 19), EPERM);
    wrong += REFUSED(setpriority(PRIO_PROCESS, 0, -1), EACCES);
    wrong += REFUSED(mount("x", "/mnt/x", "9p", 0, "trans=fd"), EPERM);
    wrong += REFUSED(umount2("/mnt/x", 0), EPERM);
    wrong += REFUSED(open(WITNESS_FILE, O_RDONLY), EACCES);
    wrong += REFUSED(open(WITNESS_FILE, O_WRONLY | O_TRUNC), EACCES);
    wrong += REFUSED(unlink(WITNESS_FILE), EPERM);
    wrong += REFUSED(rename(WITNESS_FILE, "/tmp/bad/w"), EPERM);
    wrong += REFUSED(chmod(WITNESS_FILE, 0666), EPERM);
    wrong += REFUSED(truncate(WITNESS_FILE, 0), EACCES);
    wrong += REFUSED(setuid(0), EPERM);
    wrong += REFUSED(setgroups(0, NULL), EPERM);
    _exit(wrong);
}

// What workers with all rights may have done to the directories above, in a run before.
static int set_right(void) {
    static const struct { const char *name; mode_t mode; } dirs[] = {{"/", 0755}, {"/tmp", 01777}};
    for (unsigned i = 0; i < 2; i++)
        if (chown(dirs[i].name, 0, 0) || chmod(dirs[i].name, dirs[i].mode)) return -1;
    return unlink(WITNESS_FILE) && errno != ENOENT ? -1 : 0;
}

// Processes that workers have left, in sessions of their own: none of that user's stays.
static int leftovers_end(void) {
    int status;
    const pid_t pid = fork();
    if (pid == 0) {
        if (setgid(UNPRIVILEGED) || setuid(UNPRIVILEGED)) _exit(1);
        for (int i = 0; i < LEFTOVERS_TRIES; i++) {
            if (kill(-1, SIGKILL) == -1) _exit(errno != EPERM);
            usleep(1000);
        }
        _exit(2);
    }
    return pid < 0 || waitpid(pid, &status, 0) != pid || status != 0;
}

int main(int argc, char **argv) {
    if (argc != 3 && argc != 4) return 2;
    moving = argc == 4 && !strcmp(argv[3], "move");
    privileged = argc == 4 && !moving;
    const uint64_t seed = strtoull(argv[1], NULL, 10), count = strtoull(argv[2], NULL, 10);
    int ends[2], status;
    if (leftovers_end() || set_right()) return 2;
    if ((mkdir("/tmp/bad", 0755) && errno != EEXIST) || chmod("/tmp/bad", 0755)) return 2;
    if (!privileged && chown("/tmp/bad", UNPRIVILEGED, UNPRIVILEGED)) return 2;
    if (chdir("/tmp/bad") || pipe(ends)) return 2;
    memset(long_name, 'n', sizeof long_name - 1);
    shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const int file = witness_file();
    if (file < 0) return 2;
    watcher = fork();
    if (watcher == 0) {
        close(ends[1]);
        witness(ends[0], file);
    }
    close(file);
    worker = fork();
    if (worker == 0) refusals();
    if (waitpid(worker, &status, 0) != worker || status != 0) {
        printf("refusals: wait status %#x\n", (unsigned)status);
        return 1;
    }
    signal(SIGALRM, tick);
    uint64_t done = 0, workers = 0, killed = 0, late = 0;
    while (done < count) {
        shared->calls = done;
        worker = fork();
        if (worker == 0) work(seed, done, CALLS_A_WORKER);
        if (worker < 0) {
            printf("fork: %s after %lu calls\n", strerror(errno), done);
            return 1;
        }
        timer_ticks = 0;
        timer(moving ? MOVE_AFTER_US : WORKER_LIMIT_US);
        while (waitpid(worker, &status, 0) < 0 && errno == EINTR) continue;
        timer(0);
        workers++;
        killed += WIFSIGNALED(status);
        late += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        // What the worker wrote over its count is put right; each worker comes further.
        const uint64_t at = shared->calls;
        done = at > done && at <= done + CALLS_A_WORKER ? at : done + 1;
    }
    if (leftovers_end()) printf("processes of workers do not end\n");
    close(ends[1]);
    while (waitpid(watcher, &status, 0) < 0 && errno == EINTR) continue;
    printf("calls %lu workers %lu ended by a signal %lu ended for waiting %lu witness %d\n", done,
           workers, killed, late, status);
    return status != 0;
}
