# The simulator: the cluster's real machines, N nodes in one host program.
SIM_SOURCES := $(wildcard tests/sim/*.c) proto/cluster/node.c proto/cluster/adopt.c \
               proto/cluster/cluster_msg.c sched/dqueue.c
SIM_HEADERS := $(wildcard tests/sim/*.h proto/cluster/*.h sched/dqueue.h base/*.h)

$(BUILD)/sim: $(SIM_SOURCES) $(SIM_HEADERS) | $(BUILD)/.installed
	@mkdir -p $(@D)
	$(HOST_CC) $(HOST_CFLAGS) -O2 $(SANITIZE) -o $@ $(SIM_SOURCES)

SEED ?= 1
SEEDS ?= 300
.PHONY: sim
sim: $(BUILD)/sim ## the cluster simulator: SEED=1 SEEDS=300
	$(BUILD)/sim --seed $(SEED) --seeds $(SEEDS)
