// Where a process is. Owner: kernel/whereabouts.c, which collects what is seen under
// proc_lock. A process is in this order, for each move of it: here; frozen here, its word
// QUEUED, ADOPTING, then RUNNING of the taker (who has a place that is being filled, and
// does not know yet that it won); running there, this node's hint set. Each window of that
// has a case in tests/unit/test_where.c.
#include "proto/cluster/where.h"

// The node that a frozen image goes to, as far as its word says.
static u8 image_node(const struct where_seen *seen) {
    const enum owner_state state = owner_state(seen->word);
    return state == OWNER_RUNNING || state == OWNER_ADOPTING ? owner_node(seen->word)
                                                             : seen->self;
}

// What follows from `seen`. An image stays TRANSIT until this node has done what a process
// that left needs (its children named, the hint set), though its word may say more: who
// asks there by then would be answered "not here yet", and who waits for it here is woken.
struct where_found where_decide(const struct where_seen *seen) {
    if (seen->lives) return (struct where_found){WHERE_HERE, seen->self};
    if (seen->arriving) return (struct where_found){WHERE_TRANSIT, seen->self};
    if (seen->frozen) return (struct where_found){WHERE_TRANSIT, image_node(seen)};
    // The hint of a node that a process left names a later one, and each takes only newer
    // ones; so one that names this very node is of a process that ended here.
    if (seen->hint == seen->self) return (struct where_found){WHERE_GONE, WHERE_NONE};
    if (seen->hint != WHERE_NONE) return (struct where_found){WHERE_THERE, seen->hint};
    if (seen->birth == seen->self || seen->birth == WHERE_NONE)
        return (struct where_found){WHERE_GONE, WHERE_NONE};
    return (struct where_found){WHERE_GUESS, seen->birth};
}

// Whether what is told of stay `told` may replace what is known of stay `known`.
bool where_newer(u64 told, u64 known) { return told >= known; }

// `seen` and `asked` are of one moment. A place that is being filled may come to nothing; an
// image is here for sure while nobody has taken it and the dead node, fenced, no more can.
struct where_told where_answer(const struct where_seen *seen, const struct where_asked *asked) {
    const struct where_found found = where_decide(seen);
    const struct where_told here = {WHERE_IS, seen->self, asked->own_stay};
    const bool settled = !asked->gone_up && !asked->end_told;
    if (found.kind == WHERE_HERE) return here;
    if (found.kind == WHERE_TRANSIT && !seen->arriving) {
        const bool taken = owner_state(seen->word) == OWNER_RUNNING && found.node != seen->self;
        if (taken) return (struct where_told){WHERE_WENT, found.node, asked->own_stay + 1};
        if (settled && found.node == seen->self) return here;
    }
    if (found.kind == WHERE_THERE && asked->own_stay > asked->stay)
        return (struct where_told){WHERE_WENT, found.node, asked->own_stay};
    const bool later = !settled || found.kind == WHERE_TRANSIT;
    return (struct where_told){later ? WHERE_LATER : WHERE_NOT_HERE, WHERE_NONE, 0};
}

// Asks all again, or, with nobody left to ask, goes on to what follows from that.
static enum where_verdict search_go_on(struct where_search *s, u64 members) {
    while (s->left == 0) {   // ends: each round clears a bit of gone
        if (s->all) s->gone &= s->gone - 1;
        if (s->gone == 0) {
            s->on = false;
            return WHERE_LOST;
        }
        s->all = true;
        s->left = members;
        s->round++;
        s->tries = 0;
        s->next_ns = 0;
    }
    return WHERE_OPEN;
}

// What was answered before the death does not count: the process may have gone there since.
enum where_verdict where_search_begin(struct where_search *s, u8 node, u8 hint, u64 members) {
    const u64 who = hint < NODES_MAX ? BIT(hint) & members : 0;
    s->on = true;
    s->gone |= BIT(node);
    s->all = who == 0;
    s->left = who != 0 ? who : members;
    s->round++;
    s->tries = 0;
    s->next_ns = 0;
    return search_go_on(s, members);
}

u8 where_search_gone(const struct where_search *s) { return (u8)__builtin_ctzll(s->gone); }

u64 where_search_due(struct where_search *s, u64 members, u64 now_ns) {
    if (!s->on || now_ns < s->next_ns) return 0;
    if (++s->tries > WHERE_TRIES_MAX) {
        s->left = 0;
        if (search_go_on(s, members) == WHERE_LOST) return 0;
    }
    s->next_ns = now_ns + WHERE_ASK_NS;
    return s->left;
}

// Only who has it itself ends the search: what others know of may be over. Where it went is
// asked anew, though that node may have said "not here" before it came there; so a process
// that moves on while it is looked for is not missed, as who it leaves knows where it went.
enum where_verdict where_search_told(struct where_search *s, u32 round, u8 from,
                                     const struct where_told *told, u64 members) {
    if (!s->on || round != s->round || from >= NODES_MAX) return WHERE_OPEN;
    const bool went = told->reply == WHERE_WENT && told->node < NODES_MAX &&
                      (members & BIT(told->node)) && told->stay > s->stay;
    if (told->reply == WHERE_IS) {
        *s = (struct where_search){.round = s->round};
        return WHERE_FOUND;
    }
    if (told->reply == WHERE_NOT_HERE || went) s->left &= ~BIT(from);
    if (went) {
        s->left |= BIT(told->node);
        s->stay = told->stay;
        s->next_ns = 0;
    }
    return search_go_on(s, members);
}
