// What client and server of the scratch service share: the form of the private data,
// and small things around librdmacm. Nothing here knows which end is Isthmus.
#pragma once
#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRATCH_PORT 18516u
#define SCRATCH_BYTES (1u << 20)
#define SCRATCH_PRIVATE_BYTES 16u

struct scratch_key {
    uint64_t address;
    uint32_t rkey, length;
};

// Packs and unpacks {u64 address, u32 rkey, u32 length}, big-endian.
void scratch_pack(uint8_t bytes[SCRATCH_PRIVATE_BYTES], struct scratch_key key);
struct scratch_key scratch_unpack(const uint8_t bytes[SCRATCH_PRIVATE_BYTES]);
// Says on stderr what failed, with errno, and ends the program with status 1.
_Noreturn void die(const char *what);
// splitmix64: the next word of a generator.
uint64_t random_next(uint64_t *state);
