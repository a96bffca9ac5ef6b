// freezer MIB NODE: writes every page of MIB mebibytes, goes to NODE, says where it is.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    const size_t bytes = strtoul(argv[1], NULL, 0) << 20;
    char *set = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (set == MAP_FAILED) {
        perror("freezer: mmap");
        return 1;
    }
    for (size_t at = 0; at < bytes; at += 4096) set[at] = 1;
    const int fd = open("/proc/self/node", O_RDWR);
    if (fd < 0 || write(fd, argv[2], strlen(argv[2])) < 0) {
        perror("freezer: /proc/self/node");
        return 1;
    }
    printf("moved %s MiB\n", argv[1]);
    return 0;
}
