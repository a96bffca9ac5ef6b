// Shared writable pages of files, coherent over the cluster (docs/reference/moves.md): a page
// has one writable copy, or any number that are read, found through its home, the node that
// serves the file. The home keeps for each page that another node uses who has which right,
// and serves requests one after the other: it recalls the rights that are in the way, takes
// what the writer wrote into its own frame, and grants; who is granted READs the home's frame.
//
//     node                          home                          writer
//      ASK right ------------------> RECALL, keep ---------------> mappings taken away
//                                          <------ HAVE, its frame
//                                   READ of that frame
//                                   TAKEN -----------------------> frame is free
//          <------ GRANT, home's frame
//      READ of that frame
//      DONE -----------------------> the next request
//
// A pure machine: messages, completions and time in, actions through share_ops. Messages of
// one pair of nodes keep their order and are not lost while both live (RC). Lock: the host's.
#pragma once

#include "base/list.h"
#include "base/owner.h"
#include "base/status.h"
#include "base/types.h"

#define SHARE_HOLD_NS 2000000ull     // a right is kept that long, so that its asker comes to use it
#define SHARE_IDLE_NS 300000000ull   // a copy that nobody maps goes back after that
#define SHARE_BUCKETS 1024u          // a power of two
#define SHARE_NOBODY 0xff

enum share_right { SHARE_NONE, SHARE_READ, SHARE_WRITE };

// A page of a file: (home, index, generation) is the file's object id.
struct share_key { u32 home, index; u64 generation, page; };

enum share_op {
    SHARE_ASK = 1,                   // to the home: I want `right`
    SHARE_GRANT,                     // you have it, or status; frame: READ it first; 0: no need
    SHARE_DONE,                      // to the home: it is in force
    SHARE_RECALL,                    // keep `right` at most
    SHARE_HAVE,                      // to the home: I keep `right`; frame: its bytes, until TAKEN
    SHARE_TAKEN,
    SHARE_OPS,
};

struct share_msg {
    u8 op, right;                    // enum share_op, share_right
    status_t status;                 // GRANT
    u32 serial;                      // RECALL; HAVE that answers it, 0: of its own accord
    struct share_key key;
    u64 frame;                       // physical address at the sender
};

// The home's books of one page.
enum share_phase { SHARE_IDLE, SHARE_RECALLING, SHARE_FETCHING, SHARE_GRANTED };
struct share_dir {
    u64 readers;                     // bit per node
    u8 writer;                       // or SHARE_NOBODY
    u8 phase;                        // of the request under way
    u8 node, want;                   // whose request it is, SHARE_NOBODY: none's
    u8 from, from_keeps;             // FETCHING: who wrote, and what it keeps
    bool lost;                       // the writer died with the only copy
    u32 serial;                      // of the last RECALL
    u64 awaited;                     // who has not answered it
    u32 queued;
    struct { u8 node, want; } queue[NODES_MAX];
};

struct share_page {
    struct list_node link, work;     // a bucket; what share_tick looks at
    struct list_node host;           // the host's: mappings that are still to go
    u64 host_serial;
    struct share_key key;
    paddr_t frame;                   // the copy here, the host's reference; at home the file's
    u8 right;                        // what processes of this node may do with it
    u8 asked;                        // asked for, or granted and being READ
    u8 keep;                         // where recalled
    bool fetching;                   // granted, the READ is out
    bool giving;                     // frame waits for TAKEN
    bool recalled, revoking;
    u8 revoke_to;                    // where revoking
    bool fetch_wanted;               // a READ found no room
    bool dead;                       // its home is gone
    bool gone;                       // the file is; freed when what is under way has ended
    bool waiting;                    // somebody waits for a change
    status_t status;                 // of a refused request, until somebody has taken it
    u32 recall_serial;
    u8 fetch_node;
    paddr_t fetch_from;
    u64 hold_until_ns;
    struct share_dir dir;            // at home
};

// What the host does. No call back into the machine from within, but for what is said.
struct share_ops {
    void (*send)(void *ctx, u32 node, const struct share_msg *m);
    // Takes p's mappings on this node down to `keep`. True: done; false: share_revoked later.
    bool (*revoke)(void *ctx, struct share_page *p, enum share_right keep);
    // READs the frame `from` of `node` into p->frame. S_OK: share_fetched later; E_AGAIN: no
    // room now; else it will never come.
    status_t (*fetch)(void *ctx, struct share_page *p, u32 node, paddr_t from);
    // The file's own frame of a page of this node, with a reference.
    status_t (*home_frame)(void *ctx, const struct share_key *key, paddr_t *frame);
    paddr_t (*frame_new)(void *ctx);             // 0: none left
    void (*frame_put)(void *ctx, paddr_t frame);
    struct share_page *(*page_new)(void *ctx);   // zeroed; NULL: no memory
    void (*page_free)(void *ctx, struct share_page *p);
    bool (*mapped)(void *ctx, struct share_page *p);     // by some process of this node
    void (*changed)(void *ctx, struct share_page *p);    // who waits for p looks again
    void (*lost)(void *ctx, const struct share_page *p, u32 node);
};

#define SHARE_LOOP_MAX 64u
struct share {
    u8 self;
    const struct share_ops *ops;
    void *ctx;
    u64 now_ns;
    struct list_node buckets[SHARE_BUCKETS], work;
    struct share_msg loop[SHARE_LOOP_MAX];       // to this node itself
    u32 loop_head, loop_tail;
    bool running;
    u64 pages;
    struct { u64 asks, grants, recalls, fetches, lost, homeless; } count;
};

void share_init(struct share *s, u8 self, const struct share_ops *ops, void *ctx);
status_t share_want(struct share *s, const struct share_key *key, enum share_right right,
                    u64 now_ns, paddr_t *frame);
status_t share_may(const struct share *s, const struct share_key *key, enum share_right right);
bool share_used(const struct share *s, u32 index, u64 generation, u64 from_page);
void share_receive(struct share *s, u32 from, const struct share_msg *m, u64 now_ns);
void share_revoked(struct share *s, struct share_page *p, u64 now_ns);
void share_fetched(struct share *s, struct share_page *p, status_t status, u64 now_ns);
void share_tick(struct share *s, u64 now_ns);
u64 share_next_ns(const struct share *s);
void share_give(struct share *s, struct share_page *p, u64 now_ns);
void share_trim(struct share *s, u64 now_ns);
void share_peer_down(struct share *s, u32 node, u64 now_ns);
status_t share_clear(struct share *s, u32 index, u64 generation, u64 from_page, u64 now_ns);
void share_forget(struct share *s, u32 index, u64 generation);
