// Reads of other nodes' drives from their caches, one-sided; what is not there goes by
// message (kernel/remote_files.c calls all of this). Lock: net_lock.
#pragma once

#include "kernel/cluster.h"
#include "proto/p9/p9.h"

// Private ioctl of a drive's file: struct remote_drive_map. Never a user's: it has no size.
#define DRIVE_IOC_MAP 0x49530001u

struct remote_drive_map {
    u64 index_pa, first_byte, bytes;
    u32 set_count, drive;
};

// SEEN: kept to count how often it is read.
enum remote_drive_kind {
    REMOTE_DRIVE_UNKNOWN, REMOTE_DRIVE_NOT, REMOTE_DRIVE_MAPPED, REMOTE_DRIVE_SEEN,
};

// Is this call one that may go one-sided, and what is known of its object?
bool remote_drive_wanted(const struct p9_call *c);
enum remote_drive_kind remote_drive_find(struct object_id id, struct remote_drive_map *map);
// A call to another node has its results.
void remote_drive_note(const struct p9_call *c);
// map NULL: it is no drive.
void remote_drive_learn(struct object_id id, const struct remote_drive_map *map);
// Reads c->count bytes at c->offset into `reply`; done is called once, later. S_OK in done:
// the bytes are at *at; E_AGAIN: ask by message; E_HOSTUNREACH. E_AGAIN here: the same, now.
struct remote_drive_read {
    u32 node;
    const struct remote_drive_map *map;
    u64 offset, count;
    const struct cluster_reply *reply;
    void (*done)(void *ctx, status_t status, const void *at);
    void *ctx;
};
status_t remote_drive_start(const struct remote_drive_read *r);
// A READ ended. False: the cookie is not of this part.
bool remote_drive_moved(u64 cookie, status_t status);
void remote_drive_peer_down(u32 node);
void remote_drive_init(void);        // boot, after cluster_init
