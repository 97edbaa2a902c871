/* Whether a graph can run at all, as far as that shows without its inputs. */
#ifndef INFER_RUNTIME_COMPILE_TRIAL_H
#define INFER_RUNTIME_COMPILE_TRIAL_H

#include "graph/graph.h"

/* Makes steps of a copy of the graph, as a run without passes would, and throws them away. Where the inputs' shapes are
 * all fixed, whatever fails is the error: no run can do better. Where some are not, it is tried with sizes of ours, and
 * only what is about types counts. What depends on data, on memory or on an input of no known rank is left for the run.
 */
enum status try_graph(const struct graph *graph, const struct allocator *allocator, struct error *error);

#endif
