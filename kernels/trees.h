/* Family trees: an ensemble of decision trees, applied to rows of features. */
#ifndef INFER_KERNELS_TREES_H
#define INFER_KERNELS_TREES_H

#include "kernels/kernel.h"

enum tree_mode { TREE_LEQ, TREE_LT, TREE_GTE, TREE_GT, TREE_EQ, TREE_NEQ, TREE_MEMBER };
enum tree_aggregate { TREE_AVERAGE, TREE_SUM, TREE_MIN, TREE_MAX };

/* An inner node, as input 1 holds them. A branch is the index of a node, or ~ the index of a leaf. */
struct tree_node {
    int32_t feature, mode; /* enum tree_mode */
    int32_t missing;       /* 1: a NaN takes the true branch */
    int32_t yes, no;
    int32_t first_member, members; /* TREE_MEMBER: part of input 3 */
};

enum trees_input {
    TREES_ROWS,      /* [rows, features] */
    TREES_NODES,     /* int32 [nodes, 7]: struct tree_node */
    TREES_SPLITS,    /* [nodes] */
    TREES_MEMBERS,   /* members of all sets, or absent */
    TREES_LEAF_ENDS, /* int32 [leaves + 1]: leaf i has entries [ends[i], ends[i + 1]) */
    TREES_TARGETS,   /* int32 an entry: the column of the output it counts for */
    TREES_WEIGHTS,   /* a weight an entry */
    TREES_ROOTS,     /* int32 a tree: a branch */
    TREES_INPUTS
};

/* Rows, splits, members and weights are of type dtype; no branch leads back. output: [rows, targets]. */
struct trees_params {
    int64_t rows, features, targets, trees;
    double most_work;  /* comparisons and entries of leaves, of all trees together, that a row can take */
    uint8_t aggregate; /* enum tree_aggregate */
    uint8_t dtype;     /* DTYPE_F32 or DTYPE_F64 */
};

#endif
