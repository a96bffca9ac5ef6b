// What drive.c, cache.c and fetch.c share: one drive, its cached blocks, the blocks that are being
// fetched. All of it belongs to who holds the lock of calls.c.
#pragma once

#include "user/ext4d/ext4d.h"

#define BUCKETS 4096u
#define CLEAN_MAX 2048u                  // blocks kept that are not changed
#define READ_BYTES (48u << 10)           // read by one: what goes one-sided from another node

struct block {
    struct block *next;                  // of its bucket
    struct block *newer, *older;         // clean ones, by use
    u64 number;
    bool dirty;
    u8 bytes[];
};

// Blocks that a call lacks: read by a thread without the lock.
struct fetch {
    struct fetch *next;                  // of its drive's: all that are out or held
    struct fetch *held;                  // of its call's: those that have come
    u64 first;
    u32 count;                           // blocks
    bool keep;                           // for the cache, else the call holds them
    bool stale;                          // one of them was written since
    errcode_t code;                      // how the read ended
    u8 bytes[];
};

struct drive {
    int fd;
    struct block *buckets[BUCKETS];
    struct block *newest, *oldest;
    u32 clean, dirty;
    struct fetch *fetches;
    struct fetch_list *call;             // that may be asked again; NULL: reads wait for the drive
    u8 *last;                            // bit per block: written in PHASE_INODES
    u64 last_blocks;
    u8 *used;                            // bit per block from first_block: in use on the drive
    u64 first_block;
    u8 *run;
};

static inline struct drive *drive_of(io_channel c) { return c->private_data; }

// cache.c
bool block_is_cached(struct drive *d, u64 number);
struct block *block_find(struct drive *d, u64 number);
struct block *block_add(io_channel c, u64 number, const void *bytes);
void block_make_dirty(struct drive *d, struct block *b);
void block_make_clean(struct drive *d, struct block *b);
void cache_trim(struct drive *d);
void cache_drop(struct drive *d);

// fetch.c
errcode_t bytes_read(int fd, u64 at, u64 len, void *to);
const struct fetch *fetch_find(const struct drive *d, u64 block);
errcode_t fetch_want(io_channel c, u64 first, u32 count, bool keep);
void fetches_spoil(struct drive *d, u64 block);
