// why PID: the figures behind the last move of a process and behind the last decision.
#include <errno.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    char path[64], line[256];
    if (argc != 2) {
        fprintf(stderr, "usage: why PID\n");
        return 2;
    }
    snprintf(path, sizeof path, "/proc/%s/why", argv[1]);
    FILE *file = fopen(path, "r");
    if (!file) {
        if (errno == ENOENT) fprintf(stderr, "why: no process %s\n", argv[1]);
        else fprintf(stderr, "why: process %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    while (fgets(line, sizeof line, file)) fputs(line, stdout);
    int failed = ferror(file);
    fclose(file);
    return failed ? 1 : 0;
}
