# The simulator: the cluster's real machines, N nodes in one host program. Over RoCE each
# node runs the kernel's own cluster code, which keeps its state in globals: its objects
# are joined, and copied once a node with the names and the data section of that copy.
SIM_DIR ?= $(BUILD)/sim-obj
SIM_CFLAGS := $(HOST_CFLAGS) -O2 -fno-pie
SIM_SANITIZE ?= $(SANITIZE)
SIM_OUT ?= $(BUILD)/sim
SIM_PURE := $(wildcard proto/cluster/node*.c) proto/cluster/adopt.c proto/cluster/cluster_msg.c \
            proto/cluster/member.c proto/cluster/pulse.c proto/cluster/roster.c \
            proto/cluster/ask.c proto/cluster/clock.c proto/cluster/drive_read.c sched/dqueue.c \
            kernel/format.c kernel/hmac.c \
            $(wildcard proto/roce/*.c) $(filter-out %/testsvc.c,$(wildcard drivers/rdma/*.c))
SIM_OWN := $(filter-out tests/sim/vm%,$(wildcard tests/sim/*.c))
SIM_VM := $(wildcard tests/sim/vm*.c) mm/frame.c kernel/drive_cache.c kernel/remote_drive.c \
          $(filter-out %_status.c %_nodes.c,$(wildcard kernel/cluster*.c))
SIM_OBJ := $(patsubst %.c,$(SIM_DIR)/%.o,$(SIM_PURE) $(SIM_OWN))
SIM_VM_OBJ := $(patsubst %.c,$(SIM_DIR)/vm/%.o,$(SIM_VM))
SIM_COPIES := $(foreach k,0 1 2 3 4 5 6 7,$(SIM_DIR)/vm$(k).o)
SIM_VM_CFLAGS := -include tests/sim/vm_map.h -fno-common

$(SIM_OBJ): $(SIM_DIR)/%.o: %.c | $(BUILD)/.installed $(BUILD)/third_party/bearssl/.complete
	@mkdir -p $(@D)
	@$(HOST_CC) $(SIM_CFLAGS) $(SIM_SANITIZE) $(HMAC_CPPFLAGS) -MMD -MP -c -o $@ $<

$(SIM_VM_OBJ): $(SIM_DIR)/vm/%.o: %.c tests/sim/vm_map.h | $(BUILD)/.installed
	@mkdir -p $(@D)
	@$(HOST_CC) $(SIM_CFLAGS) $(SIM_SANITIZE) $(SIM_VM_CFLAGS) -MMD -MP -c -o $@ $<

$(SIM_DIR)/vm.o: $(SIM_VM_OBJ)
	ld -r -o $@ $^

$(SIM_COPIES): $(SIM_DIR)/vm%.o: $(SIM_DIR)/vm.o
	@nm --defined-only -g $< | awk '{print $$3, $$3 "_$*"}' > $@.syms
	objcopy --redefine-syms=$@.syms --rename-section .data=vm_data_$* \
	    --rename-section .bss=vm_bss_$*,alloc,load,data,contents $< $@

$(SIM_OUT): $(SIM_OBJ) $(SIM_COPIES) $(BUILD)/third_party/bearssl-host.a
	$(HOST_CC) $(SIM_CFLAGS) $(SIM_SANITIZE) -no-pie -o $@ $(filter %.o %.a,$^)

# The same without sanitizers, which runs three times as many seeds in a time.
.PHONY: sim-plain
sim-plain: | $(BUILD)/.installed
	$(MAKE) --no-print-directory SIM_DIR=$(BUILD)/sim-plain-obj SIM_SANITIZE= \
	    SIM_OUT=$(BUILD)/sim-plain $(BUILD)/sim-plain

-include $(SIM_OBJ:.o=.d) $(SIM_VM_OBJ:.o=.d)

SEED ?= 1
SEEDS ?= 300
TRANSPORT ?= roce
SIM_OPTIONS ?=
.PHONY: sim
sim: $(BUILD)/sim ## the cluster simulator: SEED=1 SEEDS=300 TRANSPORT=roce|model
	$(BUILD)/sim --transport $(TRANSPORT) --seed $(SEED) --seeds $(SEEDS) $(SIM_OPTIONS)
