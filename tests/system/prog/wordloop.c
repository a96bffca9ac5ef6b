// Writes one word in a tight loop, with plain stores, into memory that a peer READs:
// wordloop NODE maps what node NODE may read of this node's /dev/bench, says so, and counts
// in its first word until it is killed.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BENCH_BYTES 65536

int main(int argc, char **argv) {
    const int node = argc == 2 ? atoi(argv[1]) : 0;
    const int fd = open("/dev/bench", O_RDWR);
    if (fd < 0) {
        perror("wordloop: /dev/bench");
        return 1;
    }
    volatile uint64_t *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                                   (off_t)node * BENCH_BYTES);
    if (word == MAP_FAILED) {
        perror("wordloop: mmap");
        return 1;
    }
    *word = 1;
    puts("looping");
    fflush(stdout);
    for (uint64_t count = 1;; count++) *word = count;
}
