/* The tables of an ensemble of trees, whichever operator they come from. */
#ifndef INFER_GRAPH_OPS_ML_FOREST_H
#define INFER_GRAPH_OPS_ML_FOREST_H

#include "graph/ops/ml.h"
#include "kernels/trees.h"

/* As kernels/trees.h wants them; numbers in double until they become the type the kernel computes in. */
struct forest {
    int64_t nodes, leaves, entries, trees, members, targets;
    struct tree_node *node;
    double *splits, *member, *weights;
    int32_t *ends, *target, *roots;
    enum tree_aggregate aggregate;
};

/* Room for the counts that are filled in. */
enum status forest_allocate(struct op_context *c, struct forest *forest);
/* Checks the tables and emits the step; x is f32 or f64, which is what the kernel computes in, as is the output. */
enum status forest_emit(struct op_context *c, const struct forest *forest, struct value *x, struct value *output);

/* Reads the attributes of TreeEnsemble; of TreeEnsembleRegressor (prefix "target") or -Classifier ("class"). */
enum status forest_read(struct op_context *c, struct forest *forest);
enum status forest_read_old(struct op_context *c, const char *prefix, int64_t targets, struct forest *forest);

#endif
