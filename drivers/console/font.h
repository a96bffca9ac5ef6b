// The screen's font: one byte a row, the left pixel in bit 7. The table is made at build
// time from Debian's grub-common (tools/gen_font.py).
#pragma once

#include "base/types.h"

#define FONT_FIRST 0x20u
#define FONT_LAST 0x7eu
#define FONT_WIDTH 8u
#define FONT_HEIGHT 16u
extern const u8 font_glyphs[FONT_LAST - FONT_FIRST + 1][FONT_HEIGHT];
