// clocks self N | clocks until: a program that uses AVX2 where it may, and reads every clock
// over and over. Dies at the first step backwards, the first jump, the first register that is
// not what it was. self: moves itself N times between nodes 0 and 1, or says which errno that
// gave; until: goes on until SIGTERM. Last line: "good" and what it used.
#include <errno.h>
#include <fcntl.h>
#include <immintrin.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000ll
#define JUMP_NS (3600 * NS)          // of a clock between two looks: years were meant
#define LANES 64
#define X87_DOWN 0x77f               // rounds down, all else as at the start
#define SSE_DOWN 0x2000

static const struct { const char *name; clockid_t id; } clocks[] = {
    {"REALTIME", CLOCK_REALTIME}, {"MONOTONIC", CLOCK_MONOTONIC}, {"BOOTTIME", CLOCK_BOOTTIME},
    {"MONOTONIC_RAW", CLOCK_MONOTONIC_RAW}, {"REALTIME_COARSE", CLOCK_REALTIME_COARSE},
    {"MONOTONIC_COARSE", CLOCK_MONOTONIC_COARSE},
};
#define CLOCKS (sizeof clocks / sizeof clocks[0])
enum { UPTIME = CLOCKS, TIMEOFDAY, TIME, TIMES, TSC, SEEN };

static int avx2;
static volatile sig_atomic_t ended;
static long long seen[SEEN];

static void end(int signal) {
    (void)signal;
    ended = 1;
}

static void die(const char *what, long long was, long long is) {
    printf("FAIL %s: %lld after %lld\n", what, is, was);
    exit(1);
}

static void look(unsigned i, const char *name, long long now) {
    if (now < seen[i]) die(name, seen[i], now);
    if (seen[i] && now - seen[i] > JUMP_NS) die(name, seen[i], now);
    seen[i] = now;
}

static long long ns_of(struct timespec t) { return t.tv_sec * NS + t.tv_nsec; }

static long long clock_ns(clockid_t id) {
    struct timespec t;
    if (clock_gettime(id, &t) != 0) die("clock_gettime", 0, errno);
    return ns_of(t);
}

static long long uptime_ns(void) {
    char text[64] = "";
    int fd = open("/proc/uptime", O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) die("/proc/uptime", 0, errno);
    close(fd);
    return (long long)(strtod(text, NULL) * 100 + .5) * (NS / 100);
}

static void look_at_clocks(void) {
    for (unsigned i = 0; i < CLOCKS; i++) look(i, clocks[i].name, clock_ns(clocks[i].id));
    struct timeval t;
    struct tms unused;
    gettimeofday(&t, NULL);
    look(TIMEOFDAY, "gettimeofday", t.tv_sec * NS + t.tv_usec * 1000);
    look(TIME, "time", time(NULL) * NS);
    look(TIMES, "times", (long long)times(&unused) * (NS / 100));
    look(TSC, "RDTSC", (long long)__builtin_ia32_rdtsc());
    look(UPTIME, "/proc/uptime", uptime_ns());
}

// A sleep is never shorter than asked by the clock that the program sees.
static void sleeps(void) {
    struct timespec t = {0, 3000000};
    long long before = clock_ns(CLOCK_MONOTONIC), after;
    while (nanosleep(&t, NULL) != 0 && !ended) {}
    after = clock_ns(CLOCK_MONOTONIC);
    if (!ended && after - before < 3000000) die("nanosleep", before, after);
    before = after;
    (void)poll(NULL, 0, 2);
    after = clock_ns(CLOCK_MONOTONIC);
    if (!ended && after - before < 2000000) die("poll", before, after);
    const clockid_t ids[] = {CLOCK_MONOTONIC, CLOCK_REALTIME};
    for (unsigned i = 0; i < 2; i++) {
        const long long until = clock_ns(ids[i]) + 3000000;
        t = (struct timespec){until / NS, until % NS};
        while (clock_nanosleep(ids[i], TIMER_ABSTIME, &t, NULL) != 0 && !ended) {}
        after = clock_ns(ids[i]);
        if (!ended && after < until) die("TIMER_ABSTIME", until, after);
    }
}

// The file lies on the node where this program began; its stamp is of the same clock.
static void file_times(void) {
    struct stat s;
    const long long before = clock_ns(CLOCK_REALTIME);
    int fd = open("/tmp/stamp", O_CREAT | O_RDWR, 0644);
    if (fd < 0 || futimens(fd, NULL) != 0 || fstat(fd, &s) != 0) die("stamp", 0, errno);
    close(fd);
    const long long stamp = ns_of(s.st_mtim), after = clock_ns(CLOCK_REALTIME);
    if (stamp < before - NS || stamp > after + NS) die("st_mtime", before, stamp);
}

