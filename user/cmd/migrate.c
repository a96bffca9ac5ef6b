// migrate PID NODE: moves a running process, by writing to /proc/PID/node.
#include "user/cmd/node_file.h"

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: migrate PID NODE\n");
        return 2;
    }
    return node_file_write("migrate", argv[1], argv[2]) != 0;
}
