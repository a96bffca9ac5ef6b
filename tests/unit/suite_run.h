// The end of every unit test's main.
#pragma once

#include <check.h>

// Runs the suite (CK_VERBOSITY says how loud) and frees it. Returns main's exit status.
static inline int suite_run(Suite *suite) {
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
