// Boot, in order; then this CPU goes to the edge for good. Called by boot.S, once.
#include "base/assert.h"
#include "base/bits.h"
#include "base/string.h"
#include "drivers/console/console.h"
#include "kernel/acpi.h"
#include "kernel/ask.h"
#include "kernel/bench.h"
#include "kernel/boot_info.h"
#include "kernel/clock.h"
#include "kernel/cluster.h"
#include "kernel/drives.h"
#include "kernel/files/cardfs.h"
#include "kernel/files/nodedev.h"
#include "kernel/file.h"
#include "kernel/init.h"
#include "kernel/irq.h"
#include "kernel/klog.h"
#include "kernel/may_run.h"
#include "kernel/migrate.h"
#include "kernel/net.h"
#include "kernel/options.h"
#include "kernel/placement.h"
#include "kernel/proc.h"
#include "kernel/remote_files.h"
#include "kernel/random.h"
#include "kernel/selftest.h"
#include "kernel/time.h"
#include "kernel/trap.h"
#include "kernel/vdso.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/lapic.h"
#include "kernel/x86/msr.h"
#include "kernel/x86/port.h"
#include "kernel/x86/smp.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/kmem.h"

#define TRAMPOLINE_END 0x9f000ull
#define LOW_MEMORY_END 0x100000ull   // firmware's; the trampoline's page lies there

extern const u8 kernel_end[];
#define IMAGE_PA 0x200000ull

static void report_to_log(void *ctx, const char *text) {
    (void)ctx;
    klog("%s", text);
}

// A file that GRUB loaded. NULL where there is none of that name.
//   len_bytes: out, its size
const u8 *boot_module(const char *name, u64 *len_bytes) {
    for (u32 i = 0; i < boot_info.module_count; i++) {
        const struct boot_module *m = &boot_info.module[i];
        if (strcmp(m->name, name) != 0) continue;
        *len_bytes = m->len_bytes;
        return phys_to_virt(paddr(m->pa));
    }
    return NULL;
}

static void memory_init(void) {
    static struct frame_range ram[BOOT_RANGES_MAX], mapped[BOOT_RANGES_MAX];
    struct frame_range reserved[2 + BOOT_MODULES_MAX];
    u32 ram_count = 0, mapped_count = 0, reserved_count = 0;
    for (u32 i = 0; i < boot_info.range_count; i++) {
        const struct boot_range *r = &boot_info.range[i];
        const struct frame_range f = {r->base, r->len_bytes};
        if (r->type == BOOT_RANGE_RAM) ram[ram_count++] = f;
        if (r->type == BOOT_RANGE_RAM || r->type == BOOT_RANGE_ACPI || r->type == BOOT_RANGE_NVS)
            mapped[mapped_count++] = f;
    }
    reserved[reserved_count++] = (struct frame_range){0, LOW_MEMORY_END};
    reserved[reserved_count++] =
        (struct frame_range){IMAGE_PA, (u64)kernel_end - KERNEL_VMA - IMAGE_PA};
    for (u32 i = 0; i < boot_info.module_count; i++)
        reserved[reserved_count++] =
            (struct frame_range){boot_info.module[i].pa, boot_info.module[i].len_bytes};
    frame_init(ram, ram_count, reserved, reserved_count);
    kmap_init(mapped, mapped_count);
    kmem_reserve();
    if (boot_info.ranges_dropped)
        klog("memory: %u ranges of the loader's map do not fit and are unused",
             boot_info.ranges_dropped);
    klog("memory: %lu MiB of RAM, %lu MiB free", frame_count_total() >> 8,
         frame_count_free() >> 8);
}

static void options_init(void) {
    options_defaults(&options);
    const u32 errors = options_parse(boot_info.cmdline, &options, report_to_log, NULL);
    if (boot_info.cmdline_cut) klog("kernel options: the command line is too long and was cut");
    if (errors) klog("kernel options: %u ignored, the others hold", errors);
    u64 len;
    const u8 *conf = boot_module("cluster.conf", &len);
    if (!conf) {
        klog("cluster.conf: no such boot module; this node works alone");
        return;
    }
    if (cluster_conf_parse(conf, len, &cluster_conf, report_to_log, NULL))
        klog("cluster.conf is not used; this node works alone");
}

// The old interrupt controllers: moved off the exceptions' vectors and masked.
static void pic_mask(void) {
    static const u8 setup[][2] = {{0x20, 0x11}, {0xa0, 0x11}, {0x21, TRAP_PIC},
                                  {0xa1, TRAP_PIC + 8}, {0x21, 4}, {0xa1, 2}, {0x21, 1},
                                  {0xa1, 1}, {0x21, 0xff}, {0xa1, 0xff}};
    for (u32 i = 0; i < ARRAY_COUNT(setup); i++) port_out8(setup[i][0], setup[i][1]);
}

// A page below 1 MiB for the other CPUs' first instructions; 0: none.
static u64 trampoline_page(void) {
    for (u32 i = 0; i < boot_info.range_count; i++) {
        const struct boot_range *r = &boot_info.range[i];
        const u64 end = MIN(r->base + r->len_bytes, TRAMPOLINE_END);
        const u64 page = ALIGN_DOWN(end, PAGE_SIZE) - PAGE_SIZE;
        if (r->type == BOOT_RANGE_RAM && end >= 2 * PAGE_SIZE && page >= r->base && page)
            return page;
    }
    return 0;
}

