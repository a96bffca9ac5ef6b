// A node's drive in the simulator: the kernel's own cache (kernel/drive_cache.c) over a drive
// made up here, read by the others one-sided (kernel/remote_drive.c) on the real bulk pair, and
// by messages of ours where that misses, for writes and for syncs: proto/p9 is not part of the
// simulation. One copy a node, as vm.h says.
#pragma once

#include "base/status.h"
#include "base/types.h"
#include "drivers/blkdev.h"

#define VM_DRIVE_BLOCK 512u
#define VM_DRIVE_PAGES 1024u         // four times what the cache holds
#define VM_DRIVE_COUNT_MAX (4u * 4096u)
#define VM_DRIVE_INLINE_MAX 2048u    // of a write to another node
#define VM_DRIVE_SLOTS 8u            // requests in the drive at once

enum vm_drive_kind { VM_DRIVE_READ, VM_DRIVE_WRITE, VM_DRIVE_SYNC };

struct vm_drive_call {
    u8 owner;
    enum vm_drive_kind kind;
    u32 id;                          // for vm_drive_done
    u64 at;
    u32 count;                       // bytes
    const u8 *bytes;                 // of a write; copied
};

struct vm_drive_ops {
    void (*boot)(void);              // after cluster_init
    // Ends by one vm_drive_done, now or later. False: too many are under way.
    bool (*start)(const struct vm_drive_call *c);
    void (*block_done)(u32 slot);    // the drive has done a request
    void (*tick)(void);              // writes behind
};
extern const struct vm_drive_ops vm_drive_ops;

// What a copy calls: tests/sim/drive.c. One-sided: the owner did not see this read.
void vm_drive_done(u8 node, u32 id, status_t status, const u8 *bytes, u32 count, bool one_sided);
void vm_block_start(u8 node, u32 slot);          // block_done comes later
void vm_block_move(u8 node, bool write, u64 block, u8 *bytes, u32 count);
void vm_block_flush(u8 node);
