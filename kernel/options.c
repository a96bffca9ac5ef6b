// The two texts that a node is started with: kernel options and cluster.conf. Pure
// parsers (also linked into host tests and fuzzers); kernel/init.c feeds them. No lock.
#include "kernel/options.h"

#include "base/bits.h"
#include "base/string.h"
#include "kernel/klog.h"
#include "kernel/proc_desc.h"

#define TEXT_OF_(x) #x
#define TEXT_OF(x) TEXT_OF_(x)
#define NODES_MAX_TEXT TEXT_OF(NODES_MAX)
#define WORD_MAX 128
#define LINE_WORDS_MAX 5
#define DESC_COUNT_DEFAULT 2048
#define MTU_MIN 576u
#define MTU_MAX 9000u
#define JOIN_WAIT_DEFAULT_S 60u
#define JOIN_WAIT_MAX_S 3600u
#define DEAD_AFTER_DEFAULT 100u
#define DEAD_AFTER_MAX 1000000u
#define DEAD_FLOOR_DEFAULT_S 3u
#define DEAD_FLOOR_MAX_S 60u

struct options options;
struct cluster_conf cluster_conf;

struct word { const char *at; u64 len; };

static bool word_is(struct word w, const char *text) {
    return strlen(text) == w.len && memcmp(w.at, text, w.len) == 0;
}

