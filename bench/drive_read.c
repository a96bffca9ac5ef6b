// drive_read DRIVE FIRST COUNT: reads COUNT pages of 4 KiB of a drive, each alone, in an order
// in which no page follows its neighbour, so that nothing is read ahead: page i of the order is
// the same in every run. Marks each call's begin and end for bench/count_plugin.c, and prints
// the median and the 99th percentile of the calls' times in microseconds.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
#define STEP 5003u                   // odd: visits all pages of a drive of 2^n pages
#define COUNT_MAX 10000u
// As in kernel/perf.h, with numbers of its own.
#define MARK(number) __asm__ volatile(".byte 0x0f, 0x1f, 0x80; .long %c0" : : \
                                      "i"(0x49530000 + (number)) : "memory")

static _Alignas(PAGE) char page[PAGE];
static double us[COUNT_MAX];

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    const unsigned first = (unsigned)atoi(argv[2]), count = (unsigned)atoi(argv[3]);
    const int fd = open(argv[1], O_RDONLY);
    const off_t pages = lseek(fd, 0, SEEK_END) / PAGE;
    if (fd < 0 || pages <= 0 || count == 0 || count > COUNT_MAX) {
        perror(argv[1]);
        return 1;
    }
    for (unsigned i = 0; i < count; i++) {
        const off_t at = (off_t)(first + i) * STEP % pages * PAGE;
        const double begun_us = now_us();
        MARK(6);
        const ssize_t n = pread(fd, page, PAGE, at);
        MARK(7);
        us[i] = now_us() - begun_us;
        if (n != PAGE) {
            perror("drive_read: pread");
            return 1;
        }
    }
    qsort(us, count, sizeof us[0], compare);
    printf("%.1f %.1f\n", us[count / 2], us[count * 99 / 100]);
    return 0;
}
