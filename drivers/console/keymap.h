// Scan codes of set 1 (what the i8042 translates to) into the bytes that a terminal sends,
// for a keyboard with the US layout. A pure machine: kbd.c feeds it.
#pragma once

#include "base/types.h"

#define KEY_BYTES_MAX 5u             // of one key: ESC, and a sequence of four

struct keymap {
    bool shift_left, shift_right, control_left, control_right, alt, caps, num;
    bool extended;                   // 0xe0 came before
    u32 skip;                        // bytes of the pause key's sequence still to come
};

// Takes one scan code; returns how many bytes it means, 0 to KEY_BYTES_MAX, in `out`.
u32 keymap_take(struct keymap *k, u8 code, u8 out[KEY_BYTES_MAX]);
