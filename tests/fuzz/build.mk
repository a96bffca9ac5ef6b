# Fuzz targets: one libFuzzer program for each tests/fuzz/fuzz_NAME.c, whose first lines
# name the sources that it links:   // links: proto/roce/packet.c base/x.c
# `make fuzz` gives each a fixed number of runs from a fixed seed and prints TAP; a failing
# input stays in build/fuzz/. To fuzz on: build/fuzz/fuzz_NAME DIRECTORY
FUZZ_CC ?= clang
FUZZ_RUNS ?= $(if $(ISTHMUS_LONG),5000000,200000)
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_FLAGS := -std=gnu11 -O1 -g -I. $(WARNINGS) -fsanitize=fuzzer,address,undefined \
              -fno-sanitize-recover=all -fno-omit-frame-pointer

fuzz_links = $(shell sed -n 's,^// links:,,p' $(1))

.SECONDEXPANSION:
$(BUILD)/fuzz/%: tests/fuzz/%.c $$(call fuzz_links,tests/fuzz/$$*.c) tests/unit/fakes/panic.c $(wildcard base/*.h) | $(BUILD)/.installed
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_FLAGS) -MMD -MF $@.d -o $@ $(filter %.c,$^)

-include $(wildcard $(BUILD)/fuzz/*.d)

.PHONY: fuzz
fuzz: $(FUZZERS) ## any bytes into the parsers and the machines
	@n=0; for f in $(FUZZERS); do n=$$((n + 1)); \
	    if $$f -seed=1 -runs=$(FUZZ_RUNS) -max_len=4096 -artifact_prefix=$$f- \
	           >$$f.log 2>&1; then echo "ok $$n - $${f##*/}: $(FUZZ_RUNS) inputs"; \
	    else echo "not ok $$n - $${f##*/}: see $$f.log"; tail -20 $$f.log >&2; fi; done
