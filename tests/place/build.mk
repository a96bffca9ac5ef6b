# Placement measured: the simulator's table and plots, processes that share their CPUs, and
# the exact worst case with planted mistakes. All link the kernel's own sched/place*.c.
PLACE_RULE := sched/place.c sched/place_exec.c
PLACE_HEADERS := $(wildcard tests/place/*.h sched/place.h base/*.h)
PLACE_SEEDS ?= $(if $(ISTHMUS_LONG),1000,10)
PLACE_JOBS ?= 2
PLACE_PROGRAMS := $(BUILD)/place/exact $(BUILD)/place/sim $(BUILD)/place/herd
PLACE_CC = @mkdir -p $(@D); $(HOST_CC) $(HOST_CFLAGS) -O3 -o $@ $(filter %.c,$^) -lm

$(BUILD)/place/exact: tests/place/exact.c $(PLACE_RULE) $(PLACE_HEADERS) | $(BUILD)/.installed
	$(PLACE_CC)

$(BUILD)/place/sim: tests/place/sim.c tests/place/traces.c tests/place/policies.c \
        $(PLACE_RULE) $(PLACE_HEADERS) | $(BUILD)/.installed
	$(PLACE_CC)

$(BUILD)/place/herd: tests/place/herd.c tests/place/traces.c $(PLACE_RULE) $(PLACE_HEADERS) \
        | $(BUILD)/.installed
	$(PLACE_CC)

.PHONY: place place-test
place: $(PLACE_PROGRAMS) ## placement against the optimum: table, plots in build/place
	$(BUILD)/place/exact
	$(BUILD)/place/sim --seeds $(PLACE_SEEDS) --jobs $(PLACE_JOBS) --csv $(BUILD)/place/table.csv
	gnuplot -e "csv='$(BUILD)/place/table.csv'; to='$(BUILD)/place/'" tests/place/plot.gp
	@ls $(BUILD)/place/*.png

place-test: $(PLACE_PROGRAMS)
	@tests/place/run.sh $(BUILD) $(PLACE_SEEDS) $(PLACE_JOBS) $(if $(ISTHMUS_LONG),--long)
