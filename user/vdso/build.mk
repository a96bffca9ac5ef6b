# The vDSO (user/vdso): a shared object that the kernel has in its image and shows to every
# program. Built by the kernel's compiler, into its folder of objects.
VDSO_CFLAGS := -std=gnu11 -I. $(WARNINGS) -ffreestanding -mgeneral-regs-only -fPIC -O2 -m64 \
    -fno-stack-protector -fasynchronous-unwind-tables -fcf-protection=none -fvisibility=hidden
VDSO_LDFLAGS := -shared -nostdlib -soname linux-vdso.so.1 --hash-style=both --eh-frame-hdr \
    --build-id=none -Bsymbolic -z noexecstack -z max-page-size=4096 -s

$(BUILD)/kernel-$(CC_KERNEL)/vdso.so: user/vdso/vdso.c user/vdso/vdso.ld user/vdso/build.mk \
        $(wildcard base/*.h) | $(BUILD)/.installed
	@mkdir -p $(@D)
	$(call say,$(CC_KERNEL),$<)
	$(Q)$(CC_KERNEL) $(VDSO_CFLAGS) -c -o $(@:.so=.o) $<
	@ld $(VDSO_LDFLAGS) -T user/vdso/vdso.ld -o $@ $(@:.so=.o)
