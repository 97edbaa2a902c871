/* What is chosen for a problem, kept in a committed table: a line of text for each problem, in tests/data/decisions.
 *
 * Results do not tell a good choice from another: a kernel, a cut into tasks, an order of steps or a place in the arena
 * that nobody meant gives the same numbers, later or in more memory. So the choices themselves are compared. Where they
 * are meant to change, `make decisions` writes the tables anew, and the lines that differ say what changed.
 *
 * Nothing in a line may depend on the machine, the compiler or its options. */
#ifndef INFER_TESTS_DECISIONS_H
#define INFER_TESTS_DECISIONS_H

#include "kernels/kernel.h"

#include <stdio.h>

/* A table in the making: write its lines to `file`, each with its end. */
struct decisions {
    const char *name;
    FILE *file;
    char *text;
    size_t bytes;
};

void decisions_begin(struct decisions *decisions, const char *name);
/* Fails the test at the first line that is not the table's; or, where INFER_RECORD_DECISIONS is set, writes the table.
 */
void decisions_end(struct decisions *decisions);

/* Facts of machines that stand for all: with vectors of 16 lanes, as plain C has them on any CPU, and of 8, whose
 * kernels plan and pack only where the CPU has AVX2 (have_8_lanes). They may be computed with. */
struct kernel_facts facts_of_16_lanes(int threads);
struct kernel_facts facts_of_8_lanes(int threads);
bool have_8_lanes(void);

#endif
