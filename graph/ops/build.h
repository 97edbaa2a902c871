/* Short names for the nodes that composite operators are made of. All return NULL on failure, which op_built tells. */
#ifndef INFER_GRAPH_OPS_BUILD_H
#define INFER_GRAPH_OPS_BUILD_H

#include "graph/op.h"

/* A node of the default domain or of ours with attributes, which are copied. */
struct value *build_with(struct op_context *c, const char *name, int count, struct value *const *inputs,
                         int attribute_count, const struct attribute *attributes);
struct value *build_own(struct op_context *c, const char *name, int count, struct value *const *inputs,
                        int attribute_count, const struct attribute *attributes);
/* Those of the node's attributes that have one of the names, for a node that it is made of; room for `count`. Returns
 * how many there are. */
int build_attributes(const struct op_context *c, int count, const char *const *names, struct attribute *attributes);
struct value *build_number(struct op_context *c, enum dtype dtype, double number); /* a scalar constant */
struct value *build_ints(struct op_context *c, int count, const int64_t *ints);    /* a list */
struct value *build_iota(struct op_context *c, int64_t count, int rank, int axis); /* 0, 1, ... along an axis */
struct value *build_cast(struct op_context *c, struct value *x, enum dtype dtype);
struct value *build_as(struct op_context *c, struct value *x, enum dtype dtype); /* a cast where it needs one */
struct value *build_reshape(struct op_context *c, struct value *x, int rank, const int64_t *dims);
struct value *build_transpose(struct op_context *c, struct value *x, int rank, const int64_t *order);
struct value *build_select(struct op_context *c, struct value *condition, struct value *yes, struct value *no);
struct value *build_concat(struct op_context *c, struct value *a, struct value *b, int64_t axis);
/* Elements [begin, end) of an axis. */
struct value *build_slice(struct op_context *c, struct value *x, int64_t axis, int64_t begin, int64_t end);
struct value *build_expand(struct op_context *c, struct value *x, int rank, const int64_t *dims);
/* Folds one axis, which stays with size 1, by the operator of that name. */
struct value *build_reduce(struct op_context *c, const char *name, struct value *x, int64_t axis);
/* Folds all axes to a scalar. */
struct value *build_reduce_all(struct op_context *c, const char *name, struct value *x);
/* The last node of an expansion: its result is output i of the node that is expanded. Nothing where that is unwanted.
 */
enum status build_output(struct op_context *c, int i, struct value *x);

#endif
