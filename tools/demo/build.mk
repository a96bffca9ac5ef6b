# The demo. It runs hashset on the host and, the same binary, in the nodes.
$(BUILD)/prog/hashset: tests/system/prog/hashset.c | $(BUILD)/.installed
	@mkdir -p $(@D)
	$(call say,musl-gcc,$<)
	$(Q)musl-gcc -std=gnu11 -O2 -static $(WARNINGS) -o $@ $<

.PHONY: demo
demo: iso $(BUILD)/prog/hashset ## boot four nodes and show the whole mission, verified step by step
	@tools/demo/demo.py
