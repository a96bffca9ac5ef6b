# The ext4 file server: a static glibc program with Debian's libext2fs; and Debian's e2fsck,
# unmodified, which tools/mkinitrd.py puts beside it.
EXT4D_C := $(wildcard user/ext4d/*.c) proto/p9/p9_codec.c user/lib/panic.c
EXT4D_FLAGS := -pthread -std=gnu11 -D_GNU_SOURCE -I. $(WARNINGS)
USER_PROGRAMS += $(BUILD)/user/ext4d

$(BUILD)/user/ext4d: $(EXT4D_C) $(wildcard user/ext4d/*.h proto/p9/*.h base/*.h) | $(BUILD)/.installed
	@mkdir -p $(@D)
	$(call say,gcc,user/ext4d)
	$(Q)gcc $(EXT4D_FLAGS) -O2 -static -s -o $@ $(EXT4D_C) -lext2fs -lcom_err

# The same for the host, with sanitizers: tests feed it messages and damaged images.
$(BUILD)/host/ext4d: $(EXT4D_C) $(wildcard user/ext4d/*.h proto/p9/*.h base/*.h) | $(BUILD)/.installed
	@mkdir -p $(@D)
	$(call say,gcc,user/ext4d (host))
	$(Q)gcc $(EXT4D_FLAGS) -O1 -g $(SANITIZE) -o $@ $(EXT4D_C) -lext2fs -lcom_err
