// The two machines of a hand-over. Owner: proto/cluster/node.c, one adopt_out for each
// image this node keeps and one adopt_in for each process it took. No locks, no time.
//
// Who dies when (docs/ARCHITECTURE.md; every line is a case of tests/unit/test_adopt.c, of the
// SPIN model handover.pml and of the simulator):
//   taker, word QUEUED           nothing happened; the entry is offered again
//   taker, word ADOPTING(taker)  no instruction ran: fence, then take the word back
//   taker, word RUNNING(taker)   the process died there: exit record, free the image, and
//                                release on its behalf what others lent to us for it
//   giver, before RUNNING completed at the taker   dropped: it died with the giver
//   giver or another lender, pages still there     the process cannot be whole: it ends
//   third node                   nothing
//   a lender cut off from the taker alone          as if it had died; but it may live, and
//                                think that the giver runs the process: the giver, told so,
//                                releases it once it is itself released
// The outcome of a CAS whose pair died is never guessed: the taker drops, because the
// giver reads its own word only after it has fenced the taker.
#include "proto/cluster/adopt.h"

#include "base/string.h"

// The name of the image that a taker of `slot` will hold: its word is then RUNNING.
struct image_id adopt_image_of_slot(u64 slot) {
    u64 running = owner_next(owner_next(slot_owner_word(slot), OWNER_ADOPTING, 0),
                             OWNER_RUNNING, 0);
    return (struct image_id){slot_home(slot), slot_index(slot), owner_epoch(running)};
}

static bool image_equal(const struct image_id *a, const struct image_id *b) {
    return a->node == b->node && a->index == b->index && a->epoch == b->epoch;
}

// Starts taking the process that `slot` names. desc (desc_bytes, registered) is the
// machine's until it has ended or PREPARE was answered.
void adopt_in_begin(struct adopt_in *in, u8 self, u64 slot, bool claim, void *desc,
                    u32 desc_bytes) {
    memset(in, 0, sizeof *in);
    in->self = self;
    in->slot = slot;
    in->desc = desc;
    in->desc_bytes = desc_bytes;
    in->state = claim ? IN_CLAIM : IN_CLAIMED;
    in->lender_count = 1;
    in->lender[0] = (struct adopt_lender){.image = adopt_image_of_slot(slot),
                                          .state = LENDER_HELD};
}

static u64 adopting_word(const struct adopt_in *in) {
    return owner_next(slot_owner_word(in->slot), OWNER_ADOPTING, in->self);
}

static enum adopt_next in_post(struct adopt_in *in) {
    in->posted = true;
    return ADOPT_POST;
}

static enum adopt_next in_claim(struct adopt_in *in) {
    chain_begin(&in->chain, slot_home(in->slot));
    chain_cas(&in->chain, REGION_OWNER, slot_index(in->slot), slot_owner_word(in->slot),
              adopting_word(in));
    chain_read(&in->chain, REGION_DESC, slot_index(in->slot), in->desc, in->desc_bytes);
    return in_post(in);
}

static bool lender_settled(const struct adopt_lender *l) {
    return l->state == LENDER_HELD || l->state >= LENDER_FREED;
}

// All but the giver are told and have acknowledged, and so has who was released (or is past
// caring). A RELEASE on its way would be forgotten with us if we died after the process had
// moved on: its lender would then count the process among our dead.
bool adopt_in_settled(const struct adopt_in *in) {
    if (in->state == IN_ENDED) return true;
    if (in->state != IN_HELD) return false;
    for (u32 i = 0; i < in->lender_count; i++)
        if (!lender_settled(&in->lender[i])) return false;
    return true;
}

// Every other lender knows us, so the giver may go.
static bool others_know(const struct adopt_in *in) {
    for (u32 i = 1; i < in->lender_count; i++)
        if (in->lender[i].state < LENDER_HELD) return false;
    return true;
}

