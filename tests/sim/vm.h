// One node of the simulator over real RoCE: the kernel's own cluster code (kernel/cluster*.c,
// mm/frame.c) with the little of a kernel around it that vm.c has. That code keeps its
// state in globals, so the build makes one copy of it a node, each with its own globals
// and its own `vm_ops` (build.mk); a boot puts a copy's globals back to what they were.
#pragma once

#include "drivers/netdev.h"
#include "kernel/cluster.h"
#include "kernel/options.h"

struct vm_boot {
    u8 self;
    unsigned long map_base;          // host address of frame 0
    u64 memory_bytes;
    u32 desc_count;
    const struct cluster_conf *conf; // as this node's cluster.conf says
    struct netdev *card;
    const struct word_ops *words;
    bool words_card;                 // the kernel's option words=card
    const struct cluster_host *host;
    bool drive;                      // it has one
    void (*changed)(void *ctx, u32 node, bool up);
    void *changed_ctx;
};

#define VM_KEYS 3u

struct vm_drive_ops;
struct vm_ops {
    void (*boot)(const struct vm_boot *b);
    void (*rx)(const u8 *frame, u32 len_bytes);
    bool (*poll)(void);              // one round of netpoll; true: another one at once
    u64 (*deadline_ns)(void);        // when to poll again without a frame
    struct cluster_node *(*node)(void);
    void *(*words)(void);            // struct cluster_words, one frame
    u8 *(*descs)(void);
    status_t (*read_frame)(const struct cluster_frame_read *r);
    u64 (*frame_alloc)(void);        // FRAME_USER; its address, 0: none
    void (*frame_free)(u64 pa);
    u64 (*frames_lent)(void);        // frames that members may READ, descriptors aside
    u64 (*refused)(void);            // joins refused by this node
    u32 (*incarnation)(u32 node);
    u64 (*bad_qpn)(void);            // frames received for a pair that is not here
    void (*keys)(u8 peer, u32 to[VM_KEYS]);      // that the peer holds now
    bool (*key_valid)(u8 peer, u32 key);         // for a pair of that peer
    void (*idle)(void);              // a CPU has nothing to run
    const struct vm_drive_ops *drive;
};

// What a copy calls: tests/sim/roce.c.
u64 vm_now_ns(void);
void vm_random(void *to, u64 len_bytes);
void vm_log(u8 node, const char *text);
void *vm_alloc(u8 node, u64 len_bytes);        // zeroed, 64-byte aligned
void vm_free(u8 node, void *ptr);
void vm_reborn(u8 node);                       // it is about to join as new
