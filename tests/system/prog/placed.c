// Programs for placement to move. Each prints what it computed, then its node, then, with
// -v, /proc/self/affinity and why, and what the latter said before it did anything else.
//   placed reads DRIVE COUNT             reads of 4 KiB, again and again the same 16
//   placed turns DRIVE DRIVE COUNT TURN  TURN reads of one, then of the other
//   placed spin                          computes until it is killed
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 4096
#define BLOCKS 16

static unsigned long sum;

static void read_block(int fd, int number) {
    static unsigned char block[BLOCK];
    if (pread(fd, block, BLOCK, (off_t)(number % BLOCKS) * BLOCK) != BLOCK) {
        perror("placed: pread");
        exit(1);
    }
    for (int i = 0; i < BLOCK; i++) sum = sum * 31 + block[i];
}

static int drive(const char *path) {
    int fd = open(path, O_RDONLY);
    if (fd >= 0) return fd;
    perror(path);
    exit(1);
}

static char text[8192];

static void take(const char *path) {
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    if (fd >= 0) close(fd);
}
static void show(const char *path) {
    take(path);
    fputs(text, stdout);
}

int main(int argc, char **argv) {
    int verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
    char **word = argv + 1 + verbose;
    int words = argc - 1 - verbose;
    static char start[sizeof text];
    if (verbose) {
        take("/proc/self/why");
        memcpy(start, text, sizeof start);
    }
    if (words == 1 && strcmp(word[0], "spin") == 0) {
        for (volatile unsigned long i = 0;; i++) sum = sum * 31 + i;
    } else if (words == 3 && strcmp(word[0], "reads") == 0) {
        int fd = drive(word[1]);
        for (int i = 0; i < atoi(word[2]); i++) read_block(fd, i);
    } else if (words == 5 && strcmp(word[0], "turns") == 0) {
        int fd[2] = {drive(word[1]), drive(word[2])}, turn = atoi(word[4]);
        for (int i = 0; i < atoi(word[3]); i++) read_block(fd[i / turn % 2], i);
    } else {
        fprintf(stderr, "usage: placed [-v] reads DRIVE COUNT | turns DRIVE DRIVE COUNT TURN | "
                        "spin\n");
        return 2;
    }
    printf("%016lx\n", sum);
    fflush(stdout);
    show("/proc/self/node");
    if (verbose) show("/proc/self/affinity");
    if (verbose) show("/proc/self/why");
    if (verbose) printf("at its start:\n%s", start);
    return 0;
}
