// The screen: EGA text cells or an RGB framebuffer, as the loader left it. A plain
// terminal: newline, return, backspace, tab, scrolling; escape sequences are skipped.
// The text is kept in `shadow`, so nothing is read back from the card, and scrolling
// draws only cells that change. Called under the log's lock.
#include "drivers/console/console.h"
#include "drivers/console/font.h"

#define TAB_CELLS 8u
#define TEXT_ATTRIBUTE 0x0700u
#define COLUMNS_MAX 256u
#define ROWS_MAX 128u
#define GREY 0xbbu

static struct screen_config screen;
static bool screen_on;
static u32 columns, rows, column, row;
static u8 shadow[ROWS_MAX][COLUMNS_MAX];
static enum { ESC_NONE, ESC_SEEN, ESC_CSI } escape;

static void draw_pixel(volatile u8 *at, u32 color) {
    const u32 bytes = (screen.bits_per_pixel + 7u) / 8;
    if (bytes == 4) {
        *(volatile u32 *)at = color;
        return;
    }
    for (u32 i = 0; i < bytes; i++) at[i] = (u8)(color >> 8 * i);
}

static void draw_glyph(u32 x, u32 y, u8 c) {
    const u32 ink = GREY << screen.red_shift | GREY << screen.green_shift |
                    GREY << screen.blue_shift;
    const u32 bytes = (screen.bits_per_pixel + 7u) / 8;
    if (c < FONT_FIRST || c > FONT_LAST) c = '?';
    const u8 *glyph = font_glyphs[c - FONT_FIRST];
    for (u32 line = 0; line < FONT_HEIGHT; line++) {
        volatile u8 *at = (volatile u8 *)screen.pixels +
                          (u64)(y * FONT_HEIGHT + line) * screen.pitch_bytes +
                          (u64)x * FONT_WIDTH * bytes;
        for (u32 i = 0; i < FONT_WIDTH; i++, at += bytes)
            draw_pixel(at, glyph[line] >> (FONT_WIDTH - 1 - i) & 1 ? ink : 0);
    }
}

static void cell_set(u32 x, u32 y, u8 c) {
    if (shadow[y][x] == c) return;
    shadow[y][x] = c;
    if (screen.text)
        ((volatile u16 *)screen.pixels)[y * (screen.pitch_bytes / 2) + x] =
            (u16)(TEXT_ATTRIBUTE | c);
    else draw_glyph(x, y, c);
}

// Takes the screen over and clears it.
//   config: mapped cells (width, height in cells) or pixels of 24 or 32 bits
// False: it cannot be drawn on and stays as it is.
bool screen_init(const struct screen_config *config) {
    if (!config->pixels) return false;
    if (!config->text && config->bits_per_pixel != 24 && config->bits_per_pixel != 32)
        return false;
    screen = *config;
    columns = config->text ? config->width : config->width / FONT_WIDTH;
    rows = config->text ? config->height : config->height / FONT_HEIGHT;
    if (columns > COLUMNS_MAX) columns = COLUMNS_MAX;
    if (rows > ROWS_MAX) rows = ROWS_MAX;
    screen_on = columns && rows;
    for (u32 y = 0; y < rows; y++)
        for (u32 x = 0; x < columns; x++) cell_set(x, y, ' ');
    return screen_on;
}

static void newline(void) {
    column = 0;
    if (++row < rows) return;
    row = rows - 1;
    for (u32 y = 0; y < rows; y++)
        for (u32 x = 0; x < columns; x++) cell_set(x, y, y + 1 < rows ? shadow[y + 1][x] : ' ');
}

// Whether c belongs to an escape sequence, which is skipped.
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
    else if (c >= 32) cell_set(column++, row, c);
    if (column >= columns) newline();
}

void screen_write(const char *text, u64 len_bytes) {
    if (!screen_on) return;
    for (u64 i = 0; i < len_bytes; i++) put((u8)text[i]);
}
