// Kernel options: words name=value of the boot command line; and cluster.conf.
#pragma once

#include "base/owner.h"
#include "base/types.h"

// NODES_MAX and node ids: base/owner.h
#define CLUSTER_KEY_BYTES 32

struct options {
    bool rdma_test;                  // rdma.test=1
    u32 panic_action;                // panic=halt|exit (exit: QEMU's isa-debug-exit)
    char run[16];                    // run=com2: the command comes by the second port
    u32 desc_count;                  // proc.max=N
    u32 mtu;                         // net.mtu=N, 0: as large as the cards allow
};
extern struct options options;

struct cluster_node { bool listed; u8 mac[6]; u32 ipv4; };
struct cluster_conf {
    bool valid;                      // false: this node works alone; klog said why
    struct cluster_node node[NODES_MAX];
    u8 key[CLUSTER_KEY_BYTES];
    bool key_set;
};
extern struct cluster_conf cluster_conf;

// A file that GRUB loaded beside the kernel, by the name on its module line.
const u8 *boot_module(const char *name, u64 *len_bytes);
