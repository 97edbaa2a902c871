/* Declares every suite of suites.def: a test file includes this, defines NAME_suite, and adds its line there. */
#ifndef INFER_TESTS_SUITES_H
#define INFER_TESTS_SUITES_H

#include <check.h>

#define SUITE(name) Suite *name##_suite(void);
#include "tests/suites.def"
#undef SUITE

#endif