__attribute__((target("avx2"))) static void sum_avx2(const int32_t *v, int32_t *to) {
    __m256i sum = _mm256_setzero_si256();
    for (unsigned i = 0; i < LANES; i += 8)
        sum = _mm256_add_epi32(sum, _mm256_loadu_si256((const __m256i *)(const void *)(v + i)));
    _mm256_storeu_si256((__m256i *)(void *)to, sum);
}

// A system call with a whole vector register alive: what comes back must be what went in.
__attribute__((target("avx"))) static void keep_ymm(const uint8_t *in, uint8_t *out) {
    register long rax __asm__("rax") = SYS_sched_yield;
    __asm__ volatile("vmovdqu (%1), %%ymm15\n\tsyscall\n\tvmovdqu %%ymm15, (%2)\n\tvzeroupper"
                     : "+r"(rax) : "r"(in), "r"(out) : "rcx", "r11", "xmm15", "memory");
}
static void keep_xmm(const uint8_t *in, uint8_t *out) {
    register long rax __asm__("rax") = SYS_sched_yield;
    __asm__ volatile("movdqu (%1), %%xmm15\n\tsyscall\n\tmovdqu %%xmm15, (%2)"
                     : "+r"(rax) : "r"(in), "r"(out) : "rcx", "r11", "xmm15", "memory");
}

static void vectors(unsigned round) {
    int32_t v[LANES], lanes[8] = {0}, want = 0, got = 0;
    uint8_t in[32], out[32] = {0};
    for (unsigned i = 0; i < LANES; i++) want += v[i] = (int32_t)(round * 2654435761u + i * i);
    if (avx2) sum_avx2(v, lanes);
    else for (unsigned i = 0; i < LANES; i++) lanes[i % 8] += v[i];
    for (unsigned i = 0; i < 8; i++) got += lanes[i];
    if (got != want) die("sum", want, got);
    for (unsigned i = 0; i < sizeof in; i++) in[i] = (uint8_t)(round + 7 * i);
    if (avx2) keep_ymm(in, out);
    else keep_xmm(in, out);
    if (memcmp(in, out, avx2 ? 32 : 16) != 0) die("vector register", in[0], out[0]);
    uint16_t control;
    __asm__ volatile("fnstcw %0" : "=m"(control));
    if (control != X87_DOWN) die("x87 control word", X87_DOWN, control);
    if ((_mm_getcsr() & 0x6000) != SSE_DOWN) die("MXCSR", SSE_DOWN, _mm_getcsr());
}

// A library that asks only now is told what the first one was told: XGETBV is the process's.
static int avx_now(void) {
    unsigned a = 1, b, c = 0, d, low, high;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (!(c >> 27 & 1)) return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (c >> 28 & 1) && (low & 6) == 6;
}

static int move_to(int node) {
    int fd = open("/proc/self/node", O_WRONLY);
    const int error = fd < 0 || write(fd, node ? "1" : "0", 1) != 1 ? errno : 0;
    close(fd);
    return error;
}

int main(int argc, char **argv) {
    const int moves = argc > 2 ? atoi(argv[2]) : -1;
    signal(SIGTERM, end);
    setvbuf(stdout, NULL, _IOLBF, 0);
    avx2 = __builtin_cpu_supports("avx2") != 0;
    const int avx = avx_now();
    const uint16_t control = X87_DOWN;
    __asm__ volatile("fldcw %0" : : "m"(control));
    _mm_setcsr(_mm_getcsr() | SSE_DOWN);
    printf("ready\n");
    for (unsigned round = 0; !ended && (moves < 0 || round <= (unsigned)moves); round++) {
        for (unsigned i = 0; i < 4; i++) {
            look_at_clocks();
            vectors(4 * round + i);
        }
        sleeps();
        file_times();
        if (avx_now() != avx) die("XGETBV", avx, avx_now());
        if (moves < 0 || round == (unsigned)moves) continue;
        const int error = move_to((int)(round % 2));
        if (error) {
            printf("stays: %s\n", strerror(error));
            break;
        }
        look_at_clocks();
        vectors(round);
    }
    printf("good avx2=%d\n", avx2);
    return 0;
}
