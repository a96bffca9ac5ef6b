// hashset MIB ROUNDS SEED [MOVES NODES]: keeps a running hash over a working set of MIB
// mebibytes. Each round visits every page in an order drawn from the seed, folds it into
// the hash and changes a word of it. With MOVES it asks to go to the next of NODES nodes
// by its own /proc/self/node, MOVES times, evenly spread over its page visits; the hash
// is the same with and without. Prints the hash, and with MOVES where it ran, to stderr.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "node.h"

#define PAGE 4096u
#define PAGE_WORDS (PAGE / sizeof(uint64_t))

static uint64_t random_next(uint64_t *state) {  // splitmix64
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t hash_add(uint64_t hash, uint64_t word) {
    hash ^= word;
    hash *= 0x100000001b3u;
    return hash ^ (hash >> 29);
}

static void page_visit(uint64_t *page, uint64_t *hash, uint64_t *state) {
    for (size_t i = 0; i < PAGE_WORDS; i += 8) *hash = hash_add(*hash, page[i]);
    page[random_next(state) % PAGE_WORDS] ^= *hash;
}

static void move_to(int node) {
    if ((errno = node_go(node)) != 0) {
        perror("hashset: /proc/self/node");
        exit(3);
    }
    int got = node_here();
    if (got != node) {
        fprintf(stderr, "hashset: asked for node %d, running on %d\n", node, got);
        exit(4);
    }
    fprintf(stderr, "hashset: on node %d\n", node);
}

int main(int argc, char **argv) {
    if (argc != 4 && argc != 6) {
        fprintf(stderr, "usage: hashset MIB ROUNDS SEED [MOVES NODES]\n");
        return 2;
    }
    size_t pages = strtoul(argv[1], NULL, 0) * (1u << 20) / PAGE;
    size_t visits = strtoul(argv[2], NULL, 0) * pages;
    uint64_t state = strtoul(argv[3], NULL, 0), hash = 0xcbf29ce484222325u;
    size_t moves = argc == 6 ? strtoul(argv[4], NULL, 0) : 0;
    int nodes = argc == 6 ? atoi(argv[5]) : 1, node = moves ? node_here() : 0;

    uint64_t *set = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                         -1, 0);
    if (set == MAP_FAILED || pages == 0) {
        perror("hashset: mmap");
        return 1;
    }
    for (size_t i = 0; i < pages * PAGE_WORDS; i += 64) set[i] = random_next(&state);
    for (size_t visit = 0, moved = 0; visit < visits; visit++) {
        if (moves && visit * moves / visits >= moved && moved < moves) {
            node = (node + 1) % nodes;
            move_to(node);
            moved++;
        }
        size_t page = random_next(&state) % pages;
        page_visit(set + page * PAGE_WORDS, &hash, &state);
    }
    printf("%016llx\n", (unsigned long long)hash);
    return 0;
}