static bool read_u32(struct word w, u32 max, u32 *value) {
    u64 v = 0;
    if (w.len == 0 || w.len > 10) return false;
    for (u64 i = 0; i < w.len; i++) {
        if (w.at[i] < '0' || w.at[i] > '9') return false;
        v = v * 10 + (u64)(w.at[i] - '0');
    }
    *value = (u32)v;
    return v <= max;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool read_hex(struct word w, u8 *to, u64 count) {
    if (w.len != count * 2) return false;
    for (u64 i = 0; i < count; i++) {
        const int high = hex_digit(w.at[2 * i]), low = hex_digit(w.at[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        to[i] = (u8)(high << 4 | low);
    }
    return true;
}

static bool read_mac(struct word w, u8 mac[6]) {
    if (w.len != 17) return false;
    for (u32 i = 0; i < 6; i++) {
        if (i && w.at[3 * i - 1] != ':') return false;
        if (!read_hex((struct word){w.at + 3 * i, 2}, &mac[i], 1)) return false;
    }
    return true;
}

static bool read_ipv4(struct word w, u32 *ipv4) {
    u64 at = 0;
    *ipv4 = 0;
    for (u32 part = 0; part < 4; part++) {
        u64 end = at;
        while (end < w.len && w.at[end] != '.') end++;
        u32 v;
        if (end - at > 3 || !read_u32((struct word){w.at + at, end - at}, 255, &v)) return false;
        *ipv4 = *ipv4 << 8 | v;
        if ((part < 3) != (end < w.len)) return false;
        at = end + 1;
    }
    return true;
}

// ---- kernel options

static bool set_rdma_test(struct options *o, struct word v) {
    o->rdma_test = word_is(v, "1");
    return o->rdma_test || word_is(v, "0");
}
static bool set_bench_count(struct options *o, struct word v) {
    o->bench_count = word_is(v, "1");
    return o->bench_count || word_is(v, "0");
}
static bool set_place(struct options *o, struct word v) {
    o->place_off = word_is(v, "off");
    return o->place_off || word_is(v, "auto");
}
static bool set_words(struct options *o, struct word v) {
    o->words_card = word_is(v, "card");
    return o->words_card || word_is(v, "cpu");
}
static bool set_move_how(struct options *o, struct word v) {
    static const char *const names[MOVE_HOWS] = {"post", "stop", "pre"};
    for (u8 i = 0; i < MOVE_HOWS; i++) {
        if (!word_is(v, names[i])) continue;
        o->move_how = i;
        return true;
    }
    return false;
}
static bool set_panic(struct options *o, struct word v) {
    o->panic_action = word_is(v, "exit") ? PANIC_EXIT : PANIC_HALT;
    return word_is(v, "exit") || word_is(v, "halt");
}
static bool set_run(struct options *o, struct word v) {
    if (!word_is(v, "com2")) return false;
    memcpy(o->run, "com2", 5);
    return true;
}
static bool set_proc_max(struct options *o, struct word v) {
    u32 n;
    if (!read_u32(v, PROC_COUNT_MAX, &n) || n < PROC_COUNT_MIN) return false;
    o->desc_count = n;
    return true;
}
static bool set_mtu(struct options *o, struct word v) {
    u32 n;
    if (!read_u32(v, MTU_MAX, &n) || (n && n < MTU_MIN)) return false;
    o->mtu = n;
    return true;
}
static bool set_dead_after(struct options *o, struct word v) {
    return read_u32(v, DEAD_AFTER_MAX, &o->dead_after) && o->dead_after > 0;
}
static bool set_dead_floor(struct options *o, struct word v) {
    return read_u32(v, DEAD_FLOOR_MAX_S, &o->dead_floor_s) && o->dead_floor_s > 0;
}
static const char *const step_names[STEPS] = {
    "", "frozen", "offered", "prepared", "started", "given", "page", "drained", "freed",
    "borrowed", "repaid", "ahead", "copied", "caughtup", "waking", "woken", "recalled", "fetched"};

const char *step_name(enum step step) { return step_names[step]; }

static bool set_hold_at(struct options *o, struct word v) {
    for (u32 i = STEP_NONE + 1; i < STEPS; i++)
        if (word_is(v, step_names[i])) o->hold_at = (enum step)i;
    return o->hold_at != STEP_NONE;
}
static bool set_hold_name(struct options *o, struct word v) {
    if (v.len == 0 || v.len >= sizeof o->hold_name) return false;
    memcpy(o->hold_name, v.at, v.len);
    o->hold_name[v.len] = 0;
    return true;
}
static bool set_ip(struct options *o, struct word v) { return read_ipv4(v, &o->ip); }
static bool set_join_wait(struct options *o, struct word v) {
    return read_u32(v, JOIN_WAIT_MAX_S, &o->join_wait_s);
}
static bool set_apic(struct options *o, struct word v) {
    o->x2apic = word_is(v, "x2apic");
    return o->x2apic || word_is(v, "firmware");
}
static bool set_storm(struct options *o, struct word v) {
    return read_u32(v, ~0u, &o->storm) && o->storm > 0;
}
static bool set_storm_moves(struct options *o, struct word v) {
    return read_u32(v, ~0u, &o->storm_moves);
}
static bool set_selftest(struct options *o, struct word v) {
    static const char *const names[] = {"panic", "assert", "overflow", "write-text", "timers",
                                        "kicks", "sync", "sync-fault"};
    bool known = false;
    for (u64 i = 0; i < ARRAY_COUNT(names); i++) known |= word_is(v, names[i]);
    if (!known) return false;
    memcpy(o->selftest, v.at, v.len);
    o->selftest[v.len] = 0;
    return true;
}

static const struct option_row {
    const char *name, *values;
    bool (*set)(struct options *o, struct word value);
} option_rows[] = {
    {"rdma.test", "0 or 1", set_rdma_test},
    {"bench.count", "0 or 1", set_bench_count},
    {"panic", "halt or exit", set_panic},
    {"place", "auto or off", set_place},
    {"words", "cpu or card", set_words},
    {"move.how", "post, stop or pre", set_move_how},
    {"run", "com2", set_run},
    {"proc.max", "16 to 65536", set_proc_max},
    {"net.mtu", "0 or 576 to 9000", set_mtu},
    {"hold.at", "a step of a move (docs/reference/options.md)", set_hold_at},
    {"hold.name", "a program's name, up to 15 characters", set_hold_name},
    {"dead.after", "1 to 1000000", set_dead_after},
    {"dead.floor", "1 to 60", set_dead_floor},
    {"ip", "an IPv4 address such as 10.7.0.70", set_ip},
    {"join.wait", "0 to 3600", set_join_wait},
    {"apic", "firmware or x2apic", set_apic},
    {"storm", "a seed, 1 to 4294967295", set_storm},
    {"storm.moves", "0 to 4294967295", set_storm_moves},
    {"selftest", "panic, assert, overflow, write-text, timers, kicks, sync, sync-fault",
     set_selftest},
};

void options_defaults(struct options *o) {
    *o = (struct options){.panic_action = PANIC_HALT, .desc_count = DESC_COUNT_DEFAULT,
                          .join_wait_s = JOIN_WAIT_DEFAULT_S,
                          .dead_after = DEAD_AFTER_DEFAULT,
                          .dead_floor_s = DEAD_FLOOR_DEFAULT_S};
}

static bool parse_option(struct word w, struct options *o, char *why) {
    u64 eq = 0;
    while (eq < w.len && w.at[eq] != '=') eq++;
    const int len = (int)MIN(w.len, 64ull);
    const struct word name = {w.at, eq};
    if (eq == w.len) {
        ksnprintf(why, WORD_MAX * 2, "kernel option '%.*s' is not of the form name=value", len,
                  w.at);
        return false;
    }
    for (u64 i = 0; i < ARRAY_COUNT(option_rows); i++) {
        const struct option_row *row = &option_rows[i];
        if (!word_is(name, row->name)) continue;
        struct options trial = *o;
        if (row->set(&trial, (struct word){w.at + eq + 1, w.len - eq - 1})) {
            *o = trial;
            return true;
        }
        ksnprintf(why, WORD_MAX * 2, "kernel option '%.*s' is malformed: %s takes %s", len, w.at,
                  row->name, row->values);
        return false;
    }
    ksnprintf(why, WORD_MAX * 2, "unknown kernel option '%.*s'", len, w.at);
    return false;
}

// See options.h.
//   words: 0-terminated, separated by blanks
u32 options_parse(const char *words, struct options *o, options_report report, void *ctx) {
    u32 errors = 0;
    char why[WORD_MAX * 2];
    for (const char *at = words; *at;) {
        if (*at == ' ' || *at == '\t' || *at == '\n') {
            at++;
            continue;
        }
        struct word w = {at, 0};
        while (at[w.len] && at[w.len] != ' ' && at[w.len] != '\t' && at[w.len] != '\n') w.len++;
        at += w.len;
        if (parse_option(w, o, why)) continue;
        errors++;
        report(ctx, why);
    }
    return errors;
}

// ---- cluster.conf

static const char *parse_node(const struct word *w, u32 count, struct cluster_conf *conf) {
    u32 id, ipv4;
    u8 mac[6];
    if (count != 4) return "a node line is: node ID MAC IPV4";
    if (!read_u32(w[1], NODES_MAX - 1, &id))
        return "the node id is no number below " NODES_MAX_TEXT;
    if (conf->node[id].listed) return "this node id is listed twice";
    if (!read_mac(w[2], mac)) return "the MAC is not of the form 52:54:00:49:53:01";
    if (mac[0] & 1) return "the MAC is a group address";
    if (!read_ipv4(w[3], &ipv4)) return "the IPv4 address is not of the form 10.7.0.1";
    for (u32 i = 0; i < NODES_MAX; i++) {
        if (!conf->node[i].listed) continue;
        if (memcmp(conf->node[i].mac, mac, 6) == 0) return "this MAC is listed twice";
        if (conf->node[i].ipv4 == ipv4) return "this IPv4 address is listed twice";
    }
    conf->node[id].listed = true;
    conf->node[id].ipv4 = ipv4;
    memcpy(conf->node[id].mac, mac, 6);
    return NULL;
}

static const char *parse_key(const struct word *w, u32 count, struct cluster_conf *conf) {
    if (conf->key_set) return "a second key";
    if (count != 2 || !read_hex(w[1], conf->key, CLUSTER_KEY_BYTES))
        return "a key line is: key and 64 hexadecimal digits";
    conf->key_set = true;
    return NULL;
}

// Splits text[0..len) at blanks; stops at #. More than LINE_WORDS_MAX words: the rest
// is the last word's, which no rule accepts.
static u32 split(const char *text, u64 len, struct word *w) {
    u32 count = 0;
    for (u64 at = 0; at < len && text[at] != '#';) {
        if (text[at] == ' ' || text[at] == '\t' || text[at] == '\r') {
            at++;
            continue;
        }
        if (count == LINE_WORDS_MAX) return count;
        u64 end = at;
        while (end < len && !strchr(" \t\r#", text[end])) end++;
        w[count++] = (struct word){text + at, end - at};
        at = end;
    }
    return count;
}

static const char *parse_line(const char *text, u64 len, struct cluster_conf *conf) {
    struct word w[LINE_WORDS_MAX];
    const u32 count = split(text, len, w);
    if (count == 0) return NULL;
    if (word_is(w[0], "node")) return parse_node(w, count, conf);
    if (word_is(w[0], "key")) return parse_key(w, count, conf);
    return "a line starts with node or key";
}

// See options.h.
//   text: len_bytes bytes, no final 0 needed
u32 cluster_conf_parse(const u8 *text, u64 len_bytes, struct cluster_conf *conf,
                       options_report report, void *ctx) {
    u32 errors = 0, line = 0, nodes = 0;
    char why[WORD_MAX * 2];
    *conf = (struct cluster_conf){0};
    for (u64 at = 0; at < len_bytes;) {
        u64 end = at;
        while (end < len_bytes && text[end] != '\n') end++;
        line++;
        const char *error = parse_line((const char *)text + at, end - at, conf);
        at = end + 1;
        if (!error) continue;
        errors++;
        ksnprintf(why, sizeof why, "cluster.conf:%u: %s", line, error);
        report(ctx, why);
    }
    for (u32 i = 0; i < NODES_MAX; i++) nodes += conf->node[i].listed;
    if (!errors && (!nodes || !conf->key_set)) {
        errors++;
        ksnprintf(why, sizeof why, "cluster.conf:%u: the file ends without a %s line", line,
                  nodes ? "key" : "node");
        report(ctx, why);
    }
    conf->valid = errors == 0;
    return errors;
}
