// claim FILE [hold]: opens it as a mount does, O_EXCL for writing, and says what came of it;
// with `hold` it keeps it until it is killed.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    const int fd = open(argv[1], O_RDWR | O_EXCL);
    printf("%s\n", fd < 0 ? strerror(errno) : "claimed");
    fflush(stdout);
    while (fd >= 0 && argc > 2) pause();
    return fd < 0;
}
