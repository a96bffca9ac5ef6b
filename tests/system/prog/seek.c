// seek NODES MOVES: a process is moved round the nodes MOVES times by two movers at once,
// while on every node somebody asks where it is and whether it lives: it is found each time,
// and each move succeeds. Then others are killed on their way, and end by that signal and no
// other. Prints "ok NAME" or "FAIL ...".
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NODES_MAX 8
#define KILLS 8

static int nodes = 2, moves = 50;

static int node_file(pid_t pid, int flags) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/node", pid);
    return open(path, flags);
}

static int move(pid_t pid, int node) {
    char text[16];
    int length = snprintf(text, sizeof text, "%d", node);
    int fd = node_file(pid, O_WRONLY);
    if (fd < 0) return errno;
    int result = write(fd, text, (size_t)length) == length ? 0 : errno;
    close(fd);
    return result;
}

static int node_of(pid_t pid) {
    char text[16] = "";
    int fd = node_file(pid, O_RDONLY);
    if (fd < 0) return -errno;
    ssize_t n = read(fd, text, sizeof text - 1);
    int error = errno;
    close(fd);
    return n > 0 ? atoi(text) : -error;
}

static void fail(const char *what, int got) {
    printf("FAIL %s (%d, %s)\n", what, got, strerror(got < 0 ? -got : got));
    fflush(stdout);
    _exit(1);
}

static int status_of(pid_t child) {
    int status = -1;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return -errno;
    return status;
}

// On `node`: asks until everybody who holds the other end of `stop` has closed it.
static void seeker(pid_t pid, int node, int stop) {
    struct pollfd p = {.fd = stop, .events = POLLIN};
    int error = move(getpid(), node);
    if (error) fail("a seeker goes to its node", error);
    do {
        int at = node_of(pid);
        if (at < 0 || at >= nodes) fail("where it is", at);
        if (kill(pid, 0) != 0) fail("whether it lives", errno);
    } while (poll(&p, 1, 0) == 0);
    _exit(0);
}

static void mover(pid_t pid, int first) {
    for (int i = 0; i < moves; i++) {
        int error = move(pid, (first + i) % nodes);
        if (error) fail("a move", error);
    }
    _exit(0);
}

// A child that waits for a byte and ends with it.
static pid_t sitter(const int go[2]) {
    pid_t pid = fork();
    if (pid != 0) return pid;
    char c = 0;
    close(go[1]);
    _exit(read(go[0], &c, 1) == 1 ? c : 1);
}

static int check_found(void) {
    int go[2], stop[2];
    pid_t seekers[NODES_MAX], movers[2];
    if (pipe(go)) fail("pipe", errno);
    pid_t pid = sitter(go);
    if (pipe(stop)) fail("pipe", errno);         // after it: it holds no end of this one
    close(go[0]);
    for (int i = 0; i < nodes; i++)
        if ((seekers[i] = fork()) == 0) {
            close(stop[1]);
            close(go[1]);
            seeker(pid, i, stop[0]);
        }
    for (int i = 0; i < 2; i++)
        if ((movers[i] = fork()) == 0) {
            close(go[1]);
            mover(pid, i);
        }
    int bad = 0;
    for (int i = 0; i < 2; i++) bad += status_of(movers[i]) != 0;
    close(stop[1]);
    close(stop[0]);
    for (int i = 0; i < nodes; i++) bad += status_of(seekers[i]) != 0;
    if (write(go[1], "*", 1) != 1) fail("write", errno);
    int status = status_of(pid);
    close(go[1]);
    if (status != '*' << 8) fail("how it ended", status);
    return bad == 0;
}

static int check_killed(void) {
    int go[2];
    if (pipe(go)) fail("pipe", errno);
    for (int i = 0; i < KILLS; i++) {
        pid_t pid = sitter(go), other = fork();
        if (other == 0) {
            while (move(pid, 1) == 0 && move(pid, 0) == 0) {}
            _exit(0);
        }
        for (int k = 0; k < 2 + i; k++)
            if (node_of(pid) < 0) fail("where it is before it is killed", i);
        if (kill(pid, SIGKILL) != 0) fail("the kill", errno);
        int status = status_of(pid);
        if (status != SIGKILL) fail("how the killed one ended", status);
        if (status_of(other) != 0) fail("its mover", i);
    }
    if (waitpid(-1, NULL, 0) != -1 || errno != ECHILD) fail("a child too many", errno);
    close(go[0]);
    close(go[1]);
    return 1;
}

int main(int argc, char **argv) {
    if (argc > 1) nodes = atoi(argv[1]);
    if (argc > 2) moves = atoi(argv[2]);
    if (nodes < 2 || nodes > NODES_MAX) return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!check_found()) return 1;
    printf("ok found\n");
    if (!check_killed()) return 1;
    printf("ok killed\n");
    return 0;
}
