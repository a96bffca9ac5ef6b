# Process 1; tools/mkinitrd.py puts /init beside /bin.
USER_PROGRAMS += $(BUILD)/user/init

$(BUILD)/user/init: user/init/init.c | $(BUILD)/.installed
	@mkdir -p $(@D)
	$(call say,$(USER_CC),$<)
	$(Q)$(USER_CC) $(USER_CFLAGS) -o $@ $<
