// Shows the vDSO and the clock's page to user mode. Boot.
#include "kernel/vdso.h"

#include "kernel/clock.h"
#include "kernel/proc.h"

void vdso_init(void) {
    clock_frame.page.node = node_id;
    kmap_show(VVAR_BASE, &clock_frame, false);
    kmap_show(VDSO_BASE, vdso_image, true);
}
