// HMAC-SHA-256, for the join.
#pragma once

#include "base/types.h"

void hmac_sha256(const u8 key[32], const void *bytes, u32 len_bytes, u8 mac[32]);
