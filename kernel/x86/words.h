// Shared words where the CPU's LOCK and the card agree: soft RoCE runs on this CPU.
#pragma once

#include "base/shared64.h"

extern const struct word_ops cpu_word_ops;
