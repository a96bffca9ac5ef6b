# The verbs programs of the Linux peer, and the peer's image (Debian's kernel, rdma-core).
INTEROP_PROGRAMS := $(BUILD)/interop/client $(BUILD)/interop/server
INTEROP_SHARED := tests/interop/scratch.c

$(INTEROP_PROGRAMS): $(BUILD)/interop/%: tests/interop/%.c $(INTEROP_SHARED) \
        tests/interop/scratch.h | $(BUILD)/.installed
	@mkdir -p $(@D)
	$(HOST_CC) $(HOST_CFLAGS) -o $@ $(filter %.c,$^) -lrdmacm -libverbs

$(BUILD)/linux-peer/initramfs.cpio: tools/linux_peer.py tools/linux_image.py tools/cpio_newc.py \
        $(INTEROP_PROGRAMS) tests/interop/peer_init.sh | $(BUILD)/.installed
	python3 tools/linux_image.py $(BUILD)

.PHONY: linux-peer
linux-peer: $(BUILD)/linux-peer/initramfs.cpio ## the Linux guest of the interop tests
