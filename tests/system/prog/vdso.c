// vdso calls NODE | vdso spin US | vdso guard: how this C library asks for the time.
// calls: steps through each function, instruction by instruction, and prints how many system calls
// it made: first here, then once it has moved itself to NODE. spin: asks over and over until
// SIGTERM, by the library and by system calls in turn, with a rest of US microseconds after every
// hundred, and dies at the first step backwards; last line: "good". guard: what becomes of programs
// that write to the two pages, execute the clock's, or unmap them.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define NS 1000000000ll
#define TRAP_FLAG "$0x100"

static volatile sig_atomic_t calls, ended;

// --- calls ---

// After each instruction: is the next one `syscall`?
static void stepped(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    const uint8_t *next = (const uint8_t *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    if (next[0] == 0x0f && next[1] == 0x05) calls++;
}

static struct timespec t;
static struct timeval tv;
static struct timezone zone;
static unsigned cpu;
static void realtime(void) { clock_gettime(CLOCK_REALTIME, &t); }
static void monotonic(void) { clock_gettime(CLOCK_MONOTONIC, &t); }
static void raw(void) { clock_gettime(CLOCK_MONOTONIC_RAW, &t); }
static void coarse(void) { clock_gettime(CLOCK_MONOTONIC_COARSE, &t); }
static void boottime(void) { clock_gettime(CLOCK_BOOTTIME, &t); }
static void cpu_time(void) { clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); }
static void timeofday(void) { gettimeofday(&tv, &zone); }
static void seconds(void) { (void)time(NULL); }
static void which_cpu(void) { cpu = (unsigned)sched_getcpu(); }

static const struct { const char *name; void (*ask)(void); } functions[] = {
    {"REALTIME", realtime}, {"MONOTONIC", monotonic}, {"RAW", raw}, {"COARSE", coarse},
    {"BOOTTIME", boottime}, {"CPU", cpu_time}, {"gettimeofday", timeofday}, {"time", seconds},
    {"getcpu", which_cpu},
};

static void count(const char *where) {
    printf("%s:", where);
    for (unsigned i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        functions[i].ask();                      // the first may look the function up
        calls = 0;
        __asm__ volatile("pushf; orq " TRAP_FLAG ", (%%rsp); popf" : : : "memory", "cc");
        functions[i].ask();
        __asm__ volatile("pushf; andq $~0x100, (%%rsp); popf" : : : "memory", "cc");
        printf(" %s %d", functions[i].name, (int)calls);
    }
    printf("\n");
}

static int count_calls(const char *node) {
    struct sigaction a = {.sa_sigaction = stepped, .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &a, NULL);
    count("here");
    int fd = open("/proc/self/node", O_WRONLY);
    if (fd < 0 || write(fd, node, strlen(node)) < 0) return perror("node"), 1;
    close(fd);
    count("moved");
    return 0;
}

// --- spin ---

static void end(int signal) {
    (void)signal;
    ended = 1;
}

// What a clock shows is not before what it has shown; `grain` ns is all that this way tells.
static void look(const char *how, long long *seen, long long now, long long grain) {
    if (now < *seen / grain * grain) {
        printf("FAIL %s: %lld after %lld\n", how, now, *seen);
        exit(1);
    }
    if (now > *seen) *seen = now;
}

static long long ns_of(struct timespec at) { return at.tv_sec * NS + at.tv_nsec; }

static long long by_library(clockid_t clock) {
    struct timespec at;
    clock_gettime(clock, &at);
    return ns_of(at);
}
static long long by_call(clockid_t clock) {
    struct timespec at;
    syscall(SYS_clock_gettime, clock, &at);
    return ns_of(at);
}

static int spin(unsigned rest_us) {
    long long clock = 0, wall = 0;
    signal(SIGTERM, end);
    printf("ready\n");
    for (unsigned long round = 0; !ended; round++) {
        for (unsigned i = 0; i < 50; i++) {
            look("MONOTONIC", &clock, by_library(CLOCK_MONOTONIC), 1);
            look("REALTIME", &wall, by_library(CLOCK_REALTIME), 1);
        }
        look("MONOTONIC by call", &clock, by_call(CLOCK_MONOTONIC), 1);
        look("REALTIME by call", &wall, by_call(CLOCK_REALTIME), 1);
        struct timeval now;
        gettimeofday(&now, NULL);
        look("gettimeofday", &wall, now.tv_sec * NS + now.tv_usec * 1000, 1000);
        look("time", &wall, time(NULL) * NS, NS);
        if (rest_us) usleep(rest_us);
    }
    printf("good\n");
    return 0;
}

// --- guard ---

#define PAGE 4096

static void touch(char *at) { *(volatile char *)at = 1; }
static void execute(char *at) { ((void (*)(void))(uintptr_t)at)(); }

// The signal that ends a child which does that.
static int ends_by(void (*act)(char *at), char *at) {
    int status = 0;
    const pid_t pid = fork();
    if (pid == 0) {
        act(at);
        _exit(0);
    }
    return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

static int guard(char *code) {
    char *clock = code - PAGE;
    printf("write %d %d execute %d beyond %d\n", ends_by(touch, clock), ends_by(touch, code),
           ends_by(execute, clock), ends_by(touch, code + PAGE));
    printf("unmap %d %d protect %d\n", munmap(clock, PAGE), munmap(code, PAGE),
           mprotect(clock, 2 * PAGE, PROT_READ | PROT_WRITE));
    printf("read %d %d\n", memcmp(code, "\177ELF", 4), by_library(CLOCK_MONOTONIC) > 0);
    return 0;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    char *vdso = (char *)getauxval(AT_SYSINFO_EHDR);
    if (!vdso) return puts("no vDSO"), 1;
    if (argc == 3 && !strcmp(argv[1], "calls")) return count_calls(argv[2]);
    if (argc == 3 && !strcmp(argv[1], "spin")) return spin((unsigned)atoi(argv[2]));
    if (argc == 2 && !strcmp(argv[1], "guard")) return guard(vdso);
    fprintf(stderr, "usage: vdso calls NODE | vdso spin US | vdso guard\n");
    return 2;
}
