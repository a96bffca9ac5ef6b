# The image, the launcher's targets, the tests. (The relay: tools/relay/build.mk.)
IMAGE_TOOLS := tools/mkimage.py tools/mkinitrd.py tools/cpio_newc.py
.SECONDEXPANSION:
# Our own programs for the nodes; user/build.mk adds to it.
USER_PROGRAMS ?=

$(BUILD)/initrd.cpio: tools/mkinitrd.py tools/cpio_newc.py $$(USER_PROGRAMS) | $(BUILD)/.installed
	python3 tools/mkinitrd.py $@ $(BUILD)/user

$(BUILD)/isthmus.iso: $(BUILD)/isthmus.elf $(BUILD)/initrd.cpio grub/grub.cfg $(IMAGE_TOOLS)
	python3 tools/mkimage.py base $@ $(BUILD)/isthmus.elf $(BUILD)/initrd.cpio grub/grub.cfg

.PHONY: iso
iso: $(BUILD)/isthmus.iso $(BUILD)/relay ## build/isthmus.iso, for BIOS and UEFI

.PHONY: stick
stick: iso ## build/stick.iso for real machines: CONF=cluster.conf [OPTIONS="..."]
	@test -f "$(CONF)" || { echo 'make stick CONF=FILE [OPTIONS="kernel options"]'; exit 1; }
	@python3 tools/mkimage.py run $(BUILD)/stick.iso $(BUILD)/isthmus.iso "$(CONF)" \
	    --options "$(OPTIONS)" --wait 3
	@echo "$(BUILD)/stick.iso: see docs/how-to/bare-metal.md"

.PHONY: run
run: iso ## a cluster of two with a shell on node 0
	./isthmus up --nodes 2

# Everything that groups run is built first: they run two at a time, and two makes must
# not build the same file.
.PHONY: tests-build
tests-build: $(BUILD)/.installed
	@$(MAKE) -j2 --no-print-directory $(BUILD)/relay iso linux-peer $(UNIT_TESTS) \
	    $(FUZZERS) $(BUILD)/sim $(STRESS_PROGRAMS) $(PLACE_PROGRAMS)

.PHONY: test
test: tests-build ## all tests, under 20 minutes on two cores
	@tests/run

.PHONY: test-long
test-long: tests-build ## the same at full size, with figures
	@tests/run --long

.PHONY: netboot
netboot: ## build/netboot/ (PXE): not yet
	@echo "make netboot: not yet: booting over the network comes with the issue that names it" >&2
	@exit 2
