// turns NODES TURNS: one process on each node; they take turns at a word of memory that they
// share, each woken by the one before it, by futexes. Prints "turns TURNS".
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FUTEX_WAIT_WORD, FUTEX_WAKE_WORD };   // not private: the word is in shared memory

static _Atomic uint32_t *turn;

static void take_turns(uint32_t me, uint32_t count, uint32_t turns) {
    for (uint32_t mine = me; mine < turns; mine += count) {
        for (uint32_t now; (now = *turn) != mine;)
            syscall(SYS_futex, turn, FUTEX_WAIT_WORD, now, NULL, NULL, 0);
        usleep(20000);               // so that the others wait
        *turn = mine + 1;
        syscall(SYS_futex, turn, FUTEX_WAKE_WORD, count, NULL, NULL, 0);
    }
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    const uint32_t count = (uint32_t)atoi(argv[1]), turns = (uint32_t)atoi(argv[2]);
    int status, bad = 0;
    turn = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (turn == MAP_FAILED) return 2;
    for (uint32_t me = 0; me < count; me++) {
        if (fork() != 0) continue;
        char text[16];
        const int len = snprintf(text, sizeof text, "%u", me);
        const int fd = open("/proc/self/node", O_WRONLY);
        if (fd < 0 || write(fd, text, (size_t)len) != len) _exit(1);
        take_turns(me, count, turns);
        _exit(0);
    }
    while (wait(&status) > 0) bad |= status;
    printf("turns %u\n", *turn);
    return bad != 0 || *turn < turns;
}
