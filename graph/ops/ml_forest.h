/* The tables of an ensemble of trees, whichever operator they come from. */
#ifndef INFER_GRAPH_OPS_ML_FOREST_H
#define INFER_GRAPH_OPS_ML_FOREST_H

#include "graph/ops/ml.h"
#include "kernels/trees.h"

/* As kernels/trees.h wants them; dtype is what the kernel computes in. */
struct forest {
    int64_t nodes, leaves, entries, trees, members, targets;
    struct tree_node *node;
    void *splits, *member, *weights; /* of type dtype */
    int32_t *ends, *target, *roots;
    enum tree_aggregate aggregate;
    enum dtype dtype;
};

/* Room for the counts that are filled in. */
enum status forest_allocate(struct op_context *c, struct forest *forest);
/* An entry of one of the tables of type dtype. */
static inline void forest_set(const struct forest *f, void *table, int64_t i, double number)
{
    if (f->dtype == DTYPE_F64)
        ((double *)table)[i] = number;
    else
        ((float *)table)[i] = (float)number;
}
/* Checks the tables and emits the step; x is of the forest's dtype, f32 or f64, and so is the output. */
enum status forest_emit(struct op_context *c, const struct forest *forest, struct value *x, struct value *output);

/* Reads the attributes of TreeEnsemble; of TreeEnsembleRegressor (prefix "target") or -Classifier ("class"). The dtype
 * and, for the latter two, the targets are filled in. */
enum status forest_read(struct op_context *c, struct forest *forest);
enum status forest_read_old(struct op_context *c, const char *prefix, struct forest *forest);

/* A list of `count` integers, or an error. */
enum status forest_ints(struct op_context *c, const char *name, int64_t count, struct value *list);
static inline double forest_number(const struct value *list, int64_t i)
{
    double result = 0;
    value_number_at(list, i, &result);
    return result;
}
/* An index that cannot be one is made the greatest number, which is past the end of every table. */
static inline int32_t forest_index(int64_t index)
{
    return index >= 0 && index < INT32_MAX ? (int32_t)index : INT32_MAX;
}

#endif
