// The screen: EGA text cells or an RGB framebuffer, as the loader left it. A plain
// terminal: newline, return, backspace, tab, scrolling; escape sequences are skipped.
// Called under the log's lock.
#include "base/string.h"
#include "drivers/console/console.h"

#define TAB_CELLS 8u
#define TEXT_ATTRIBUTE 0x0700u

static struct screen_config screen;
static bool screen_on;
static u32 columns, rows, column, row;
static enum { ESC_NONE, ESC_SEEN, ESC_CSI } escape;

// Takes the screen over and clears it.
//   config: mapped cells or pixels; ones that cannot be drawn on leave the screen off
void screen_init(const struct screen_config *config) {
    if (!config->text) return;
    screen = *config;
    columns = config->width;
    rows = config->height;
    screen_on = columns && rows;
    for (u32 y = 0; y < rows; y++)
        for (u32 x = 0; x < columns; x++)
            ((volatile u16 *)config->pixels)[y * columns + x] = TEXT_ATTRIBUTE | ' ';
}

static volatile u16 *cell(u32 x, u32 y) {
    return (volatile u16 *)screen.pixels + y * columns + x;
}

static void scroll(void) {
    for (u32 y = 1; y < rows; y++)
        for (u32 x = 0; x < columns; x++) *cell(x, y - 1) = *cell(x, y);
    for (u32 x = 0; x < columns; x++) *cell(x, rows - 1) = TEXT_ATTRIBUTE | ' ';
}

static void newline(void) {
    column = 0;
    if (++row < rows) return;
    row = rows - 1;
    scroll();
}

static bool escape_takes(u8 c) {
    if (escape == ESC_NONE) {
        if (c == 27) escape = ESC_SEEN;
        return c == 27;
    }
    if (escape == ESC_SEEN) escape = c == '[' ? ESC_CSI : ESC_NONE;
    else if (c >= 0x40 && c <= 0x7e) escape = ESC_NONE;
    return true;
}

static void put(u8 c) {
    if (escape_takes(c)) return;
    if (c == '\n') newline();
    else if (c == '\r') column = 0;
    else if (c == '\b') column -= column ? 1 : 0;
    else if (c == '\t') column = (column / TAB_CELLS + 1) * TAB_CELLS;
    else if (c >= 32) *cell(column++, row) = (u16)(TEXT_ATTRIBUTE | c);
    if (column >= columns) newline();
}

void screen_write(const char *text, u64 len_bytes) {
    if (!screen_on) return;
    for (u64 i = 0; i < len_bytes; i++) put((u8)text[i]);
}
