// This node's drives: found and started at boot, cached by pages, shown as files by
// kernel/files/drivefs.c. Lock: files_lock for everything, also inside the drivers.
#pragma once

#include "drivers/blkdev.h"
#include "kernel/gpt.h"
#include "kernel/proc.h"
#include "proto/p9/p9.h"

#define DRIVES_MAX 16u

struct drive_part { char name[20]; u64 first_byte, bytes; u32 number; };

// What the cache keeps of one drive.
struct drive {
    struct blkdev *dev;
    u32 id;                          // of its keys in the index
    u64 bytes;
    struct list_node dirty;          // struct cached, by stamp
    struct list_node writing;
    struct list_node queue;          // requests that the driver had no room for
    u64 written_stamp;               // of the last write
    u64 durable_stamp;               // all writes up to here are on the drive
    u64 sync_stamp;                  // somebody waits for this one; 0: nobody
    u64 flush_stamp;                 // of the flush that is out; 0: none
    u64 dirty_count, write_at_ns;    // when what is dirty is written at the latest
    status_t write_error;            // the last one of a write behind or a flush
    u64 error_count;                 // of them
    u32 part_count;
    struct drive_part part[GPT_PARTS_MAX];
};

struct drive_counters { u64 hits, misses; };

extern struct drive drives[DRIVES_MAX];
extern u32 drive_count;
extern struct drive_counters drive_counters;

void drives_init(void);                          // boot, after interrupts, processes, cluster
void drives_poll_soon(void);                     // at this CPU's edge
void drives_sync_later(void);                     // something is dirty: a timer writes it

// kernel/drive_cache.c. files_lock held.
status_t drive_cache_init(void);                 // boot; E_NOMEM
void drive_cache_add(struct drive *d);
// As P9_TREAD and P9_TWRITE of bytes [at, at + count) of the drive, count in c->count.
// S_RESTART: the caller waits.
status_t drive_read(struct drive *d, u64 at, struct p9_call *c);
status_t drive_write(struct drive *d, u64 at, struct p9_call *c);
// As P9_TFSYNC; *ticket is 0 at first, kept over restarts, good for all drives; *errors_seen is
// what the asker knows of error_count.
status_t drive_sync(struct drive *d, u64 *ticket, u64 *errors_seen);
void drive_pump(struct drive *d, u64 now_ns);    // starts what is due
// The registered index, for other nodes.
struct drive_index { u64 pa; u32 set_count; };
struct drive_index drive_index(void);

// All writes up to the first call of it are on all drives. As drive_sync, but errors are left to
// those who sync a file.
status_t drives_sync_all(u64 *ticket);

// kernel/files/drivefs.c: the files in /nodes/N/dev. Boot.
void drivefs_add(struct drive *d);
