// What the halves of file calls between nodes share: remote_call.c, remote_files.c and
// remote_orphans.c ask, remote_serve.c answers.
#pragma once

#include "kernel/cluster.h"
#include "kernel/remote_files.h"
#include "proto/p9/p9_client.h"
#include "proto/p9/p9_server.h"

_Static_assert(CLUSTER_BULK_CREDITS <= P9_TAGS_MAX && CLUSTER_BULK_CREDITS <= P9_SERVICES_MAX,
               "the machines have a place for each credit");
_Static_assert(CLUSTER_BULK_MSG_MAX >= ENVELOPE_MSG_MAX, "every message fits");

#define USER_FLUSH_NS (100 * NS_PER_MS)           // a user-space server's time to answer a flush

struct remote_call {
    struct list_node link;           // of a process's journal, or an orphan's
    struct p9_request *req;          // while it is out
    struct user_request *user;       // instead, where a server of this node is asked
    struct p9_call call;             // its results
    u64 key, serial;                 // what it asks; the system call it belongs to
    u64 round;                       // run of the system call that last took the reply
    u64 clunk_round;                 // run that last gave back what the call made
    u64 begun_ns, done_ns;           // when it was asked, and when the reply came
    u32 continued;                   // proc.continued when it was asked
    u64 order;                       // of an orphan: when it became one
    bool done, one_sided;
    u64 flush_ns;                    // when a server of this node was asked to leave it; 0: not
    struct proc *p;                  // NULL: an orphan, nobody wants the reply
    u32 pid, tid;                    // who asked
    struct wait_list wait;
    void *bounce;                    // data of a call with a kernel buffer
    u64 bounce_bytes;
    struct cluster_reply reply;      // where a large read is written; at NULL: none
    paddr_t page;                    // of P9_TPAGE: the frame to fill
};

extern const struct p9_data_ops remote_data_ops;
extern struct p9_client remote_client;
extern u32 remote_calls_live;        // in all journals

struct remote_call *remote_call_new(struct proc *p, const struct p9_call *c);
status_t remote_call_take_data(struct remote_call *r, struct p9_call *c);
status_t remote_call_submit(struct remote_call *r);
void remote_call_release(struct remote_call *r);
u64 remote_call_replies_stalled(void);
void remote_call_free(struct remote_call *r);
void remote_call_done(struct remote_call *r);
void remote_call_tell(struct remote_call *r);
bool remote_call_is_user_here(const struct p9_call *c);

void remote_orphans_init(void);
void remote_orphan_submit(struct remote_call *r);
void remote_orphan_adopt(struct remote_call *r);
bool remote_orphans_deferred(void);
void remote_orphans_retry(void);
bool remote_orphans_of_ended(const struct proc *p);
void remote_orphans_of_not_yet(const struct proc *p);

status_t file_call_foreign(struct p9_call *c);

void remote_serve_init(void);
void remote_serve_peer(u32 node, bool up);
void remote_serve_receive(u32 node, const u8 *bytes, u32 len_bytes);
void remote_serve_moved(u64 cookie, status_t status);
void remote_serve_pump(u32 node);
void remote_serve_wake(void);
bool remote_serve_waits(void);
void remote_serve_flush(u64 now_ns);
