// See frame_guard.h. Lengths are checked before every look; what is too short for a header
// has none. Spec: IEEE 802.3 3.1, 802.1Q 9.3, RFC 791, RFC 768, RFC 826; IBTA annexes A16
// (RoCE), A17 (RoCEv2).
#include "kernel/frame_guard.h"

#include "base/string.h"

enum ethertype {
    TYPE_IPV4 = 0x0800, TYPE_ARP = 0x0806, TYPE_VLAN = 0x8100, TYPE_IPV6 = 0x86dd,
    TYPE_SERVICE_VLAN = 0x88a8, TYPE_ECHO = 0x88b5, TYPE_ROCE1 = 0x8915,
};
#define TAGS_MAX 2u
#define IP_UDP 17
#define ROCE_PORT 4791u
#define IPV4_HEADER 20u
#define IPV6_HEADER 40u
#define ARP_BYTES 28u
#define ARP_SENDER_MAC 8u
#define ARP_SENDER_IP 14u

struct view {
    u32 type;
    const u8 *body;                  // behind the ethertype
    u32 len;
    bool is_roce;                    // UDP from or to ROCE_PORT
    u32 source, target;              // IPv4; 0 where it is none
};

static u32 get16(const u8 *p) { return (u32)p[0] << 8 | p[1]; }
static u32 get32(const u8 *p) { return get16(p) << 16 | get16(p + 2); }

static bool is_tag(u32 type) { return type == TYPE_VLAN || type == TYPE_SERVICE_VLAN; }

bool frame_is_tagged(const u8 *frame, u32 len_bytes) {
    return len_bytes >= FRAME_HEADER && is_tag(get16(frame + 12));
}

static bool ports_are_roce(const u8 *udp, u32 len) {
    return len >= 4 && (get16(udp) == ROCE_PORT || get16(udp + 2) == ROCE_PORT);
}

// A later fragment has no ports; without the first, which has them, nobody takes it.
static void view_ipv4(struct view *v) {
    if (v->len < IPV4_HEADER) return;
    v->source = get32(v->body + 12);
    v->target = get32(v->body + 16);
    const u32 header = MAX((v->body[0] & 15u) * 4, IPV4_HEADER);
    const bool first = (get16(v->body + 6) & 0x1fff) == 0;
    if (v->body[9] == IP_UDP && first && header < v->len)
        v->is_roce = ports_are_roce(v->body + header, v->len - header);
}

static struct view view_of(const u8 *frame, u32 len) {
    struct view v = {0};
    if (len < FRAME_HEADER) return v;
    u32 at = 12;
    for (u32 i = 0; i < TAGS_MAX && is_tag(get16(frame + at)) && at + FRAME_TAG + 2 <= len; i++)
        at += FRAME_TAG;
    v.type = get16(frame + at);
    v.body = frame + at + 2;
    v.len = len - at - 2;
    if (v.type == TYPE_IPV4) view_ipv4(&v);
    if (v.type == TYPE_IPV6 && v.len > IPV6_HEADER && v.body[6] == IP_UDP)
        v.is_roce = ports_are_roce(v.body + IPV6_HEADER, v.len - IPV6_HEADER);
    return v;
}

static bool is_node_ip(const struct frame_guard *g, u32 ipv4) {
    for (u32 i = 0; i < NODES_MAX; i++)
        if (roster_taken(&g->rows[i]) && g->rows[i].ipv4 == ipv4) return true;
    return false;
}

// A node's, but not of the node whose card this is.
static bool is_other_mac(const struct frame_guard *g, const u8 *mac) {
    return memcmp(mac, g->mac, 6) != 0 && roster_find(g->rows, mac) < NODES_MAX;
}

static bool is_other_ip(const struct frame_guard *g, u32 ipv4) {
    for (u32 i = 0; i < NODES_MAX; i++)
        if (roster_taken(&g->rows[i]) && g->rows[i].ipv4 == ipv4)
            return memcmp(g->rows[i].mac, g->mac, 6) != 0;
    return false;
}

static bool view_is_clusters(const struct frame_guard *g, const struct view *v) {
    if (g->carries && (v->type == TYPE_ECHO || v->type == TYPE_ROCE1)) return true;
    return v->is_roce && (g->carries || is_node_ip(g, v->source) || is_node_ip(g, v->target));
}

// See frame_guard.h.
bool frame_is_clusters(const struct frame_guard *g, const u8 *frame, u32 len_bytes) {
    const struct view v = view_of(frame, len_bytes);
    return view_is_clusters(g, &v);
}

// See frame_guard.h. A source that is another node's would turn its frames at the switch; an
// ARP sender's address or an IPv4 source would turn them at a peer.
bool frame_forges(const struct frame_guard *g, const u8 *frame, u32 len_bytes) {
    const struct view v = view_of(frame, len_bytes);
    if (len_bytes < FRAME_HEADER) return false;
    if (view_is_clusters(g, &v) || is_other_mac(g, frame + 6)) return true;
    if (v.type == TYPE_IPV4) return is_other_ip(g, v.source);
    if (v.type != TYPE_ARP || v.len < ARP_BYTES) return false;
    return is_other_mac(g, v.body + ARP_SENDER_MAC) ||
           is_other_ip(g, get32(v.body + ARP_SENDER_IP));
}
