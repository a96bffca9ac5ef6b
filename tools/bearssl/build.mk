# BearSSL's HMAC-SHA-256, from Debian's source of a pinned version, built twice: with
# the kernel's flags for the kernel, and for host programs (the simulator, unit tests).
BEARSSL_VERSION := 0.6+dfsg.1-3
BEARSSL_TARBALL := bearssl_0.6+dfsg.1.orig.tar.xz
BEARSSL_SHA256 := 102a625bd8f6155260867a50c508df8d8c3f796985dd744df1a68e5cd1a79004
BEARSSL := $(BUILD)/third_party/bearssl
BEARSSL_FILES := mac/hmac hash/sha2small codec/enc32be codec/dec32be
BEARSSL_CPPFLAGS := -I$(BEARSSL)/inc -I$(BEARSSL)/src -DBR_AES_X86NI=0 -DBR_SSE2=0 -DBR_RDRAND=0 \
                    -DBR_USE_URANDOM=0 -DBR_USE_UNIX_TIME=0
BEARSSL_KERNEL_LIB := $(BUILD)/third_party/bearssl-kernel.a
BEARSSL_HOST_LIB := $(BUILD)/third_party/bearssl-host.a
KERNEL_LIBS += $(BEARSSL_KERNEL_LIB)

$(BEARSSL)/.complete: tools/bearssl/build.mk tools/fetch_source.sh | $(BUILD)/.installed
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,fetch,BearSSL $(BEARSSL_VERSION))
	$(Q)tools/fetch_source.sh bearssl $(BEARSSL_VERSION) $(BEARSSL_TARBALL) $(BEARSSL_SHA256) $(BEARSSL)

# A freestanding compiler has no <string.h>: ours is base/string.h under that name.
$(BUILD)/third_party/include/string.h:
	@mkdir -p $(@D)
	@echo '#include "base/string.h"' > $@

$(BEARSSL_KERNEL_LIB): $(BEARSSL)/.complete $(BUILD)/third_party/include/string.h
	@rm -f $@
	@for f in $(BEARSSL_FILES); do o=$(BUILD)/third_party/kernel-$$(basename $$f).o; \
	    $(CC_KERNEL) -std=gnu11 -O2 -ffreestanding -fno-pic -mcmodel=kernel -mno-red-zone \
	        -mgeneral-regs-only -fno-stack-protector -fno-asynchronous-unwind-tables -fno-omit-frame-pointer \
	        -I. -I$(BUILD)/third_party/include $(BEARSSL_CPPFLAGS) \
	        -c -o $$o $(BEARSSL)/src/$$f.c && ar rc $@ $$o || exit 1; done

$(BEARSSL_HOST_LIB): $(BEARSSL)/.complete
	@rm -f $@
	@for f in $(BEARSSL_FILES); do o=$(BUILD)/third_party/host-$$(basename $$f).o; \
	    $(HOST_CC) -std=gnu11 -O1 -g $(BEARSSL_CPPFLAGS) -c -o $$o $(BEARSSL)/src/$$f.c && \
	    ar rc $@ $$o || exit 1; done

# The kernel's one file that includes BearSSL's headers, for the kernel and its unit test.
HMAC_CPPFLAGS := -isystem $(BEARSSL)/inc
$(KERNEL_OBJ)/kernel/hmac.o: KERNEL_CFLAGS += $(HMAC_CPPFLAGS) -isystem $(BUILD)/third_party/include
$(KERNEL_OBJ)/kernel/hmac.o: $(BEARSSL)/.complete $(BUILD)/third_party/include/string.h
$(KERNEL_OBJ)/pass1.elf $(KERNEL_OBJ)/isthmus.elf: $(KERNEL_LIBS)

$(BUILD)/unit/test_hmac: tests/unit/test_hmac.c kernel/hmac.c kernel/hmac.h $(BEARSSL_HOST_LIB)
	@mkdir -p $(@D)
	$(HOST_CC) $(HOST_CFLAGS) $(SANITIZE) $(HMAC_CPPFLAGS) -o $@ $(filter %.c %.a,$^) \
	    $$(pkg-config --cflags --libs check)
