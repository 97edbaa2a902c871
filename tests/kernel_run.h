/* Runs a kernel outside any program: planned, with just the workspace it asks for, filled with rubbish. */
#ifndef INFER_TESTS_KERNEL_RUN_H
#define INFER_TESTS_KERNEL_RUN_H

#include "kernels/kernel.h"

/* No CPU bits, one thread, no constant inputs: what leads to the reference kernels. */
extern const struct kernel_facts plain_facts;

/* Each task with a workspace of its own; packs are made before. A fault fails the test. */
void run_planned(const struct kernel *kernel, const struct kernel_plan *plan, const void *const *inputs,
                 void *const *outputs, bool backwards);
/* The kernel that the facts lead to; its tasks backwards. */
void run_problem(enum kernel_family family, const void *params, const struct kernel_facts *facts,
                 const void *const *inputs, void *const *outputs);

#endif
