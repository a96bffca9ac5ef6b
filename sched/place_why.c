// The text of `why PID`: the figures behind the last decision of placement, for people.
// Called by the kernel's /proc files and by tests, on a copy of the record: no lock.
#include "sched/place.h"

struct text {
    char *to;
    u32 size, len;
};

static void put(struct text *t, const char *s) {
    for (; *s; s++)
        if (t->len + 1 < t->size) t->to[t->len++] = *s;
}

static void put_u64(struct text *t, u64 v) {
    char digits[21];
    u32 i = sizeof digits - 1;
    digits[i] = 0;
    do {
        digits[--i] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    put(t, digits + i);
}

static void put_node(struct text *t, u8 node) {
    if (node == PLACE_NONE) put(t, "-");
    else put_u64(t, node);
}

static void put_figure(struct text *t, const char *name, u64 v) {
    put(t, name);
    put_u64(t, v);
}

static const char *const verdicts[] = {
    [PLACE_STAY] = "stay", [PLACE_MOVE] = "move", [PLACE_QUEUE] = "shared queue",
};

static const char *const reasons[PLACE_REASONS] = {
    [PLACE_R_BELOW] = "staying has cost less than a move",
    [PLACE_R_PAID] = "staying has cost as much as a move",
    [PLACE_R_ADVISED] = "staying has cost half a move and the last run agrees",
    [PLACE_R_PINNED] = "pinned",
    [PLACE_R_MOVING] = "a move is under way",
    [PLACE_R_BACKOFF] = "a move was refused a moment ago",
    [PLACE_R_NO_NODE] = "no other node may run it",
    [PLACE_R_FULL] = "no node asked had room",
    [PLACE_R_EXEC_HOME] = "exec: the last run used that node most",
    [PLACE_R_EXEC_HERE] = "exec: this node is as good as any",
    [PLACE_R_EXEC_SMALL] = "exec: the last run was shorter than a move",
    [PLACE_R_EXEC_UNCLEAR] = "exec: no node is clearly better",
    [PLACE_R_EXEC_UNKNOWN] = "exec: it never ran before",
};

// Writes the record as text: a line of verdict and reason, the prices, a line a node. At
// most `size` bytes (at least 1), ended by 0, cut where it does not fit. Returns the
// length without the 0.
u32 place_why_format(const struct place_why *why, char *to, u32 size) {
    struct text t = {to, size, 0};
    if (size == 0) return 0;
    put(&t, why->verdict <= PLACE_QUEUE ? verdicts[why->verdict] : "?");
    if (why->verdict == PLACE_MOVE) {
        put(&t, " to node ");
        put_node(&t, why->target);
    }
    put(&t, ": ");
    put(&t, why->reason < PLACE_REASONS ? reasons[why->reason] : "?");
    put(&t, "\nnode ");
    put_node(&t, why->at);
    put(&t, ", last used ");
    put_node(&t, why->last);
    put_figure(&t, "\nregret_ns ", why->regret_ns);
    put_figure(&t, " of ", why->threshold_ns);
    put_figure(&t, ", move_ns ", why->price_move_ns);
    put_figure(&t, ", at_ns ", why->time_ns);
    for (u32 i = 0; i < why->touched && i < PLACE_TOUCHED_MAX; i++) {
        put(&t, "\nnode ");
        put_node(&t, why->node[i]);
        put_figure(&t, " cost_ns ", why->w[i]);
    }
    put_figure(&t, "\nother nodes cost_ns ", why->rest);
    put(&t, "\n");
    t.to[t.len] = 0;
    return t.len;
}
