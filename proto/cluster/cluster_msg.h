// The messages between members, SENDs on the control queue pair: layout and codec.
// All integers big-endian. Header: {u8 type, u8 version, u16 length of the whole,
// u32 tag}; then the body of that type. Decoding takes any bytes.
#pragma once

#include "base/status.h"
#include "base/types.h"
#include "proto/cluster/adopt.h"
#include "proto/cluster/clock.h"
#include "proto/cluster/cpu_caps.h"
#include "proto/cluster/roster.h"
#include "proto/cluster/share.h"

#define CLUSTER_MSG_VERSION 1
#define CLUSTER_MSG_HEAD 8
#define CLUSTER_MSG_MAX 1664      // bytes of any message; larger data moves one-sided
#define CALL_SEGMENTS_MAX 8       // (address, key, length) of one file call
#define MSG_REFS_MAX 100u         // references in one message
#define STATUS_WORDS 200      // figures of /nodes/N/status; all nodes run one image
_Static_assert(CLUSTER_MSG_HEAD + 4 + 4 + 8 * STATUS_WORDS <= CLUSTER_MSG_MAX,
               "status, count and all figures in one message");

enum cluster_msg_type {
    MSG_KEYS = 1,       // first message of each side
    MSG_QP_OFFER,       // a further queue pair: purpose, QPN, PSN
    MSG_QP_ANSWER,
    MSG_HOLDER,         // image: I run it now; status E_HOSTUNREACH: and some lender cannot know
    MSG_HOLDER_ACK,     // image, status
    MSG_RELEASE,        // image: free it
    MSG_RELEASE_ACK,    // image: it is freed
    MSG_REFUSE,         // image, status: I give ADOPTING back
    MSG_ADOPTED,        // image: a hint to look at the word
    MSG_LOCATION,       // process.pid runs on process.node now, its `stay`th: a hint
    MSG_STATUS_ASK,
    MSG_STATUS,
    MSG_CALL,           // file call: segments, then an unmodified 9P message
    MSG_REPLY,
    // About one process (body: process). Those with hops are passed on towards its node.
    MSG_MOVE,           // asks its node to move pid to `node`
    MSG_MOVED,          // what came of that: pid, node asked for, status, stay; E_AGAIN: ask
                        // again, it is on its way
    MSG_SIGNAL,         // raise `signal` in pid, or, 0, in all of the group pgid there
    MSG_EXIT,           // pid ended with wait_status; for its parent ppid
    MSG_EXIT_ACK,       // pid
    MSG_CHILD,          // to the new node of ppid: it has the child pid (wait_status: ended),
                        // which is at `node` in that incarnation, or was there last
    MSG_ROSTER,         // nodes that have no line in cluster.conf: all that the sender knows
    MSG_PARENT,         // pid's parent, of session sid, ended: it is ppid now
    MSG_REFS,           // references on the receiver's objects went from a node to the sender
    MSG_PROFILE,        // stat: what a program used; see kernel/placement_exec.c
    MSG_CLOCK_ASK,      // clock: asked_ns by the sender's clock, which clock it has
    MSG_CLOCK,          // clock: the answer
    MSG_WHERE,          // is pid there, or known since its `stay`th? `node`, in that
                        // incarnation, had it and died (where.h); tag: the round of asking
    MSG_WHERE_TOLD,     // pid, tag of the question, status S_OK: `node`, its `stay`th; E_SRCH:
                        // not here; E_AGAIN: ask again
    MSG_STOP,           // its child `ppid` stopped or goes on (wait_status), for its parent pid
    MSG_TWIN,           // the copy of a process's pages that went ahead, `stay`, is all here
    MSG_FUTEX,          // futex: wakes who waits for that word of shared memory there
    MSG_SHARE,          // share: about one page of a shared mapping (share.h)
    MSG_SESSION,        // session sid has lost its terminal, the object (node, how, stay): pid, or,
                        // 0, all of it there; signal: its leader is to know, and that pgid was
                        // in the foreground; ended: its leader ended, for that terminal's node
    MSG_TYPES,
};

enum qp_purpose { QP_CONTROL, QP_PAGING, QP_BULK, QP_BENCH, QP_PURPOSES };

struct msg_key {
    u64 address;        // of the first byte; frames: 0, addresses are physical
    u64 length;         // bytes
    u32 rkey;
};

struct cluster_msg {
    enum cluster_msg_type type;
    u32 tag;
    struct image_id image;      // HOLDER .. ADOPTED
    status_t status;            // HOLDER, HOLDER_ACK, REFUSE, STATUS, REPLY
    union {
        struct {
            struct msg_key frames;    // READ
            // READ and atomics: words and owner words; its end is the benchmarks' memory.
            struct msg_key shared;
            // WRITE: entries, reply buffers; its end is the same memory.
            struct msg_key inbox;
            u64 desc_base, owner_base, shard, heartbeat, inbox_at, reply_at;
            u32 desc_stride, owner_stride, desc_count;
            struct cpu_caps cpu;      // of the sender
        } keys;
        struct {
            u8 purpose;               // enum qp_purpose
            u32 qpn, start_psn;
        } qp;
        struct msg_process {
            u32 pid, ppid, pgid, sid;
            u32 node;
            u32 hops;                 // how often it was passed on
            u32 asker;                // MOVE: the node that is told what became of it;
                                      // SIGNAL to a group: the user who sends it
            u32 signal;
            u32 how;                  // MOVE: when its pages follow
            u32 ended;                // CHILD: wait_status is of its end;
            i32 wait_status;          // else of a stop not reported yet, or 0
            u64 cpu_ns;
            u64 stay;                 // where.h
            u32 incarnation;          // of `node`, where it says which life is meant
        } process;
        struct { u32 count; u64 word[STATUS_WORDS]; } stat;
        struct clock_answer clock;
        struct share_msg share;
        struct msg_futex { u64 key[2]; u32 count, bits; } futex;
        struct {
            u32 count;
            struct msg_roster_row { u8 id; struct roster_row row; } entry[NODES_MAX];
        } roster;
        struct {
            u8 from;
            u32 incarnation;          // of `from`, as the sender knows it
            u32 count;
            struct msg_ref { u32 index; u64 generation; } entry[MSG_REFS_MAX];
        } refs;
        struct {
            u32 segment_count;
            struct msg_key segment[CALL_SEGMENTS_MAX];
            const u8 *payload;        // points into the decoded bytes
            u32 payload_len;
        } call;
    };
};

// Bytes written, or 0 where it does not fit.
u32 cluster_msg_encode(const struct cluster_msg *m, u8 *to, u32 max_bytes);
// E_PROTO: too short, too long, of another version, of no type. *m is then undefined.
status_t cluster_msg_decode(struct cluster_msg *m, const u8 *from, u32 len_bytes);
