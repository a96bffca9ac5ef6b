# The microbenchmarks: a table, JSON and plots under build/bench/.
.PHONY: bench
bench: $(BUILD)/.installed ## microbenchmarks beside the Linux peer: table, JSON and plots
	@$(MAKE) --no-print-directory -s iso >/dev/null
	@$(MAKE) --no-print-directory linux-peer >/dev/null
	@bench/run
