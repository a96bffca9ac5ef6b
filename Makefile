# Isthmus: one door to everything. `make help` lists the targets.
#
# Each part has its own build.mk; this file has the tools, the flags and the doors.
SHELL := /bin/bash
BUILD ?= build
CC_KERNEL ?= gcc
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# One short line a step; V=1 shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' '$(notdir $(firstword $(1)))' '$(2)')

# The warnings of every C file here, kernel and host alike, with gcc and clang.
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wconversion -Wmissing-prototypes \
            -Wstrict-prototypes -Wold-style-definition -Wvla -Wundef -Wpointer-arith
HOST_CC ?= gcc
HOST_CFLAGS := -std=gnu11 -O1 -g -I. $(WARNINGS) -fno-omit-frame-pointer
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all

.PHONY: help
help: ## this list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | \
	    sed -E 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/' | sort | \
	    while IFS=$$'\t' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

# Packages first: every target that needs tools depends on this stamp.
$(BUILD)/.installed: tools/packages.txt tools/install.sh
	@mkdir -p $(BUILD)
	@tools/install.sh
	@touch $@

include $(wildcard */build.mk */*/build.mk)

.PHONY: clean
clean: ## remove everything that was built
	rm -rf $(BUILD)
