# The kernel: every source below these folders, found by wildcard, so nothing lies dead.
# CC_KERNEL=gcc|clang chooses the compiler; each has its own folder of objects.
KERNEL_OBJ := $(BUILD)/kernel-$(CC_KERNEL)
KERNEL_C := $(sort $(wildcard kernel/*.c kernel/*/*.c mm/*.c sched/*.c proto/*/*.c drivers/*/*.c))
KERNEL_S := $(sort $(wildcard kernel/x86/*.S))
KERNEL_OBJS := $(KERNEL_C:%.c=$(KERNEL_OBJ)/%.o) $(KERNEL_S:%.S=$(KERNEL_OBJ)/%.o) \
    $(KERNEL_OBJ)/font.o
FONT := /usr/share/grub/unicode.pf2

KERNEL_FLAGS := -ffreestanding -mgeneral-regs-only -mno-red-zone -mcmodel=kernel -fno-pic \
    -fno-pie -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none \
    -fno-omit-frame-pointer -fno-optimize-sibling-calls -fno-strict-aliasing -O2 -g -m64
KERNEL_CFLAGS := -std=gnu11 -I. $(WARNINGS) $(KERNEL_FLAGS) $(KERNEL_DEFINES)
KERNEL_LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none \
    --no-warn-rwx-segments -T kernel/x86/kernel.ld

$(KERNEL_OBJ)/%.o: %.c kernel/build.mk | $(BUILD)/.installed
	@mkdir -p $(@D)
	$(call say,$(CC_KERNEL),$<)
	$(Q)$(CC_KERNEL) $(KERNEL_CFLAGS) -MMD -MP -c -o $@ $<

$(KERNEL_OBJ)/%.o: %.S kernel/build.mk | $(BUILD)/.installed
	@mkdir -p $(@D)
	$(call say,$(CC_KERNEL),$<)
	$(Q)$(CC_KERNEL) -I. $(KERNEL_FLAGS) -D__ASSEMBLER__=1 -MMD -MP -c -o $@ $<

$(BUILD)/gen/font.c: tools/gen_font.py | $(BUILD)/.installed
	@mkdir -p $(@D)
	@python3 tools/gen_font.py $(FONT) > $@

$(KERNEL_OBJ)/font.o: $(BUILD)/gen/font.c drivers/console/font.h
	@mkdir -p $(@D)
	@$(CC_KERNEL) $(KERNEL_CFLAGS) -c -o $@ $<

# Linked twice: the second time with the table of the symbols of the first, for
# backtraces. The table lies behind all text, so no address of text changes.
$(KERNEL_OBJ)/pass1.elf: $(KERNEL_OBJS) kernel/x86/kernel.ld
	@ld $(KERNEL_LDFLAGS) -o $@ $(KERNEL_OBJS) $(KERNEL_LIBS)

$(KERNEL_OBJ)/ksyms.o: $(KERNEL_OBJ)/pass1.elf tools/gen_ksyms.py
	@nm -n $< | python3 tools/gen_ksyms.py > $(@:.o=.S)
	@$(CC_KERNEL) -m64 -c -o $@ $(@:.o=.S)

$(KERNEL_OBJ)/isthmus.elf: $(KERNEL_OBJS) $(KERNEL_OBJ)/ksyms.o kernel/x86/kernel.ld
	@ld $(KERNEL_LDFLAGS) -o $@ $(KERNEL_OBJS) $(KERNEL_OBJ)/ksyms.o $(KERNEL_LIBS)

$(BUILD)/isthmus.elf: $(KERNEL_OBJ)/isthmus.elf
	@nm -n $< > $(BUILD)/isthmus.sym
	@cp $< $@

# The image of the vDSO lies beside the objects (user/vdso/build.mk).
$(KERNEL_OBJ)/kernel/x86/vdso_image.o: $(KERNEL_OBJ)/vdso.so
$(KERNEL_OBJ)/kernel/x86/vdso_image.o: KERNEL_FLAGS += -Wa,-I,$(KERNEL_OBJ)

-include $(KERNEL_OBJS:.o=.d)

.PHONY: kernel kernel-clang
kernel: $(BUILD)/isthmus.elf ## the kernel's ELF image, build/isthmus.elf
kernel-clang: ## the kernel built by clang, as a check
	@$(MAKE) CC_KERNEL=clang $(BUILD)/kernel-clang/isthmus.elf
