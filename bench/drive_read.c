// drive_read DRIVE FIRST COUNT: reads COUNT pages of 4 KiB of a drive, each alone, in an order
// in which no page follows its neighbour, so that nothing is read ahead: page i of the order is
// the same in every run. Marks each call's begin and end for bench/count_plugin.c.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#define PAGE 4096u
#define STEP 5003u                   // odd: visits all pages of a drive of 2^n pages
// As in kernel/perf.h, with numbers of its own.
#define MARK(number) __asm__ volatile(".byte 0x0f, 0x1f, 0x80; .long %c0" : : \
                                      "i"(0x49530000 + (number)) : "memory")

static _Alignas(PAGE) char page[PAGE];

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    const unsigned first = (unsigned)atoi(argv[2]), count = (unsigned)atoi(argv[3]);
    const int fd = open(argv[1], O_RDONLY);
    const off_t pages = lseek(fd, 0, SEEK_END) / PAGE;
    if (fd < 0 || pages <= 0) {
        perror(argv[1]);
        return 1;
    }
    for (unsigned i = 0; i < count; i++) {
        const off_t at = (off_t)(first + i) * STEP % pages * PAGE;
        MARK(6);
        const ssize_t n = pread(fd, page, PAGE, at);
        MARK(7);
        if (n != PAGE) {
            perror("drive_read: pread");
            return 1;
        }
    }
    return 0;
}
