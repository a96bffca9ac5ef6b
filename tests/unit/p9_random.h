// Random file calls for the tests of proto/p9: every field that a message can carry.
#pragma once

#include <string.h>

#include "proto/p9/p9_codec.h"

static const u8 p9_types[] = {
    P9_TSTATFS, P9_TLOPEN, P9_TLCREATE, P9_TSYMLINK, P9_TMKNOD, P9_TRENAME, P9_TREADLINK,
    P9_TGETATTR, P9_TSETATTR, P9_TREADDIR, P9_TFSYNC, P9_TLOCK, P9_TGETLOCK, P9_TLINK, P9_TMKDIR,
    P9_TRENAMEAT, P9_TUNLINKAT, P9_TVERSION, P9_TATTACH, P9_TFLUSH, P9_TWALK, P9_TREAD, P9_TWRITE,
    P9_TCLUNK, P9_TSEEK, P9_TIOCTL, P9_TPOLL, P9_TREF, P9_TGETFL, P9_TSETFL,
};
#define P9_TYPE_COUNT (sizeof p9_types / sizeof p9_types[0])

static u64 random_state = 1;
static inline u64 random_u64(void) {   // xorshift64*
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1dull;
}
static inline u32 random_u32(void) { return (u32)(random_u64() >> 32); }
static inline u32 random_below(u32 n) { return random_u32() % n; }

static inline void random_name(char *to, u32 max_len) {
    u32 len = 1 + random_below(max_len);
    for (u32 i = 0; i < len; i++) to[i] = (char)(1 + random_below(255));
    to[len] = 0;
}

static inline struct object_id random_object(void) {
    return (struct object_id){random_below(8), random_u32(), random_u64()};
}

// Fills all of c but data; names last as long as the two static buffers.
static inline void random_call(struct p9_call *c, u8 type) {
    static char name[P9_NAME_MAX + 1], name2[P9_NAME_MAX + 1];
    memset(c, 0, sizeof *c);
    random_name(name, P9_NAME_MAX);
    random_name(name2, P9_NAME_MAX);
    *c = (struct p9_call){
        .type = type, .object = random_object(), .object2 = random_object(),
        .made = random_object(), .pid = random_u32(), .uid = random_u32(), .gid = random_u32(),
        .umask = random_u32(), .name = name, .name2 = name2, .flags = random_u32(),
        .mode = random_u32(), .offset = random_u64(), .count = random_below(P9_DATA_MAX + 1),
        .result = random_below(P9_DATA_MAX), .value = random_u64() & 0xfff00fffff,
    };
    if (type == P9_TFLUSH) c->value &= 0xffff;
    if (type == P9_TLOCK) c->result &= 0xff;
    if (type == P9_TLOCK || type == P9_TGETLOCK) {
        c->lock = (struct p9_lock){(u8)random_u32(), type == P9_TLOCK ? random_u32() : 0,
                                   random_u64(), random_u64(), random_u32()};
    } else if (type == P9_TSTATFS) {
        c->statfs = (struct p9_statfs){random_u32(), random_u32(), random_u64(), random_u64(),
                                       random_u64(), random_u64(), random_u64(), random_u64(),
                                       random_u32()};
    } else {
        c->attr = (struct p9_attr){
            random_u64() & 0xffffffff, (u8)random_u32(), random_u32(), random_u64(),
            random_u32(), random_u32(), random_u32(), random_u64(), random_u64(), random_u64(),
            random_u64(), random_u64(), random_u64(), random_u64(), random_u64(), random_u64(),
            random_u64(), random_u64()};
    }
}