static enum adopt_next in_held(struct adopt_in *in) {
    u32 left = 0;
    if (in->lost && !in->away) {
        in->lost = false;
        return ADOPT_KILL;
    }
    for (u32 i = 0; i < in->lender_count; i++) {
        struct adopt_lender *l = &in->lender[i];
        if (l->state == LENDER_TELL) {
            l->state = LENDER_TOLD;
            in->send_image = l->image;
            in->send_status = i == 0 && in->unreached ? E_HOSTUNREACH : S_OK;
            return ADOPT_TELL;
        }
        // The giver is the last to go: until the others know us, it alone could free
        // what they lent if we died. While it is away its descriptor names them all, and
        // the next holder will tell them: they are not released under its feet.
        bool may = l->state == LENDER_HELD && l->drained && !in->away &&
                   (i != 0 || others_know(in));
        if (may) {
            l->state = LENDER_RELEASED;
            in->send_image = l->image;
            return ADOPT_RELEASE;
        }
        left += l->state < LENDER_FREED;
    }
    if (left != 0 || in->lost) return ADOPT_WAIT;   // lost while away: said at the thaw
    in->state = IN_ENDED;
    return ADOPT_ENDED;
}

// What to do now. Call again after doing it, until WAIT, DROP or ENDED.
enum adopt_next adopt_in_next(struct adopt_in *in) {
    if (in->posted) return ADOPT_WAIT;
    switch (in->state) {
    case IN_CLAIM: return in_claim(in);
    case IN_CLAIMED:
        in->state = IN_PREPARE;
        return ADOPT_PREPARE;
    case IN_FETCH:
    case IN_OWN: return in_post(in);
    case IN_START:
        in->state = IN_HELD;
        return ADOPT_START;
    case IN_HELD: return in_held(in);
    case IN_REFUSE:
        in->state = IN_DROP;
        in->send_image = in->lender[0].image;
        return ADOPT_REFUSE;
    case IN_DROP:
        in->state = IN_ENDED;
        return ADOPT_DROP;
    case IN_PREPARE:
    case IN_ENDED:
    case IN_STATES: break;
    }
    return ADOPT_WAIT;
}

static void in_drop(struct adopt_in *in, status_t reason) {
    in->reason = reason;
    in->state = IN_DROP;
}

static void in_own(struct adopt_in *in) {
    u64 next = owner_next(in->own_word, OWNER_RUNNING, in->self);
    chain_begin(&in->chain, in->self);
    chain_cas(&in->chain, REGION_OWNER, in->index, in->own_word, next);
    in->own_word = next;
    in->state = IN_OWN;
}

// The chain is back, its results and status filled in.
void adopt_in_posted(struct adopt_in *in) {
    in->posted = false;
    bool dead = in->chain.status != S_OK;
    switch (in->state) {
    case IN_CLAIM:
        if (dead)
            in_drop(in, E_HOSTUNREACH);
        else if (!chain_cas_won(&in->chain, 0))
            in_drop(in, E_ALREADY);
        else
            in->state = IN_CLAIMED;
        return;
    case IN_FETCH:
        // Without the completion of the last CAS no instruction may run.
        if (dead)
            in_drop(in, E_HOSTUNREACH);
        else if (!chain_cas_won(&in->chain, in->chain.count - 1u))
            in_drop(in, E_ALREADY);
        else
            in_own(in);
        return;
    case IN_OWN:
        in->state = IN_START;
        return;
    default: return;
    }
}

// PREPARE is answered: a place of our own is made; `plan` says which frames to fetch
// together with the last CAS. Too many lenders: refused with E_BUSY.
void adopt_in_prepared(struct adopt_in *in, const struct adopt_plan *plan) {
    if (in->state != IN_PREPARE) return;
    if (plan->lender_count > ADOPT_LENDERS_MAX || plan->read_count > CHAIN_MAX - 1) {
        adopt_in_refused(in, E_BUSY);
        return;
    }
    in->index = plan->index;
    in->own_word = plan->own_word;
    for (u32 i = 0; i < plan->lender_count; i++)
        in->lender[in->lender_count++] =
            (struct adopt_lender){.image = plan->lender[i], .state = LENDER_TELL};
    chain_begin(&in->chain, slot_home(in->slot));
    for (u32 i = 0; i < plan->read_count; i++)
        chain_read(&in->chain, REGION_FRAME, plan->read[i].frame, plan->read[i].buf,
                   plan->read[i].len_bytes);
    u64 adopting = adopting_word(in);
    chain_cas(&in->chain, REGION_OWNER, slot_index(in->slot), adopting,
              owner_next(adopting, OWNER_RUNNING, in->self));
    in->state = IN_FETCH;
}

