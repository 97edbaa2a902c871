/* Runs of random graphs: without passes, with them, and with them and strips, or images in channels-last order. */
#ifndef INFER_TESTS_RANDOM_GRAPH_RUNS_H
#define INFER_TESTS_RANDOM_GRAPH_RUNS_H

#include "tests/random_graph.h"

#include <stdio.h>

/* "" where the results of all ways agree: within 1e-4 of the largest magnitude of an output, since folded weights and
 * recognised forms round elsewhere; where one is NaN, infinite or huge, so must the other be, and what is made of such
 * numbers is not compared: a recognised form need not overflow where its parts do. An optimised file must give the bits
 * that its passes give in a session, on the reference kernels. Otherwise a sentence on the first difference, in `text`.
 * A damaged graph may be refused; all that is asked then is that each run ends. */
const char *random_graph_compare(const struct random_graph *random, char *text, size_t bytes);

/* Writes a line for each way and output: LABEL, WAY, THREADS, OUTPUT, TYPE, SHAPE and HASH with a tab between two. The
 * hash is XXH64 of all bytes, so of the bits of NaN too; a run that fails has one line, with its status instead. False
 * where the graph does not make a model that opens. */
bool random_graph_hash(const struct random_graph *random, const char *label, FILE *file);

#endif
