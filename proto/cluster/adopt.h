// The hand-over of one process between two nodes, as two machines: `adopt_out` of the
// node that gives (an image, until it is released) and `adopt_in` of the node that
// takes (a process that lenders still hold pages of). Pure: a machine is asked what to
// do next until it says WAIT; the caller (node.c) does it and reports. States of the
// owner word: base/owner.h.
#pragma once

#include "base/chain.h"
#include "base/owner.h"

#define ADOPT_LENDERS_MAX 15
#define ADOPT_NO_PLACE ~0u         // `index` of an adopt_in whose process has ended

// An image: a frozen process that a node keeps for whoever runs it now. The epoch is
// that of the owner word RUNNING(taker); it names this giving and no other.
struct image_id {
    u8 node;
    u32 index;
    u32 epoch;
};

struct image_id adopt_image_of_slot(u64 slot);

enum adopt_next {
    ADOPT_WAIT,       // nothing to do until the next event
    ADOPT_POST,       // post ->chain, then adopt_*_posted
    ADOPT_PREPARE,    // in: descriptor is here: make a place, then adopt_in_prepared
    ADOPT_START,      // in: ours for ever: run it
    ADOPT_DROP,       // in: not ours: free the place; ->reason; the machine has ended
    ADOPT_KILL,       // in: a lender died: end the process, then adopt_in_finish
    ADOPT_TELL,       // in: send HOLDER(->send_image, ->send_status) to its node
    ADOPT_RELEASE,    // in: send RELEASE(->send_image) to its node
    ADOPT_REFUSE,     // in: send REFUSE(->send_image, ->reason) to its node
    ADOPT_ENDED,      // in, out: the machine holds nothing any more
    ADOPT_OFFER,      // out: QUEUED: put the slot (->target NODE_ANY: shared; else direct)
    ADOPT_THAW,       // out: RUNNING(self) again, the move failed with ->reason
    ADOPT_GIVEN,      // out: RUNNING(->holder): the process is there now
    ADOPT_LOST,       // out: it died with ->holder: make its exit record
    ADOPT_FREE,       // out: no one reads the image any more, its word is FREE: free it
};

enum lender_state {
    LENDER_TELL, LENDER_TOLD, LENDER_HELD,
    LENDER_RELEASED,              // RELEASE is sent, not acknowledged
    LENDER_FREED, LENDER_DEAD,    // past caring
};

struct adopt_lender {
    struct image_id image;
    enum lender_state state;
    bool drained;                 // no entry here names its frames any more
};

enum adopt_in_state {
    IN_CLAIM, IN_CLAIMED, IN_PREPARE, IN_FETCH, IN_OWN, IN_START, IN_HELD, IN_REFUSE, IN_DROP,
    IN_ENDED, IN_STATES,
};

struct adopt_in {
    enum adopt_in_state state;
    u8 self;
    bool posted;                  // a chain is out
    bool away;                    // frozen to move on, or moved: kept until that is settled
    bool lost;                    // a lender died: the process cannot be whole
    bool unreached;               // a lender went before it knew us:
    bool giver_told;              // the giver hears of that
    u64 slot;                     // as taken; home = giver
    u32 index;                    // of our own place
    u64 own_word;                 // our place's owner word
    status_t reason;
    struct image_id send_image;
    status_t send_status;         // of TELL
    u32 lender_count;             // [0] is the giver
    struct adopt_lender lender[ADOPT_LENDERS_MAX + 1];
    void *desc;
    u32 desc_bytes;
    struct chain chain;
};

// What the host found in the descriptor and made for it.
struct adopt_plan {
    u32 index;                    // our own place; its word is own_word, BUILDING(self)
    u64 own_word;
    u32 read_count;               // frames to fetch before RUNNING: aux and root
    struct { u64 frame; void *buf; u32 len_bytes; } read[CHAIN_MAX - 1];
    u32 lender_count;             // of the descriptor, the giver not among them
    struct image_id lender[ADOPT_LENDERS_MAX];
};

// `claim` true: a directed entry, the word is still QUEUED; false: the queue's take has
// made it ADOPTING(self) and read the descriptor into desc.
void adopt_in_begin(struct adopt_in *in, u8 self, u64 slot, bool claim, void *desc,
                    u32 desc_bytes);
enum adopt_next adopt_in_next(struct adopt_in *in);
void adopt_in_posted(struct adopt_in *in);
void adopt_in_prepared(struct adopt_in *in, const struct adopt_plan *plan);
void adopt_in_refused(struct adopt_in *in, status_t reason);
void adopt_in_ack(struct adopt_in *in, const struct image_id *image, status_t status);
void adopt_in_release_ack(struct adopt_in *in, const struct image_id *image);
void adopt_in_drained(struct adopt_in *in, u8 lender_node);   // no entry names that node
void adopt_in_finish(struct adopt_in *in);                    // exit or exec: all drained
void adopt_in_peer_down(struct adopt_in *in, u8 node);
void adopt_in_away(struct adopt_in *in, bool away);           // frozen to move / thawed
void adopt_in_forget(struct adopt_in *in);                    // its next holder released us
// May it move on? Only when every lender knows us as the holder, or that we released it.
bool adopt_in_settled(const struct adopt_in *in);

enum adopt_out_state {
    OUT_FREEZE, OUT_OFFER, OUT_QUEUED, OUT_TAKE_BACK, OUT_THAW, OUT_GIVEN, OUT_LENT, OUT_LOST,
    OUT_FREEING, OUT_FREE, OUT_ENDED, OUT_STATES,
};

struct adopt_out {
    enum adopt_out_state state;
    u8 self;
    bool posted;
    bool cancel;                  // asked to come back
    bool given_said, released;
    bool rest_is_ours;            // once released, what others lent us is ours to release
    u8 target;                    // NODE_ANY: the shared queue
    u8 holder;                    // LENT: who may release
    u8 refused_by;                // gave ADOPTING back; NODE_ANY: nobody
    u64 gone;                     // bit n: node n was fenced since this began
    u32 index;
    u32 size_class;
    u64 word;                     // the word as we last knew it
    u64 slot;                     // the entry to offer
    u32 image_epoch;              // LENT
    status_t reason;
    struct chain chain;
};

// `word`: the owner word now, BUILDING(self) or RUNNING(self), frozen at the edge.
void adopt_out_begin(struct adopt_out *out, u8 self, u32 index, u64 word, u8 target,
                     u32 size_class);
enum adopt_next adopt_out_next(struct adopt_out *out);
void adopt_out_posted(struct adopt_out *out);
void adopt_out_look(struct adopt_out *out, u64 word_now);     // the word was read
void adopt_out_cancel(struct adopt_out *out, status_t reason);
void adopt_out_refuse(struct adopt_out *out, u8 from, u32 slot_epoch, status_t reason);
// Both say whether the message fits this image; else it changes nothing.
bool adopt_out_holder(struct adopt_out *out, u8 from, u32 image_epoch);
// The holder could not tell all who lent to us for it. False: no such image here.
bool adopt_out_unreached(struct adopt_out *out, u32 image_epoch);
bool adopt_out_release(struct adopt_out *out, u8 from, u32 image_epoch, u64 members);
// `node` was fenced (its queue pairs and keys are destroyed); word_now read after that.
void adopt_out_peer_up(struct adopt_out *out, u8 node);
void adopt_out_peer_down(struct adopt_out *out, u8 node, u64 word_now);

const char *adopt_in_state_name(enum adopt_in_state s);
const char *adopt_out_state_name(enum adopt_out_state s);