// PREPARE failed (no memory, CPU features): the giver is told and takes it back. Nothing
// of ours is under way, so it needs no fence.
void adopt_in_refused(struct adopt_in *in, status_t reason) {
    if (in->state != IN_PREPARE) return;
    in->reason = reason;
    in->state = IN_REFUSE;
}

// HOLDER_ACK from the node that keeps `image`. A bad status: it keeps no such image (a
// new incarnation, or it freed what it should not have): pages may be missing.
void adopt_in_ack(struct adopt_in *in, const struct image_id *image, status_t status) {
    for (u32 i = 0; i < in->lender_count; i++) {
        struct adopt_lender *l = &in->lender[i];
        if (l->state != LENDER_TOLD || !image_equal(&l->image, image)) continue;
        l->state = status == S_OK ? LENDER_HELD : LENDER_DEAD;
        in->lost |= status != S_OK && !l->drained;
    }
}

// RELEASE_ACK: `image` is freed, or was before.
void adopt_in_release_ack(struct adopt_in *in, const struct image_id *image) {
    for (u32 i = 0; i < in->lender_count; i++) {
        struct adopt_lender *l = &in->lender[i];
        if (l->state == LENDER_RELEASED && image_equal(&l->image, image)) l->state = LENDER_FREED;
    }
}

// The host found that no entry of the process names a frame of lender_node, and that
// all its READs from there have completed.
void adopt_in_drained(struct adopt_in *in, u8 lender_node) {
    for (u32 i = 0; i < in->lender_count; i++)
        if (in->lender[i].image.node == lender_node) in->lender[i].drained = true;
}

// The process has exited, exec'ed or was lost: it needs no lender any more.
void adopt_in_finish(struct adopt_in *in) {
    for (u32 i = 0; i < in->lender_count; i++) in->lender[i].drained = true;
    in->away = in->lost = false;
    in->index = ADOPT_NO_PLACE;   // the place may be used again before the last ack
}

// Frozen to move on (true), or back because the move failed (false).
void adopt_in_away(struct adopt_in *in, bool away) { in->away = away; }

// The next holder has released our image: it has told all lenders of itself. (Where it could
// not, it has said so, and it is adopt_in_finish that is called.)
void adopt_in_forget(struct adopt_in *in) { in->state = IN_ENDED; }

// `node` was fenced. Before RUNNING completed, an adoption from it is dropped. Where it
// was a lender that had not been released, the process will be ended (KILL).
void adopt_in_peer_down(struct adopt_in *in, u8 node) {
    if (in->state == IN_ENDED) return;
    if (slot_home(in->slot) == node && in->state < IN_OWN && !in->posted)
        in_drop(in, E_HOSTUNREACH);
    for (u32 i = 0; i < in->lender_count; i++) {
        struct adopt_lender *l = &in->lender[i];
        if (l->image.node != node || l->state >= LENDER_FREED) continue;
        in->lost |= l->state != LENDER_RELEASED && !l->drained;
        in->unreached |= l->state < LENDER_HELD && i != 0;
        l->state = LENDER_DEAD;
    }
    if (in->unreached && !in->giver_told && in->lender[0].state == LENDER_HELD) {
        in->giver_told = true;
        in->lender[0].state = LENDER_TELL;
    }
}

