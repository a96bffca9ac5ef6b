# SPIN: the queue and the hand-over in every state, and mutations that must be found.
.PHONY: model
model: | $(BUILD)/.installed ## the SPIN models and their mutations
	tests/model/run.sh $(BUILD)
