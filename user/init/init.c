// Process 1. Keeps a shell on the console and reaps orphans; with the kernel option
// run=com2 it also carries out the host's command over COM2 (docs/reference/run-protocol.md):
// one request, sh -c, output in frames. Ordinary Linux calls only; a static musl program.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define FRAME_MAX 4096u
#define COMMAND_MAX 65536u
#define STATUS_MAX 65536u
#define NODES_MAX 64u
#define READY_POLL_MS 200            // how often the number of members is looked at

enum frame { FRAME_STDOUT = 1, FRAME_STDERR, FRAME_EXIT, FRAME_READY, FRAME_ERROR };

static pid_t shell_pid, command_pid;
static int command_status = -1;      // wait status once it ended

static void write_all(int fd, const void *bytes, size_t len) {
    const char *at = bytes;
    while (len) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        at += n;
        len -= (size_t)n;
    }
}

static void frame_send(int com, enum frame type, const void *payload, uint32_t len) {
    unsigned char head[5] = {(unsigned char)type, (unsigned char)len, (unsigned char)(len >> 8),
                             (unsigned char)(len >> 16), (unsigned char)(len >> 24)};
    write_all(com, head, sizeof head);
    write_all(com, payload, len);
}

static void frame_u32(int com, enum frame type, uint32_t value) {
    frame_send(com, type, &value, sizeof value);
}

static void shell_start(void) {
    shell_pid = fork();
    if (shell_pid) return;
    setsid();
    int fd = open("/dev/console", O_RDWR);
    for (int i = 0; i < 3 && fd >= 0; i++) dup2(fd, i);
    if (fd > 2) close(fd);
    ioctl(0, TIOCSCTTY, 1);
    chdir("/root");
    execl("/bin/sh", "-sh", (char *)NULL);
    _exit(127);
}

// Says on the console how its shell ended (tools/launcher/fed_console.py reads it), and starts
// another.
static void shell_again(int status) {
    char line[64];
    const int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    const int len = snprintf(line, sizeof line, "init: the console's shell ended with status %d\n",
                             code);
    const int fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0) {
        write_all(fd, line, (size_t)len);
        close(fd);
    }
    shell_start();
}

// Takes every child that ended; a shell that ended is started again.
static void reap(int com) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == command_pid) command_status = status;
        if (pid == shell_pid && com < 0) shell_again(status);
    }
}

