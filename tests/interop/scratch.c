// Shared by client.c and server.c: see scratch.h. Single thread, no locks.
#include "scratch.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_be(uint8_t *bytes, unsigned count, uint64_t value) {
    for (unsigned i = 0; i < count; i++)
        bytes[i] = (uint8_t)(value >> (8 * (count - 1 - i)));
}

static uint64_t get_be(const uint8_t *bytes, unsigned count) {
    uint64_t value = 0;
    for (unsigned i = 0; i < count; i++)
        value = value << 8 | bytes[i];
    return value;
}

/** Packs the key of a region as the service's private data. */
void scratch_pack(uint8_t bytes[SCRATCH_PRIVATE_BYTES], struct scratch_key key) {
    put_be(bytes, 8, key.address);
    put_be(bytes + 8, 4, key.rkey);
    put_be(bytes + 12, 4, key.length);
}

/** Reads the service's private data. */
struct scratch_key scratch_unpack(const uint8_t bytes[SCRATCH_PRIVATE_BYTES]) {
    return (struct scratch_key){get_be(bytes, 8), (uint32_t)get_be(bytes + 8, 4),
                                (uint32_t)get_be(bytes + 12, 4)};
}

/** Ends the program with status 1 and a reason. */
_Noreturn void die(const char *what) {
    fprintf(stderr, "failed: %s (errno %d: %s)\n", what, errno, strerror(errno));
    exit(1);
}

/** splitmix64. */
uint64_t random_next(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
