// Where boot.S hands over to C.
#pragma once

#include "base/types.h"

_Noreturn void kernel_main(u64 mbi_pa);
_Noreturn void ap_main(u32 index);
