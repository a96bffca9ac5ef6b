// Kernel options: words name=value of the boot command line; and cluster.conf.
#pragma once

#include "base/owner.h"
#include "base/types.h"
#include "kernel/steps.h"
#include "proto/cluster/roster.h"

// NODES_MAX and node ids: base/owner.h
#define CLUSTER_KEY_BYTES 32

struct options {
    bool rdma_test;                  // rdma.test=1
    u32 panic_action;                // panic=halt|exit (exit: QEMU's isa-debug-exit)
    char run[16];                    // run=com2: the command comes by the second port
    u32 desc_count;                  // proc.max=N
    u32 mtu;                         // net.mtu=N, 0: as large as the cards allow
    bool bench_count;                // bench.count=1: kernel/perf.h counts
    enum step hold_at;               // hold.at=STEP: tests/system/kill_steps.py
    char hold_name[16];              // hold.name=NAME: for processes of that name; "": any
    u32 dead_after;                  // dead.after=N: a peer's silence in round trips, and
    u32 dead_floor_s;                // dead.floor=SECONDS: at least; then it is fenced
    u32 ip;                          // ip=A.B.C.D of a node without a line; 0: see claim.h
    u32 join_wait_s;                 // join.wait=SECONDS: how long such a node asks for an id
    bool place_off;                  // place=off: processes move when told to alone
    bool words_card;                 // words=card: local atomics on shared words go by the card
    bool x2apic;                     // apic=x2apic: switched on where the CPU has it
    u32 storm;                       // storm=SEED: kernel/storm.h; 0: none
    u8 move_how;                     // move.how=post|stop|pre (enum move_how)
    u32 storm_moves;                 // storm.moves=N: of each process; 0: for as long as it lives
    char selftest[16];               // selftest=NAME: kernel/selftest.c
};
enum panic_action { PANIC_HALT = 0, PANIC_EXIT = 1 };
#define PROC_COUNT_MIN 16u
#define PROC_COUNT_MAX 65536u
extern struct options options;

struct cluster_conf {
    bool valid;                      // false: this node works alone; klog said why
    // Rows without a line are added by kernel/ask.c and kernel/cluster_roster.c (net_lock).
    struct roster_row node[NODES_MAX];
    u8 key[CLUSTER_KEY_BYTES];
    bool key_set;
};
extern struct cluster_conf cluster_conf;

// Both parsers are pure. Each complaint is handed to `report` as one line of text.
typedef void (*options_report)(void *ctx, const char *text);
void options_defaults(struct options *o);
// Reads the words name=value of the boot command line into *o, which has defaults.
// Returns how many were unknown or malformed (each reported, and left at its default).
u32 options_parse(const char *words, struct options *o, options_report report, void *ctx);
// Reads cluster.conf: lines `node ID MAC IPV4`, `key HEX64`, comments from #.
// Returns the number of errors (each reported as "cluster.conf:LINE: ..."); where there
// is one, conf->valid is false.
u32 cluster_conf_parse(const u8 *text, u64 len_bytes, struct cluster_conf *conf,
                       options_report report, void *ctx);

// A file that GRUB loaded beside the kernel, by the name on its module line.
const u8 *boot_module(const char *name, u64 *len_bytes);
