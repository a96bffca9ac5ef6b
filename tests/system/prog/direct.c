// direct CASE: a file server by reply_recv and its callers, all of this program, on one node: where
// the direct switch ends and what stands then. Mounts /mnt/direct, whose file has 8 bytes at any
// offset: the offset. Prints a line. Asked for offset HOLD + PID the server first does to PID what
// CASE says, once, and answers then.
//   count    20,000 reads; how many of the switches that takes were direct
//   signal   a signal for the caller: EINTR or the bytes, and the next read is right
//   restart  the same with SA_RESTART: the bytes
//   kill     SIGKILL for the caller: others go on
//   move     the caller is moved to node 1 and back while it waits: the bytes
//   die      SIGKILL for the server itself: all who wait, and later calls, get EIO
//   two      two callers at a time: every byte is right
//   pipes    two programs and two pipes, both by reply_recv: every byte is right, most direct
//   calls    arguments of reply_recv, and two pipes without a mount
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/p9/p9_codec.h"
#include "user/lib/reply_recv.h"

#define TARGET "/mnt/direct"
#define HOLD (1ull << 40)
#define COUNT 20000u
#define PIPE_COUNT 5000u
#define MESSAGE_MAX 8192u
#define HELD_MAX 8u

static _Alignas(4096) u8 in[MESSAGE_MAX];
static _Alignas(4096) u8 out[MESSAGE_MAX];
static const char *mode;
static int node_home;

