// ipc CASE COUNT: what the basic operations of a kernel cost, in ticks of the TSC, which under
// -icount are instructions. One static program for Isthmus and Linux. Prints one line: CASE,
// how many, the least, the median, the 99th percentile. docs/reference/bench.md defines the cases.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "user/lib/reply_recv.h"

#define COUNT_MAX 4096u
#define PAGE 4096u
#define WARM 16u                     // rounds that are not counted
#define MSG_MAX 8192u
#define MOUNT_POINT "/mnt/bench"

static uint32_t sample[COUNT_MAX];
static unsigned count;
static const char *self;

static void fail(const char *what) {
    fprintf(stderr, "ipc: %s: %s\n", what, strerror(errno));
    exit(1);
}

static inline uint64_t ticks(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static int by_size(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void report(const char *name) {
    qsort(sample, count, sizeof sample[0], by_size);
    printf("%s %u %u %u %u\n", name, count, sample[0], sample[count / 2], sample[count * 99 / 100]);
}

// Times `round`, a call of it taken off.
static void nothing(void) { }
static uint32_t time_of(void (*volatile round)(void)) {
    const uint64_t before = ticks();
    round();
    return (uint32_t)(ticks() - before);
}
static void measure(void (*round)(void)) {
    const uint32_t ours = time_of(nothing);
    for (unsigned i = 0; i < WARM; i++) round();
    for (unsigned i = 0; i < count; i++) sample[i] = time_of(round) - ours;
}

// --- null: getppid, the instruction `syscall` and all that the kernel executes ---

#define AROUND(instruction, after, before)                                                  \
    __asm__ volatile("rdtsc; shl $32, %%rdx; or %%rdx, %%rax; mov %%rax, %1\n\t"            \
                     "mov %2, %%eax\n\t" instruction "\n\t"                                 \
                     "rdtsc; shl $32, %%rdx; or %%rdx, %%rax"                               \
                     : "=&a"(after), "=&r"(before) : "i"(SYS_getppid)                       \
                     : "rcx", "rdx", "r11", "memory")

static void null_run(void) {
    uint64_t before, after;
    AROUND("", after, before);
    const uint64_t ours = after - before;
    for (unsigned i = 0; i < WARM + count; i++) {
        AROUND("syscall", after, before);
        sample[i < WARM ? 0 : i - WARM] = (uint32_t)(after - before - ours);
    }
}

// --- time, timecall: clock_gettime as the C library does it (the vDSO), and by system call ---

static struct timespec now;
static void time_round(void) { clock_gettime(CLOCK_MONOTONIC, &now); }
static void timecall_round(void) { syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now); }

// --- pipe: one byte to another process and one back ---

static int there[2], back[2];

static void pipe_round(void) {
    char byte = 1;
    if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) fail("pipe");
}

static void pipe_echo(void) {
    char byte;
    close(there[1]);
    while (read(there[0], &byte, 1) == 1)
        if (write(back[1], &byte, 1) != 1) break;
    _exit(0);
}

static void pipe_run(void) {
    if (pipe(there) || pipe(back)) fail("pipe");
    const pid_t pid = fork();
    if (pid == 0) pipe_echo();
    measure(pipe_round);
    close(there[1]);
    waitpid(pid, NULL, 0);
}

// --- switch: half of what a round trip costs more than both writes and both reads by one
// process that never waits ---

static void pipe_alone(void) {
    char byte = 1;
    if (write(there[1], &byte, 1) != 1 || read(there[0], &byte, 1) != 1) fail("pipe");
}

static void switch_run(void) {
    if (pipe(there)) fail("pipe");
    measure(pipe_alone);
    qsort(sample, count, sizeof sample[0], by_size);
    const uint32_t alone = sample[count / 2];
    close(there[0]);
    close(there[1]);
    pipe_run();
    for (unsigned i = 0; i < count; i++)
        sample[i] = sample[i] > 2 * alone ? sample[i] / 2 - alone : 0;
}

