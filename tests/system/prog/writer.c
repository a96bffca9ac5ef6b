// writer MIB HOT: touches MIB mebibytes, says "ready", then goes on writing HOT pages of them, one
// after the other in an order that jumps, and checks all memory every now and then, until SIGTERM.
// Says "whole" then, or what it found. What each page must hold is computed apart.
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE 4096u
#define CHECK_ROUNDS 64u             // between two looks at all of it
#define STEP 7919u                   // a prime: hot pages are spread over the memory

static unsigned char *memory;
static size_t pages, hot;
static volatile sig_atomic_t over;

static void on_term(int number) { over = number; }

static uint64_t *word(size_t page) { return (uint64_t *)(memory + page * PAGE + page % 500 * 8); }
static size_t hot_page(size_t i) { return i * STEP % pages; }

static int wrong(uint64_t round) {
    uint64_t *want = calloc(pages, sizeof *want);
    int bad = !want;
    for (size_t i = 0; want && i < hot; i++) want[hot_page(i)] = round;
    for (size_t i = 0; want && i < pages && !bad; i++) {
        bad = *word(i) != i + (want[i] << 32);
        if (bad) printf("page %zu: %#llx\n", i, (unsigned long long)*word(i));
    }
    free(want);
    return bad;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    pages = strtoul(argv[1], NULL, 0) * 256;
    hot = strtoul(argv[2], NULL, 0);
    signal(SIGTERM, on_term);
    memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || hot == 0 || hot > pages) return 2;
    for (size_t i = 0; i < pages; i++) *word(i) = i;
    puts("ready");
    fflush(stdout);
    uint64_t round = 0;
    int bad = 0;
    do {
        round++;
        for (size_t i = 0; i < hot; i++) *word(hot_page(i)) = hot_page(i) + (round << 32);
        if (round % CHECK_ROUNDS == 0) bad = wrong(round);
    } while (!bad && !over);
    if (bad || wrong(round)) return 1;
    puts("whole");
    return 0;
}
