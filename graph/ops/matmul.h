/* Products of matrices, as operators of several kinds have them. */
#ifndef INFER_GRAPH_OPS_MATMUL_H
#define INFER_GRAPH_OPS_MATMUL_H

#include "graph/op.h"
#include "kernels/matmul.h"

/* Inputs 0 and 1 as matrices: a vector on the left is a row, one on the right a column. Batch axes are broadcast. Sets
 * all but the types, D and zero points. */
enum status op_matmul_params(struct op_context *c, struct matmul_params *p);
/* The same by the attributes transA and transB of Gemm. */
enum status op_gemm_params(struct op_context *c, struct matmul_params *p);
/* One matrix on the right for a whole batch on the left: the batch becomes more rows. */
void op_merge_batch(struct matmul_params *p);
/* addend: what D is, a tensor that broadcasts to [m, n]. */
void op_gemm_addend(struct matmul_params *p, const struct value *addend);
/* Whether C fits [m, n]; NULL does. */
enum status op_gemm_check_addend(struct op_context *c, const struct matmul_params *p, const struct value *addend);

#endif