// Starts giving: freezes the word to QUEUED and offers it. target NODE_ANY: through the
// shared queue; else to that node alone. size_class: log2 of resident pages.
void adopt_out_begin(struct adopt_out *out, u8 self, u32 index, u64 word, u8 target,
                     u32 size_class) {
    memset(out, 0, sizeof *out);
    out->self = self;
    out->index = index;
    out->word = word;
    out->target = target;
    out->size_class = MIN(size_class, (u32)FIELD_MAX(SLOT_SIZE));
    out->refused_by = out->holder = NODE_ANY;
    out->state = OUT_FREEZE;
}

// Posts the CAS of our own word from what it is to {state, self}.
static enum adopt_next out_cas(struct adopt_out *out, enum owner_state state) {
    chain_begin(&out->chain, out->self);
    chain_cas(&out->chain, REGION_OWNER, out->index, out->word,
              owner_next(out->word, state, out->self));
    out->posted = true;
    return ADOPT_POST;
}

static bool taken_back_to_queue(const struct adopt_out *out) {
    return out->target == NODE_ANY && !out->cancel;
}

static bool is_gone(const struct adopt_out *out, u8 node) {
    return node < NODES_MAX && (out->gone & BIT(node));
}

static bool may_take_back(const struct adopt_out *out) {
    enum owner_state s = owner_state(out->word);
    u8 n = owner_node(out->word);
    if (s == OWNER_QUEUED) return out->cancel;
    return s == OWNER_ADOPTING && (n == out->refused_by || is_gone(out, n));
}

static void out_becomes_lent(struct adopt_out *out) {
    out->holder = owner_node(out->word);
    out->image_epoch = owner_epoch(out->word);
    out->state = OUT_LENT;
}

static enum adopt_next out_lent(struct adopt_out *out) {
    if (!out->given_said) {
        out->given_said = true;
        return ADOPT_GIVEN;
    }
    if (is_gone(out, out->holder) && !out->released) {
        out->released = true;
        return ADOPT_LOST;
    }
    if (!out->released) return ADOPT_WAIT;
    out->state = OUT_FREEING;
    return out_cas(out, OWNER_FREE);
}

static enum adopt_next out_queued(struct adopt_out *out) {
    if (may_take_back(out)) {
        out->state = OUT_TAKE_BACK;
        return out_cas(out, taken_back_to_queue(out) ? OWNER_QUEUED : OWNER_RUNNING);
    }
    if (owner_state(out->word) == OWNER_FREE || owner_state(out->word) == OWNER_EXITED) {
        out->state = OUT_ENDED;   // it ran here and ended before we looked
        return ADOPT_ENDED;
    }
    if (owner_state(out->word) != OWNER_RUNNING) return ADOPT_WAIT;
    if (owner_node(out->word) == out->self) {   // taken out of the queue here at home
        out->state = OUT_ENDED;
        return ADOPT_ENDED;
    }
    out_becomes_lent(out);
    return out_lent(out);
}

// What to do now. Call again after doing it, until WAIT or ENDED.
enum adopt_next adopt_out_next(struct adopt_out *out) {
    if (out->posted) return ADOPT_WAIT;
    switch (out->state) {
    case OUT_FREEZE: return out_cas(out, OWNER_QUEUED);
    case OUT_OFFER:
        out->state = OUT_QUEUED;
        return ADOPT_OFFER;
    case OUT_QUEUED: return out_queued(out);
    case OUT_THAW:
        out->state = OUT_ENDED;
        return ADOPT_THAW;
    case OUT_LENT: return out_lent(out);
    case OUT_FREE:
        out->state = OUT_ENDED;
        return ADOPT_FREE;
    default: return ADOPT_WAIT;
    }
}

static void out_offer(struct adopt_out *out) {
    out->refused_by = NODE_ANY;
    out->slot = slot_word(out->self, out->index, owner_epoch(out->word), out->target,
                          out->size_class);
    out->state = OUT_OFFER;
}

