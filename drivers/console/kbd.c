// The keyboard behind an i8042 (PS/2, or what firmware emulates for USB). Interrupts bring
// scan codes; their bytes go into a ring that the terminal reads. One producer (the
// interrupt's CPU), one consumer. Every wait for the controller has a limit; where it does
// not answer there is no keyboard. Spec: Intel 8042 as in the IBM PS/2 Technical Reference,
// Keyboard/Auxiliary Device Controller.
#include "base/ring.h"
#include "drivers/console/console.h"
#include "drivers/console/keymap.h"
#include "kernel/x86/port.h"

#define KBD_DATA 0x60u
#define KBD_CONTROL 0x64u            // read: status; write: command
#define STATUS_OUTPUT 1u             // a byte waits in KBD_DATA
#define STATUS_INPUT 2u              // the controller has not taken the last byte yet
#define STATUS_AUX 0x20u             // the byte is a mouse's
#define STATUS_ABSENT 0xffu
enum command {
    COMMAND_CONFIG_READ = 0x20, COMMAND_CONFIG_WRITE = 0x60, COMMAND_AUX_OFF = 0xa7,
    COMMAND_SELF_TEST = 0xaa, COMMAND_KBD_OFF = 0xad, COMMAND_KBD_ON = 0xae,
};
#define SELF_TEST_GOOD 0x55
#define CONFIG_IRQ 1u
#define CONFIG_AUX_IRQ 2u
#define CONFIG_KBD_OFF 0x10u
#define CONFIG_AUX_OFF 0x20u
#define CONFIG_TRANSLATE 0x40u       // to scan code set 1
#define KBD_SCAN_ON 0xf4u
#define KBD_ACK 0xfau
#define POLLS_MAX 100000u            // some 100 ms of port reads
#define DRAIN_MAX 64u                // bytes from before
#define RECEIVE_BATCH_MAX 32u
#define KBD_RING 256u

static struct ring ring;
static u8 input[KBD_RING];
static struct keymap keymap;
static bool present;
static u64 dropped;

static bool wait_status(u32 bit, bool set) {
    for (u32 i = 0; i < POLLS_MAX; i++)
        if (((port_in8(KBD_CONTROL) & bit) != 0) == set) return true;
    return false;
}

static bool send(u16 port, u8 byte) {
    if (!wait_status(STATUS_INPUT, false)) return false;
    port_out8(port, byte);
    return true;
}

static int receive(void) { return wait_status(STATUS_OUTPUT, true) ? port_in8(KBD_DATA) : -1; }

static void drain(void) {
    for (u32 i = 0; i < DRAIN_MAX && (port_in8(KBD_CONTROL) & STATUS_OUTPUT); i++)
        (void)port_in8(KBD_DATA);
}

static bool config_write(u8 config) {
    return send(KBD_CONTROL, COMMAND_CONFIG_WRITE) && send(KBD_DATA, config);
}

// Finds the controller and sets it up: keyboard on, translated, its interrupt on; the mouse
// off. Boot, with the line not routed yet. False: there is none that answers.
bool kbd_init(void) {
    if (port_in8(KBD_CONTROL) == STATUS_ABSENT) return false;
    if (!send(KBD_CONTROL, COMMAND_KBD_OFF) || !send(KBD_CONTROL, COMMAND_AUX_OFF)) return false;
    drain();
    if (!send(KBD_CONTROL, COMMAND_CONFIG_READ)) return false;
    const int config = receive();
    if (config < 0) return false;
    // The test resets some controllers, so the configuration comes after it.
    if (!send(KBD_CONTROL, COMMAND_SELF_TEST) || receive() != SELF_TEST_GOOD) return false;
    const u8 wanted = (u8)(((u32)config & ~(CONFIG_AUX_IRQ | CONFIG_KBD_OFF | CONFIG_IRQ)) |
                           CONFIG_AUX_OFF | CONFIG_TRANSLATE);
    if (!config_write(wanted) || !send(KBD_CONTROL, COMMAND_KBD_ON)) return false;
    if (!send(KBD_DATA, KBD_SCAN_ON) || receive() != KBD_ACK) drain();   // none is plugged in
    ring_init(&ring, KBD_RING);
    present = true;
    return config_write(wanted | CONFIG_IRQ);
}

// The ISA line of the keyboard.
u8 kbd_irq_line(void) { return 1; }
u64 kbd_dropped(void) { return dropped; }

// Interrupt context: takes the scan codes that have come. With the ring full the bytes of
// a key are lost and counted, whole.
void kbd_receive(void) {
    for (u32 n = 0; n < RECEIVE_BATCH_MAX; n++) {
        const u8 status = port_in8(KBD_CONTROL);
        if (!(status & STATUS_OUTPUT)) return;
        const u8 code = port_in8(KBD_DATA);
        if (status & STATUS_AUX) continue;
        u8 bytes[KEY_BYTES_MAX];
        const u32 count = keymap_take(&keymap, code, bytes);
        if (ring_space(&ring) < count) {
            dropped++;
            continue;
        }
        for (u32 i = 0; i < count; i++) {
            input[ring_tail_index(&ring)] = bytes[i];
            ring_produce(&ring);
        }
    }
}

// The next byte typed, or -1. One consumer.
int kbd_read(void) {
    if (!present || ring_empty(&ring)) return -1;
    const u8 byte = input[ring_peek_index(&ring, 0)];
    ring_consume(&ring);
    return byte;
}
