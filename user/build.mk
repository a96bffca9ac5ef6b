# Our own programs for the nodes: static musl executables in build/user/, which
# tools/mkinitrd.py puts into /bin. user/cmd/NAME.c becomes /bin/NAME; each other folder
# user/NAME/*.c one program of that name.
USER_CC ?= musl-gcc
USER_CFLAGS := -std=gnu11 -O2 -static -s -I. $(WARNINGS)
USER_CMDS := $(patsubst user/cmd/%.c,$(BUILD)/user/%,$(wildcard user/cmd/*.c))
USER_PROGRAMS += $(USER_CMDS)

$(USER_CMDS): $(BUILD)/user/%: user/cmd/%.c $(wildcard user/cmd/*.h) | $(BUILD)/.installed
	@mkdir -p $(@D)
	$(call say,$(USER_CC),$<)
	$(Q)$(USER_CC) $(USER_CFLAGS) -o $@ $<
