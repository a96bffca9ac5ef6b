// on NODE COMMAND...: runs COMMAND on that node. This process moves there while it is
// small, then becomes COMMAND; root, working directory and open files stay the caller's.
// Where that node's CPU cannot run it, COMMAND goes there at its first instruction.
#include "user/cmd/node_file.h"

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: on NODE COMMAND [ARGUMENT]...\n");
        return 2;
    }
    if (node_file_go("on", argv[1]) != 0) return 126;
    execvp(argv[2], argv + 2);
    int error = errno;
    fprintf(stderr, "on: %s: %s\n", argv[2], strerror(error));
    return error == ENOENT ? 127 : 126;
}
