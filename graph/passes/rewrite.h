/* How a pass over nodes is written: a function that is shown each node in topological order and may look back at what
 * makes its inputs, and change it. What nobody reads any more is dropped afterwards. */
#ifndef INFER_GRAPH_PASSES_REWRITE_H
#define INFER_GRAPH_PASSES_REWRITE_H

#include "graph/op.h"
#include "graph/passes/passes.h"

#include <string.h>

struct rewriter {
    struct op_context c; /* node: the one under the visit; op_constant and op_error take it */
    struct pass_context *context;
    struct node **makers;        /* by value id */
    int *readers;                /* by value id: reads by nodes, and one more for what is read from outside */
    struct value **replacements; /* by value id */
    const struct node **unread;  /* room for the nodes that lose their last reader */
    int capacity;                /* of the three */
    bool dropped;                /* the visited node is not kept */
    void *user;                  /* what the pass remembers from one node to the next */
};

/* Shown are the nodes whose first output somebody wants. */
typedef enum status rewrite_visit(struct rewriter *r, struct node *node);

enum status rewrite_graph(struct graph *graph, struct pass_context *context, rewrite_visit *visit, struct error *error);
enum status rewrite_graph_with(struct graph *graph, struct pass_context *context, rewrite_visit *visit, void *user,
                               struct error *error);

/* --- looking --------------------------------------------------------------------------------------------- */

/* The node that makes the value; NULL: none (an input, a constant), or not this operator of the default domain. */
struct node *rewrite_maker(const struct rewriter *r, const struct value *value, const char *name);
/* The same, where the visited node alone reads the value: the maker may be taken in. */
struct node *rewrite_sole_maker(const struct rewriter *r, const struct value *value, const char *name);
/* One operand reads it, and it does not leave the graph. */
bool rewrite_sole(const struct rewriter *r, const struct value *value);
/* Something reads it, or it leaves the graph. */
bool rewrite_is_read(const struct rewriter *r, const struct value *value);
/* A constant of one element; its number. */
bool rewrite_scalar(const struct value *value, double *number);
/* The input of a two-input node that is not `other`; NULL: `other` is not among them, or is both. */
struct value *rewrite_other_input(const struct node *node, const struct value *other);
/* The value's type and rank are what they say. While shapes are unknown, those of a value that a node makes are no more
 * than what the file declares, which nothing has checked. */
bool rewrite_is_sure(const struct rewriter *r, const struct value *value);
/* NONE where it is not sure. */
enum dtype rewrite_dtype(const struct rewriter *r, const struct value *value);
/* What is known of the shape of a value whatever the shapes of the graph's inputs; dims are -1 where it is not. False:
 * not even the rank is. */
bool rewrite_shape(const struct rewriter *r, const struct value *value, int *rank, int64_t *dims);

/* --- changing -------------------------------------------------------------------------------------------- */

/* The visited node stands for the ONNX nodes of `absorbed` too; a list that would be longer than 128 stays as it is. */
enum status rewrite_absorb(struct rewriter *r, struct node *node, const struct node *absorbed);
/* The visited node makes the same outputs by another operator. Arrays are copied, attributes' contents are not. */
enum status rewrite_as(struct rewriter *r, struct node *node, const struct op *op, int input_count,
                       struct value *const *inputs, int attribute_count, const struct attribute *attributes);
/* Input i of a node is another value. */
void rewrite_input(struct rewriter *r, struct node *node, int i, struct value *value);
/* A new node before the visited one; its output, with type and shape where those of the inputs are known. It stands for
 * the visited node's ONNX nodes, so absorb first. NULL: r->c.error says why. */
struct value *rewrite_build(struct rewriter *r, const struct op *op, int input_count, struct value *const *inputs,
                            int attribute_count, const struct attribute *attributes);
/* A copy of a node with one output that reads other inputs: a new node before the visited one too, but it stands for
 * what the other node stands for. */
struct value *rewrite_copy(struct rewriter *r, const struct node *node, int input_count, struct value *const *inputs);
/* A constant of the graph, within the limit on constants; `data` is copied. NULL: r->c.error says why. */
struct value *rewrite_constant(struct rewriter *r, enum dtype dtype, int rank, const int64_t *dims, const void *data);
/* The same, to be filled by the caller: its bytes are at *data. */
struct value *rewrite_buffer(struct rewriter *r, enum dtype dtype, int rank, const int64_t *dims, void **data);
/* The limit on constants leaves so many bytes: a pass that only saves time asks before it makes a constant. */
bool rewrite_fits(const struct rewriter *r, size_t bytes);
/* An output of the visited node that is not read from outside is `value`: later readers take that instead. */
void rewrite_replace(struct rewriter *r, const struct value *output, struct value *value);
/* Output 0 of the visited node is `value`: later readers take that instead, and the node goes; where its name is read
 * from outside, it becomes an Identity. */
enum status rewrite_forward(struct rewriter *r, struct node *node, struct value *value);
/* The visited node's outputs, none of them read from outside, are those of another node, and it goes. */
enum status rewrite_merge(struct rewriter *r, struct node *node, const struct node *other);

#endif
