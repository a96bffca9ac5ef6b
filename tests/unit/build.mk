# Unit tests: one Check program for each tests/unit/test_NAME.c. The first lines of
# the test name the sources that it links:   // links: proto/roce/icrc.c base/x.c
# Built with sanitizers; `make unit` runs them all. Check's time-out only finds hangs.
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
UNIT_FAKES := $(wildcard tests/unit/fakes/*.c)
UNIT_HELPERS := $(wildcard tests/unit/*.h tests/unit/fakes/*.h)

unit_links = $(shell sed -n 's,^// links:,,p' $(1))

.SECONDEXPANSION:
$(BUILD)/unit/%: tests/unit/%.c $$(call unit_links,tests/unit/$$*.c) $(UNIT_FAKES) $(UNIT_HELPERS) $(wildcard base/*.h) | $(BUILD)/.installed
	@mkdir -p $(@D)
	$(call say,$(HOST_CC),$<)
	$(Q)$(HOST_CC) $(HOST_CFLAGS) $(SANITIZE) -MMD -MF $@.d -o $@ $(filter %.c,$^) \
	    $$(pkg-config --cflags --libs check)

-include $(wildcard $(BUILD)/unit/*.d)

.PHONY: unit
unit: $(UNIT_TESTS) ## the unit tests alone
	@set -e; for t in $(UNIT_TESTS); do CK_VERBOSITY=normal CK_DEFAULT_TIMEOUT=300 $$t; done
