// frames COMMAND ARGS...: runs the command and says whether all nodes have as many free frames
// afterwards as before; those that a kernel's heap keeps for later count as free. Prints "back",
// or what is missing, and ends with the command's status, or 99. It counts by itself and waits
// while the command runs, so that no frame of its own comes or goes in between; a run without
// a command before that lets it touch all that it needs.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NODES_MAX 16
#define LOOKS_MAX 300                // 100 ms apart: a hang detector
#define STILL_LOOKS 3                // so many alike: nothing changes any more
#define FAILED 99

struct count { long node[NODES_MAX]; };

static char text[65536];

static long figure(const char *key) {
    const char *at = strstr(text, key);
    return at ? atol(at + strlen(key)) : 0;
}

static void count_now(struct count *c) {
    memset(c, 0, sizeof *c);
    for (int n = 0; n < NODES_MAX; n++) {
        char path[32];
        snprintf(path, sizeof path, "/nodes/%d/status", n);
        int fd = open(path, O_RDONLY);
        if (fd < 0) continue;
        size_t len = 0;
        for (ssize_t got; len < sizeof text - 1 &&
             (got = read(fd, text + len, sizeof text - 1 - len)) > 0;) len += (size_t)got;
        close(fd);
        text[len] = 0;
        c->node[n] = figure("\nfree: ") + figure("\nheap: ");
    }
}

static int same(const struct count *a, const struct count *b) { return !memcmp(a, b, sizeof *a); }

static void count_still(struct count *c) {
    struct count now;
    count_now(c);
    for (int looks = 0, alike = 0; looks < LOOKS_MAX && alike < STILL_LOOKS; looks++) {
        usleep(100000);
        count_now(&now);
        alike = same(&now, c) ? alike + 1 : 0;
        *c = now;
    }
}

// The exit status of the command, or -1.
static int run(char **words) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        execvp(words[0], words);
        perror(words[0]);
        _exit(127);
    }
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int measured(char **words, int show) {
    struct count before, after;
    count_still(&before);
    int status = run(words);
    count_now(&after);
    for (int looks = 0; looks < LOOKS_MAX && !same(&before, &after); looks++) {
        usleep(100000);
        count_now(&after);
    }
    if (!show) return 0;
    if (same(&before, &after)) {
        puts("back");
        return status;
    }
    for (int n = 0; n < NODES_MAX; n++)
        if (before.node[n] != after.node[n])
            printf("free frames of node %d: %ld, then %ld\n", n, before.node[n], after.node[n]);
    return FAILED;
}

int main(int argc, char **argv) {
    static char *nothing[] = {"true", NULL};
    if (argc < 2) {
        fputs("usage: frames COMMAND ARGS...\n", stderr);
        return FAILED;
    }
    measured(nothing, 0);
    return measured(argv + 1, 1);
}
