// preads FILE COUNT: reads COUNT pieces of p9tree's file `big` by pread, of 1 to 4,096 bytes at
// any place, while a timer's signal comes every millisecond and its handler restarts calls.
// Prints "right", or which byte was wrong, or the error.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define BIG_BYTES 300000u

static void tick(int sig) { (void)sig; }

int main(int argc, char **argv) {
    static _Alignas(4096) unsigned char bytes[4096];
    const struct sigaction action = {.sa_handler = tick, .sa_flags = SA_RESTART};
    const struct itimerval every = {{0, 1000}, {0, 1000}};
    unsigned seed = 1;
    if (argc != 3) return 2;
    const int fd = open(argv[1], O_RDONLY);
    if (fd < 0) return perror(argv[1]), 1;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
    for (int i = 0; i < atoi(argv[2]); i++) {
        const unsigned at = (unsigned)rand_r(&seed) % BIG_BYTES, len = at % 4096 + 1;
        const ssize_t n = pread(fd, bytes, len, at);
        if (n < 0) return printf("%s\n", strerror(errno)), 1;
        const unsigned want = len < BIG_BYTES - at ? len : BIG_BYTES - at;
        if (n != (ssize_t)want) return printf("%zd bytes of %u\n", n, want), 1;
        for (unsigned k = 0; k < want; k++)
            if (bytes[k] != (unsigned char)((at + k) * 7 + (at + k) / 256))
                return printf("byte %u of %u\n", k, at), 1;
    }
    puts("right");
    return 0;
}