// The CAS of our own word is back. A lost one is a taker that was faster: the word it
// found is the truth.
void adopt_out_posted(struct adopt_out *out) {
    out->posted = false;
    bool won = chain_cas_won(&out->chain, 0);
    if (out->state == OUT_LENT) return;   // known to be lost before it came back
    out->word = won ? out->chain.wr[0].operand : out->chain.wr[0].result;
    switch (out->state) {
    case OUT_FREEZE:
        if (won)
            out_offer(out);
        else
            out->state = OUT_ENDED;
        return;
    case OUT_TAKE_BACK:
        if (!won)
            out->state = OUT_QUEUED;
        else if (owner_state(out->word) == OWNER_QUEUED)
            out_offer(out);
        else
            out->state = OUT_THAW;
        return;
    case OUT_FREEING:
        out->state = OUT_FREE;
        return;
    default: return;
    }
}

// The owner word was read (tick, or a message said that it changed).
void adopt_out_look(struct adopt_out *out, u64 word_now) {
    bool lent = owner_state(word_now) == OWNER_RUNNING && owner_node(word_now) != out->self;
    if (!out->posted && out->state == OUT_QUEUED) {
        out->word = word_now;
    } else if (out->posted && out->state == OUT_TAKE_BACK && lent) {
        // Our CAS is under way and has lost; messages of the holder count from now on.
        out->word = word_now;
        out_becomes_lent(out);
    }
}

// Asks to have it back: works while QUEUED; once ADOPTING, only if that node refuses or
// is fenced. The thaw then reports `reason`.
void adopt_out_cancel(struct adopt_out *out, status_t reason) {
    out->cancel = true;
    out->reason = reason;
}

// REFUSE from a taker that won the word for the entry of slot_epoch and gave it up.
void adopt_out_refuse(struct adopt_out *out, u8 from, u32 slot_epoch, status_t reason) {
    if (out->state != OUT_QUEUED && out->state != OUT_TAKE_BACK) return;
    if (slot_epoch != (out->slot & SLOT_EPOCH)) return;
    out->refused_by = from;
    out->reason = reason;
}

// HOLDER: `from` runs it now. False: no such image here (freed already).
bool adopt_out_holder(struct adopt_out *out, u8 from, u32 image_epoch) {
    if (out->state != OUT_LENT || out->released || image_epoch != out->image_epoch) return false;
    out->holder = from;
    return true;
}

bool adopt_out_unreached(struct adopt_out *out, u32 image_epoch) {
    if (out->state != OUT_LENT || out->released || image_epoch != out->image_epoch) return false;
    out->rest_is_ours = true;
    return true;
}

// RELEASE: accepted from the holder, and, where the holder is no member any more, from
// whoever had it before.
bool adopt_out_release(struct adopt_out *out, u8 from, u32 image_epoch, u64 members) {
    if (out->state != OUT_LENT || out->released || image_epoch != out->image_epoch) return false;
    if (from != out->holder && (members & BIT(out->holder))) return false;
    out->released = true;
    return true;
}

// After fencing `node`. word_now was read after the fence, so it cannot move any more if
// it names that node.
void adopt_out_peer_down(struct adopt_out *out, u8 node, u64 word_now) {
    adopt_out_look(out, word_now);
    out->gone |= BIT(node);
    if (out->reason == S_OK) out->reason = E_HOSTUNREACH;
    if (out->target == node) out->cancel = true;
}

// A new incarnation of `node` has joined; what named the old one has been settled.
void adopt_out_peer_up(struct adopt_out *out, u8 node) { out->gone &= ~BIT(node); }

// For logs.
const char *adopt_in_state_name(enum adopt_in_state s) {
    static const char *const name[IN_STATES] = {
        "CLAIM", "CLAIMED", "PREPARE", "FETCH", "OWN", "START", "HELD", "REFUSE", "DROP", "ENDED",
    };
    return s < IN_STATES ? name[s] : "?";
}

// For logs.
const char *adopt_out_state_name(enum adopt_out_state s) {
    static const char *const name[OUT_STATES] = {
        "FREEZE", "OFFER", "QUEUED", "TAKE_BACK", "THAW", "GIVEN", "LENT", "LOST", "FREEING",
        "FREE", "ENDED",
    };
    return s < OUT_STATES ? name[s] : "?";
}
