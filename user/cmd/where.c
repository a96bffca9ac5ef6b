// where PID...: which node has each process, and what it is.
#include "user/cmd/process.h"

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: where PID...\n");
        return 2;
    }
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        struct process p;
        char *end;
        const long pid = strtol(argv[i], &end, 10);
        if (*end || pid <= 0 || pid > 0x7fffffff || process_read((int)pid, &p) != 0) {
            fprintf(stderr, "where: no process %s\n", argv[i]);
            failed = 1;
            continue;
        }
        printf("%d is on node %d: %s\n", p.pid, p.node, p.command);
    }
    return failed;
}