static uint32_t member_count(void) {
    char text[16] = "";
    int fd = open("/nodes/members", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    long count = n > 0 ? strtol(text, NULL, 10) : 0;
    return count > 0 ? (uint32_t)count : 1;
}

// How many members node n says there are; 0: it is not up, or cannot be asked now.
static uint32_t members_of(unsigned n) {
    static char text[STATUS_MAX + 1];
    char path[32];
    snprintf(path, sizeof path, "/nodes/%u/status", n);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    size_t len = 0;
    for (ssize_t got = 1; got > 0 && len < STATUS_MAX; len += got > 0 ? (size_t)got : 0)
        got = read(fd, text + len, STATUS_MAX - len);
    close(fd);
    text[len] = 0;
    const char *at = strstr(text, "\nmembers: ");
    return at ? (uint32_t)strtoul(at + strlen("\nmembers: "), NULL, 10) : 0;
}

// How many members there are in the eyes of all of them: a join is over when both sides say so.
static uint32_t members_agreed(void) {
    const uint32_t count = member_count();
    uint32_t least = count, asked = 0;
    for (unsigned n = 0; n < NODES_MAX && asked < count; n++) {
        const uint32_t theirs = members_of(n);
        if (theirs == 0) continue;
        asked++;
        if (theirs < least) least = theirs;
    }
    return asked == 0 ? 1 : asked < least ? asked : least;
}

// Reads exactly len bytes while telling the host of new members; false: end of file.
static int read_exactly(int com, char *to, size_t len, uint32_t *members) {
    while (len) {
        struct pollfd p = {.fd = com, .events = POLLIN};
        if (poll(&p, 1, READY_POLL_MS) <= 0) {
            uint32_t now = member_count() == *members ? *members : members_agreed();
            if (now != *members) frame_u32(com, FRAME_READY, *members = now);
            continue;
        }
        ssize_t n = read(com, to, len);
        if (n <= 0) return 0;
        to += n;
        len -= (size_t)n;
    }
    return 1;
}

static char *request_read(int com) {
    static const char bad[] = "run: malformed request";
    char line[13];
    uint32_t members = members_agreed();
    frame_u32(com, FRAME_READY, members);
    if (!read_exactly(com, line, sizeof line, &members)) return NULL;
    char *end;
    unsigned long len = strtoul(line + 4, &end, 16);
    if (memcmp(line, "RUN ", 4) || end != line + 12 || line[12] != '\n' || len > COMMAND_MAX) {
        frame_send(com, FRAME_ERROR, bad, sizeof bad - 1);
        return NULL;
    }
    char *command = calloc(1, len + 1);
    if (!command || !read_exactly(com, command, len, &members)) return NULL;
    return command;
}

static int command_start(const char *command, int out[2], int err[2]) {
    if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) return -1;
    command_pid = fork();
    if (command_pid == 0) {
        setsid();
        int null = open("/dev/null", O_RDONLY);
        dup2(null, 0);
        dup2(out[1], 1);
        dup2(err[1], 2);
        if (null > 2) close(null);
        chdir("/");
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    close(err[1]);
    return command_pid < 0 ? -1 : 0;
}

// Sends what has come on fd; 0: its end.
static int forward(int com, int fd, enum frame type) {
    char bytes[FRAME_MAX];
    ssize_t n = read(fd, bytes, sizeof bytes);
    if (n > 0) frame_send(com, type, bytes, (uint32_t)n);
    return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

// Forwards output until the command itself has ended and what it wrote is sent. A child that ends
// between the look at children and the wait ends that: SIGCHLD comes in no other place.
static void command_serve(int com, int out, int err) {
    struct pollfd p[2] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
    const struct timespec no_time = {0, 0};
    sigset_t child, before;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &before);
    for (;;) {
        reap(com);
        int ended = command_status >= 0;
        int ready = ppoll(p, 2, ended ? &no_time : NULL, &before);
        if (ready <= 0 && ended) break;
        if (ready <= 0) continue;
        for (int i = 0; i < 2; i++) {
            if (!p[i].revents) continue;
            if (!forward(com, p[i].fd, i ? FRAME_STDERR : FRAME_STDOUT)) p[i].fd = -1;
        }
        if (p[0].fd < 0 && p[1].fd < 0 && !ended) {
            int status;
            if (waitpid(command_pid, &status, 0) == command_pid) command_status = status;
        }
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void run_host_command(int com) {
    static const char cannot[] = "run: cannot start the shell";
    int out[2], err[2];
    char *command = request_read(com);
    if (!command) return;
    if (command_start(command, out, err)) {
        frame_send(com, FRAME_ERROR, cannot, sizeof cannot - 1);
        return;
    }
    command_serve(com, out[0], err[0]);
    uint32_t status = WIFSIGNALED(command_status) ? 128u + (uint32_t)WTERMSIG(command_status)
                                                  : (uint32_t)WEXITSTATUS(command_status);
    frame_u32(com, FRAME_EXIT, status);
    free(command);
}

static void on_child(int sig) { (void)sig; }

int main(void) {
    setenv("PATH", "/bin", 1);
    setenv("HOME", "/root", 1);
    struct sigaction child = {.sa_handler = on_child};
    sigaction(SIGCHLD, &child, NULL);
    shell_start();
    int com = open("/dev/run", O_RDWR);          // there only on the node that runs
    if (com >= 0) {
        run_host_command(com);
        close(com);
    }
    for (;;) {
        reap(-1);
        int status;
        pid_t pid = wait(&status);
        if (pid == shell_pid) shell_again(status);
        if (pid < 0 && errno == ECHILD) shell_start();
    }
}