// --- fork, exec: a child that ends at once; one that runs this program anew. With wait. ---

static void fork_round(void) {
    const pid_t pid = fork();
    if (pid == 0) _exit(0);
    if (pid < 0 || waitpid(pid, NULL, 0) != pid) fail("fork");
}

static void exec_round(void) {
    const pid_t pid = fork();
    int status;
    if (pid == 0) {
        execl(self, self, "end", "0", (char *)NULL);
        _exit(1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status) fail("exec");
}

// --- fault: the first write to a page of anonymous memory ---

static volatile char *page;

static void fault_round(void) {
    *page = 1;
    page += PAGE;
}

static void fault_run(void) {
    page = mmap(NULL, (COUNT_MAX + WARM) * PAGE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) fail("mmap");
    madvise((void *)page, (COUNT_MAX + WARM) * PAGE, MADV_NOHUGEPAGE);
    measure(fault_round);
}

// --- 9p: pread of 8 bytes of a file that another process serves by 9P2000.L ---
// The server answers what this client and the kernels send, and nothing else.

enum { RLERROR = 7, TSTATFS = 8, TLOPEN = 12, TGETATTR = 24, TVERSION = 100, TATTACH = 104,
       TFLUSH = 108, TWALK = 110, TREAD = 116, TCLUNK = 120 };
#define HEAD 7u
#define QID 13u
static uint8_t in[MSG_MAX] __attribute__((aligned(PAGE))), out[MSG_MAX];

#define INLINE static inline __attribute__((always_inline))

INLINE uint32_t get(const uint8_t *at, unsigned bytes) {
    uint32_t v = 0;
    memcpy(&v, at, bytes);
    return v;
}

INLINE uint8_t *put(uint8_t *at, uint64_t v, unsigned bytes) {
    memcpy(at, &v, bytes);
    return at + bytes;
}

static uint8_t *put_qid(uint8_t *at, unsigned file) {
    at = put(at, file ? 0 : 0x80, 1);
    return put(put(at, 0, 4), file + 1, 8);
}

static uint8_t *put_attr(uint8_t *at, unsigned file) {
    at = put_qid(put(at, 0x7ff, 8), file);
    at = put(put(put(at, file ? S_IFREG | 0444 : S_IFDIR | 0555, 4), 0, 4), 0, 4);
    const uint64_t rest[] = {1, 0, file ? 8 : 0, PAGE, 1};     // nlink rdev size blksize blocks
    for (unsigned i = 0; i < 5; i++) at = put(at, rest[i], 8);
    memset(at, 0, 80);                                         // times, gen, data_version
    return at + 80;
}

// The body of the answer; NULL: ENOENT.
static uint8_t *answer(const uint8_t *t, uint8_t *at) {
    static uint8_t is_file[1024];
    const uint32_t fid = get(t + HEAD, 4) % 1024;
    switch (t[4]) {
    case TVERSION:
        at = put(at, get(t + HEAD, 4) < MSG_MAX ? get(t + HEAD, 4) : MSG_MAX, 4);
        return (uint8_t *)memcpy(put(at, 8, 2), "9P2000.L", 8) + 8;
    case TATTACH: is_file[fid] = 0; return put_qid(at, 0);
    case TWALK: {
        const uint32_t new_fid = get(t + HEAD + 4, 4) % 1024, names = get(t + HEAD + 8, 2);
        if (names > 1 || (names && memcmp(t + HEAD + 10, "\4\0file", 6))) return NULL;
        is_file[new_fid] = names ? 1 : is_file[fid];
        at = put(at, names, 2);
        return names ? put_qid(at, 1) : at;
    }
    case TLOPEN: return put(put_qid(at, is_file[fid]), 0, 4);
    case TGETATTR: return put_attr(at, is_file[fid]);
    case TREAD: {
        const uint32_t n = get(t + HEAD + 4, 4) ? 0 : get(t + HEAD + 12, 4) < 8 ? 0 : 8;
        put(at + 4, 0x7878787878787878, 8);
        return put(at, n, 4) + n;
    }
    case TCLUNK: case TFLUSH: return at;
    default: return NULL;
    }
}

// The whole message in `in` into `out`: how long the answer is.
static size_t message(void) {
    uint8_t *end = answer(in, out + HEAD);
    out[4] = end ? (uint8_t)(in[4] + 1) : RLERROR;
    if (!end) end = put(out + HEAD, ENOENT, 4);
    memcpy(out + 5, in + 5, 2);
    put(out, (uint64_t)(end - out), 4);
    return (size_t)(end - out);
}

// Sends what is in `out` and reads on behind `len` bytes of `in`: by Isthmus's reply_recv, or by
// write and read, which is all that Linux has.
static ssize_t send_and_read(int from, int to, size_t out_len, size_t len) {
    static int two_calls;
    long n = -ENOSYS;
    if (!two_calls) n = reply_recv(from, in + len, sizeof in - len, to, out, &out_len);
    if (n != -ENOSYS) return n;
    two_calls = 1;
    if (out_len && write(to, out, out_len) < 0) _exit(1);
    return read(from, in + len, sizeof in - len);
}

static void serve(int from, int to) {
    size_t len = 0, out_len = 0;
    for (ssize_t n; (n = send_and_read(from, to, out_len, len)) > 0;) {
        len += (size_t)n;
        out_len = 0;
        while (len >= HEAD && len >= get(in, 4)) {
            const uint32_t size = get(in, 4);
            if (out_len && write(to, out, out_len) < 0) _exit(1);
            out_len = message();
            len -= size;
            if (len) memmove(in, in + size, len);
        }
    }
    _exit(0);
}

static int file;

static void p9_round(void) {
    char bytes[8];
    if (pread(file, bytes, sizeof bytes, 0) != sizeof bytes) fail("pread");
}

static void p9_run(void) {
    char options[64];
    int to[2], from[2];
    if (pipe(to) || pipe(from)) fail("pipe");
    const pid_t pid = fork();
    if (pid == 0) {
        close(to[1]), close(from[0]);
        serve(to[0], from[1]);
    }
    mkdir(MOUNT_POINT, 0755);
    snprintf(options, sizeof options, "trans=fd,rfdno=%d,wfdno=%d,version=9p2000.L", from[0],
             to[1]);
    if (mount("bench", MOUNT_POINT, "9p", 0, options)) fail("mount");
    close(to[1]);                    // the kernel has its own; the server reads the end of it
    close(to[0]), close(from[0]), close(from[1]);
    file = open(MOUNT_POINT "/file", O_RDONLY);
    if (file < 0) fail(MOUNT_POINT "/file");
    measure(p9_round);
    close(file);
    if (umount(MOUNT_POINT)) fail("umount");
    waitpid(pid, NULL, 0);
}

static void time_run(void) { measure(time_round); }
static void timecall_run(void) { measure(timecall_round); }
static void fork_run(void) { measure(fork_round); }
static void exec_run(void) { measure(exec_round); }

static const struct { const char *name; void (*run)(void); } cases[] = {
    {"null", null_run}, {"time", time_run}, {"timecall", timecall_run},
    {"pipe", pipe_run}, {"9p", p9_run}, {"switch", switch_run},
    {"fork", fork_run}, {"exec", exec_run}, {"fault", fault_run},
};

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    self = argv[0];
    count = (unsigned)atoi(argv[2]);
    if (!strcmp(argv[1], "end")) return 0;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (strcmp(cases[i].name, argv[1]) || count == 0 || count > COUNT_MAX) continue;
        cases[i].run();
        report(argv[1]);
        return 0;
    }
    fprintf(stderr, "usage: ipc null|time|timecall|pipe|9p|switch|fork|exec|fault COUNT\n");
    return 2;
}
