# Threads on the queue's machines: plain, and under the thread sanitizer.
STRESS_SOURCES := tests/stress/dqueue_stress.c sched/dqueue.c tests/unit/fakes/panic.c
STRESS_PROGRAMS := $(BUILD)/dqueue_stress $(BUILD)/dqueue_stress_tsan

$(BUILD)/dqueue_stress: $(STRESS_SOURCES) $(wildcard sched/dqueue.h base/*.h) tests/unit/cpu_words.h | $(BUILD)/.installed
	@mkdir -p $(@D)
	$(HOST_CC) $(HOST_CFLAGS) -O2 -pthread -o $@ $(STRESS_SOURCES)

$(BUILD)/dqueue_stress_tsan: $(STRESS_SOURCES) $(wildcard sched/dqueue.h base/*.h) tests/unit/cpu_words.h | $(BUILD)/.installed
	@mkdir -p $(@D)
	$(HOST_CC) $(HOST_CFLAGS) -O2 -pthread -fsanitize=thread -o $@ $(STRESS_SOURCES)