static void fail(const char *what) {
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

static int write_text(const char *path, const char *text) {
    const int fd = open(path, O_WRONLY);
    if (fd < 0) return -1;
    const ssize_t n = write(fd, text, strlen(text));
    close(fd);
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

static long read_number(const char *path, const char *word) {
    static char text[65536];
    const int fd = open(path, O_RDONLY);
    if (fd < 0) fail(path);
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *at = word ? strstr(text, word) : text;
    return at ? atol(word ? at + strlen(word) : at) : -1;
}

static void move_to(int pid, int node) {
    char path[64], text[16];
    snprintf(path, sizeof path, "/proc/%d/node", pid);
    snprintf(text, sizeof text, "%d", node);
    for (int tries = 0; tries < 50 && write_text(path, text) != 0; tries++) { }
}

// --- the server ---

// Once for each: who is interrupted or moved asks again. Whether the call that it holds is to be
// answered now. A process of its own moves the caller, whose call may have come the whole way: then
// the server has a Tflush to answer before the caller may leave.
static int act(int pid) {
    static int acted;
    if (acted == pid) return 1;
    acted = pid;
    if (!strcmp(mode, "signal") || !strcmp(mode, "restart")) kill(pid, SIGUSR1);
    if (!strcmp(mode, "kill")) kill(pid, SIGKILL);
    if (!strcmp(mode, "die")) kill(getpid(), SIGKILL);
    if (strcmp(mode, "move") != 0) return 1;
    if (fork() == 0) {
        move_to(pid, 1 - node_home);
        move_to(pid, node_home);
        _exit(0);
    }
    return 0;
}

// The answer to the message in `in` into `out`: how long it is. A call that is held: 0.
static size_t answer(u64 acted) {
    struct p9_call c = {0};
    struct p9_parsed parsed;
    struct p9_buf b = {.bytes = out, .size = sizeof out};
    u32 size;
    memcpy(&size, in, 4);
    c.status = p9_request_unpack(in, size, &c, &parsed);
    static u8 is_file[4096];
    const u32 fid = c.object.index % 4096;
    const u64 offset = c.offset;
    c.attr = (struct p9_attr){.valid = 0x7ff, .mode = S_IFDIR | 0755, .qid_type = 0x80,
                              .qid_path = 1, .nlink = 1, .blksize = 4096};
    if (c.type == P9_TVERSION) c.count = c.count < MESSAGE_MAX ? c.count : MESSAGE_MAX;
    if (c.type == P9_TATTACH) is_file[c.new_fid % 4096] = 0;
    if (c.type == P9_TWALK) is_file[c.new_fid % 4096] = c.name ? 1 : is_file[fid];
    const int file = c.type == P9_TWALK ? is_file[c.new_fid % 4096]
                     : c.type != P9_TATTACH && is_file[fid];
    if (file) c.attr.mode = S_IFREG | 0444, c.attr.qid_type = 0, c.attr.qid_path = 2;
    if (c.type == P9_TREAD && offset >= HOLD && offset != acted) return 0;
    c.result = c.type == P9_TREAD ? c.count < 8 ? c.count : 8 : 0;
    if (p9_reply_pack(&b, &c, parsed.tag) != S_OK) exit(5);
    if (c.type == P9_TREAD) memcpy(out + b.len, &offset, c.result);
    return b.len + c.result;
}

static void serve(int from, int to) {
    size_t have = 0, out_len = 0;
    for (;;) {
        const long n = reply_recv(from, in + have, sizeof in - have, to, out, &out_len);
        if (n == -EINTR) continue;
        if (n <= 0) _exit(n == 0 ? 0 : 6);
        have += (size_t)n;
        for (u32 size; have >= 4 && (memcpy(&size, in, 4), have >= size);) {
            if (out_len && write(to, out, out_len) < 0) _exit(7);
            out_len = answer(0);
            if (out_len == 0) {
                u64 offset;
                memcpy(&offset, in + 11, 8);
                if (act((int)(offset - HOLD))) out_len = answer(offset);
            }
            memmove(in, in + size, have -= size);
        }
    }
}

static pid_t server_start(void) {
    int to[2], from[2];
    char options[64];
    if (pipe(to) || pipe(from)) fail("pipe");
    const pid_t pid = fork();
    if (pid == 0) {
        close(to[1]), close(from[0]);
        serve(to[0], from[1]);
    }
    snprintf(options, sizeof options, "trans=fd,rfdno=%d,wfdno=%d", from[0], to[1]);
    if (mount("direct", TARGET, "9p", 0, options)) fail("mount");
    close(to[0]), close(to[1]), close(from[0]), close(from[1]);
    return pid;
}

// --- callers ---

static int file;

// 0: right, an errno, or -1: wrong bytes.
static int read_at(u64 offset) {
    u64 bytes = ~0ull;
    const ssize_t n = pread(file, &bytes, sizeof bytes, (off_t)offset);
    if (n < 0) return errno;
    return n == sizeof bytes && bytes == offset ? 0 : -1;
}

static void on_signal(int sig) { (void)sig; }

// A caller that asks for what is held back. How it ended, as of wait.
static int held_caller(int flags) {
    const pid_t pid = fork();
    int status;
    if (pid == 0) {
        const struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
        sigaction(SIGUSR1, &action, NULL);
        const int error = read_at(HOLD + (u64)getpid());
        if (error && error != EINTR && error != EIO) _exit(100);
        const int next = read_at(1);
        _exit(next ? next == error ? next : 101 : error);
    }
    while (waitpid(pid, &status, 0) != pid) { }
    return status;
}

static void reads(unsigned count) {
    for (unsigned i = 0; i < count; i++)
        if (read_at(i * 8ull) != 0) printf("read %u is wrong: %s\n", i, strerror(errno)), exit(1);
}

// How often this process has left its CPU directly.
static long direct_switches(void) {
    const long n = read_number("/proc/self/status", "DirectSwitches:");
    if (n < 0) fail("/proc/self/status");
    return n;
}

static void count(void) {
    const long before = direct_switches();
    reads(COUNT);
    const long direct = direct_switches() - before;
    if (direct < (long)COUNT / 2) printf("%ld direct switches\n", direct);
    else printf("direct\n");
}

static void pipe_echo(int from, int to) {
    u64 *bytes = (u64 *)(void *)in;
    size_t len = 0;
    for (long n; (n = reply_recv(from, in, 8, to, in, &len)) == 8; len = 8) bytes[0]++;
    _exit(0);
}

static void pipes(void) {
    int there[2], back[2];
    u64 *bytes = (u64 *)(void *)in;
    if (pipe(there) || pipe(back)) fail("pipe");
    if (fork() == 0) close(there[1]), pipe_echo(there[0], back[1]);
    const long before = direct_switches();
    for (u64 i = 0; i < PIPE_COUNT; i++) {
        size_t len = 8;
        bytes[0] = 2 * i;
        const long n = reply_recv(back[0], in, 8, there[1], in, &len);
        if (n != 8 || len != 0 || bytes[0] != 2 * i + 1) printf("round %ld: %ld\n", (long)i, n);
    }
    const long direct = direct_switches() - before;
    if (direct < (long)PIPE_COUNT / 2) printf("%ld direct switches\n", direct);
    else printf("direct\n");
    close(there[1]);
    wait(NULL);
}

static void two(void) {
    const pid_t pid = fork();
    int status = 0;
    reads(3000);
    if (pid == 0) _exit(0);
    waitpid(pid, &status, 0);
    printf("%s\n", status ? "the other failed" : "right");
}

static void held(void) {
    for (int round = 0; round < 20; round++) {
        const int status = held_caller(strcmp(mode, "signal") ? SA_RESTART : 0);
        const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        const int dies = !strcmp(mode, "die"), killed = !strcmp(mode, "kill");
        const int good = dies ? code == EIO : killed ? code == -SIGKILL
                         : code == 0 || (code == EINTR && !strcmp(mode, "signal"));
        if (!good) printf("round %d: %d\n", round, code), exit(1);
        if (!dies && read_at(8) != 0) printf("round %d: another read is wrong\n", round), exit(1);
        if (dies) break;
    }
    printf("right\n");
}

static void calls(void) {
    int a[2], b[2];
    char got[16] = "";
    if (pipe(a) || pipe(b)) fail("pipe");
    size_t len = 3;
    write(a[1], "xyz", 3);
    long n = reply_recv(a[0], got, sizeof got, b[1], "abc", &len);
    printf("%ld %.3s %zu", n, got, len);
    n = read(b[0], got, sizeof got);
    printf(", %ld %.3s", n, got);
    len = 3, n = reply_recv(99, got, 1, b[1], "abc", &len);
    printf(", %ld %zu", n, len);
    len = 3, n = reply_recv(a[0], got, 1, 99, "abc", &len);
    printf(", %ld %zu", n, len);
    len = 4097, n = reply_recv(a[0], got, 1, b[1], in, &len);
    printf(", %ld %zu", n, len);
    len = 3, n = reply_recv(a[0], got, 1, b[1], (void *)8, &len);
    printf(", %ld %zu", n, len);
    len = 3, n = reply_recv(a[0], got, 1, file, "abc", &len);
    printf(", %ld %zu", n, len);
    close(a[1]);
    len = 0, n = reply_recv(a[0], got, 1, b[1], "abc", &len);
    printf(", %ld %zu\n", n, len);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    mode = argv[1];
    node_home = (int)read_number("/proc/self/node", NULL);
    move_to(getpid(), node_home);            // nobody else moves it, or its children
    const pid_t server = server_start();
    file = open(TARGET "/file", O_RDONLY);
    if (file < 0) fail(TARGET "/file");
    if (!strcmp(mode, "count")) count();
    else if (!strcmp(mode, "two")) two();
    else if (!strcmp(mode, "pipes")) pipes();
    else if (!strcmp(mode, "calls")) calls();
    else held();
    close(file);
    while (umount(TARGET) && errno == EBUSY) { }
    while (waitpid(server, NULL, 0) != server && errno == EINTR) { }
    return 0;
}
