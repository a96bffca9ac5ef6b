# The example of a file server: a static musl program.
KVD_C := $(wildcard user/kvd/*.c user/lib/*.c) proto/p9/p9_codec.c
USER_PROGRAMS += $(BUILD)/user/kvd

$(BUILD)/user/kvd: $(KVD_C) $(wildcard user/lib/*.h proto/p9/*.h base/*.h) | $(BUILD)/.installed
	@mkdir -p $(@D)
	$(call say,$(USER_CC),user/kvd)
	$(Q)$(USER_CC) $(USER_CFLAGS) -D_GNU_SOURCE -o $@ $(KVD_C)
