# The user-space Ethernet between the guests: one host program.
RELAY_SOURCES := $(wildcard tools/relay/*.c)

$(BUILD)/relay: $(RELAY_SOURCES) $(wildcard tools/relay/*.h) | $(BUILD)/.installed
	@mkdir -p $(@D)
	$(call say,$(HOST_CC),$<)
	$(Q)$(HOST_CC) $(HOST_CFLAGS) -O2 -o $@ $(RELAY_SOURCES)