static void smp_init(const struct acpi_info *acpi) {
    u32 others[ACPI_CPUS_MAX], count = 0;
    for (u32 i = 0; i < acpi->cpu_count; i++)
        if (acpi->cpu_apic_id[i] != cpus[0].apic_id) others[count++] = acpi->cpu_apic_id[i];
    const u64 page = trampoline_page();
    if (!page) klog("smp: no free page below 1 MiB; the other CPUs stay off");
    const u32 started = page ? smp_start(others, count, phys_to_virt(paddr(page)), page) : 0;
    if (started < count) klog("smp: %u of %u other CPUs run", started, count);
}

static void serial_interrupt(void *port) { serial_receive(port ? SERIAL_COM2 : SERIAL_COM1); }

static void kbd_interrupt(void *unused) {
    (void)unused;
    kbd_receive();
}

static void kbd_start(void) {
    if (!kbd_init()) return;
    if (irq_attach_isa(kbd_irq_line(), kbd_interrupt, NULL, EDGE_CONSOLE))
        klog("keyboard: no interrupt line; it is not used");
    else klog("keyboard: PS/2, US layout");
    kbd_receive();                   // what came before the line was open raises no edge
}

static void console_input_init(void) {
    kbd_start();
    serial_init(SERIAL_COM2);
    for (u64 port = SERIAL_COM1; port < SERIAL_COUNT; port++) {
        if (!serial_present((enum serial_port)port)) continue;
        const u8 irq = serial_irq_line((enum serial_port)port);
        if (irq_attach_isa(irq, serial_interrupt, (void *)port, EDGE_CONSOLE))
            klog("COM%lu: no interrupt line; it takes no input", port + 1);
        else serial_irq_enable((enum serial_port)port);
    }
    edge_request(EDGE_CONSOLE);      // for what came before there were interrupts
}

// What was logged before there was a screen.
static void screen_replay(void) {
    char text[256];
    u64 from = 0, len;
    while ((len = klog_read(&from, text, sizeof text)) != 0) screen_write(text, len);
}

static void screen_attach(void) {
    const struct boot_framebuffer *fb = &boot_info.fb;
    if (fb->kind == BOOT_FB_NONE) return;
    const u64 len = (u64)fb->pitch_bytes * fb->height;
    const bool text = fb->kind == BOOT_FB_TEXT;
    const struct screen_config config = {
        .pixels = text ? mmio_map(paddr(fb->pa), len) : mmio_map_wc(paddr(fb->pa), len),
        .pitch_bytes = fb->pitch_bytes, .width = fb->width, .height = fb->height,
        .bits_per_pixel = fb->bits_per_pixel, .text = text, .red_shift = fb->red_shift,
        .green_shift = fb->green_shift, .blue_shift = fb->blue_shift,
    };
    if (!screen_init(&config)) {
        klog("screen: %u bits a pixel cannot be drawn on", fb->bits_per_pixel);
        return;
    }
    screen_replay();
    klog("screen: %u x %u%s", fb->width, fb->height, text ? " cells" : " pixels");
}

static void interrupts_init(struct acpi_info *acpi) {
    if (acpi_parse(boot_info.rsdp, boot_info.rsdp_bytes, kmap_memory, acpi))
        klog("acpi: no MADT; one CPU, no device interrupts but MSI");
    pic_mask();
    if (options.x2apic && !cpu_features.x2apic) klog("apic=x2apic: this CPU has none");
    const bool x2apic = lapic_is_x2apic() || (options.x2apic && cpu_features.x2apic);
    lapic_init(x2apic ? NULL : mmio_map(paddr(lapic_base_pa()), PAGE_SIZE), x2apic);
    lapic_cpu_init();
    if (x2apic) klog("apic: x2APIC");
    lapic_timer_calibrate(time_now_ns);
    irq_init(acpi);
    timers_cpu_init();
    edge_hook_set(EDGE_TIMER, timers_run);
}

// Each other CPU, from boot.S, on its own stack and the boot tables.
_Noreturn void ap_main(u32 index) {
    cpu_tables_init(index);
    cpu_features_init();
    kmap_use();
    lapic_cpu_init();
    timers_cpu_init();
    smp_arrived();
    edge_exit();
}

// From boot.S, on its stack and tables, interrupts off.
//   mbi_pa: physical address of the loader's information
_Noreturn void kernel_main(u64 mbi_pa) {
    cpu_tables_init(0);              // traps say what went wrong from here on
    console_init();
    const status_t boot_status = boot_info_parse(mbi_pa);
    cpu_features_init();
    time_init();
    clock_init();
    klog("isthmus: booting");
    if (boot_status) panic("the loader gave no memory map");
    memory_init();
    screen_attach();
    options_init();
    static struct acpi_info acpi;
    interrupts_init(&acpi);
    random_init();
    console_input_init();
    smp_init(&acpi);
    net_init();
    ask_init();
    proc_init();
    vdso_init();
    remote_files_init();
    migrate_init();
    may_run_init();
    cluster_init(proc_descs, proc_count);
    clock_status_init();
    placement_init();
    bench_init();
    nodedev_init();
    cardfs_init();
    tty_share();
    drives_init();
    klog("isthmus: node up: %u CPUs, %lu MiB free, TSC %lu MHz", cpu_count,
         frame_count_free() >> 8, time_tsc_hz() / 1000000);
    selftest_run(options.selftest);
    proc_start_init();
    edge_exit();
}
