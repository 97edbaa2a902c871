/* What an operator is, and the tools with which graph/ops/ is written.
 *
 * An operator is a name, an arity and up to three functions, each given an op_context for one node:
 *   shapes  checks types and attributes, sets the type and shape of every output (op_set_output). When a shape depends
 *           on the content of an input, it asks op_need (or op_ints, op_doubles) and passes on STATUS_NEEDS_VALUE.
 *   lower   emits kernel calls (op_emit) that compute the outputs; every shape is known by then. All checks of ranks,
 *           sizes and types are done here or in shapes: kernels trust what they get.
 *   expand  instead of lower: replaces the node by simpler ones (op_build). Called after shapes.
 */
#ifndef INFER_GRAPH_OP_H
#define INFER_GRAPH_OP_H

#include "graph/control.h"
#include "kernels/convert.h"
#include "kernels/copy.h"
#include "kernels/kernel.h"
#include "kernels/pointwise.h"

#include <string.h>

#define ANY_COUNT INT16_MAX /* max_inputs or max_outputs of a variadic operator */

enum op_flags {
    OP_RANDOM = 1,      /* not a function of its inputs: never folded, never merged with its like */
    OP_HALF_AS_F32 = 2, /* `lower` never sees f16 or bf16: see op_expand_as_f32 */
    OP_ELEMENTWISE = 4, /* an element of the result comes from the elements at its place in the inputs, broadcast */
    /* Lists among its attributes may be millions long. Each may be a tensor of rank 1 instead, which lies in a file as
     * weights do: floats as float32, integers as any type of integers; of strings, the tensor has the place of each
     * among the strings of a second attribute, called as the list with OP_WORDS behind. */
    OP_LISTS_AS_TENSORS = 8,
    OP_LOOSE_INPUTS = 16,    /* any input may be absent: `shapes` says which, and no pass may look at them unasked */
    OP_TAKES_SEQUENCES = 32, /* an input may be a sequence or an optional: no other operator ever sees one */
    OP_MAKES_SEQUENCES = 64, /* an output is one */
};
#define OP_WORDS ".words"

/* What lowering makes: a kernel call, or, with `control`, the runs of a body. All pointers are the giver's but those to
 * values, to the node and to the body. */
struct emission {
    enum kernel_family family;
    const void *params;
    size_t params_bytes;
    const struct control *control;
    int input_count, output_count;
    struct value *const *inputs, *const *outputs;
    uint32_t in_place; /* bit i: output 0 may be written where input i lies, element for element */
    const struct node *node;
};

/* Takes emissions one by one; operators need not know what becomes of them. */
struct receiver {
    enum status (*take)(struct receiver *receiver, const struct emission *emission, struct error *error);
};

struct op_context {
    struct graph *graph; /* where new values and nodes go */
    struct node *node;
    struct error *error;
    const struct value *needed;       /* set along with STATUS_NEEDS_VALUE */
    struct graph *expansion;          /* expand: receives the nodes (values still go to `graph`) */
    struct receiver *receiver;        /* lower: takes what is emitted */
    const struct kernel_facts *facts; /* lower: what kernels there may be */
};

/* An attribute that an operator has: a row of ops.def. */
#define ATTRIBUTE_TYPE 9 /* one more kind, which no node ever has: Optional's is left out at import */
enum op_presence { ATTRIBUTE_OPTIONAL, ATTRIBUTE_REQUIRED, ATTRIBUTE_DEFAULT };
#define OPSET_END INT8_MAX
struct op_attribute {
    const char *name;
    union { /* of ATTRIBUTE_DEFAULT: what it is where a node leaves it out */
        int64_t i;
        float f;
        const char *string;
        const int64_t *ints;
        const char *const *strings;
    };
    int8_t since, until; /* in opsets of the operator's domain: since <= opset < until; OPSET_END: up to the newest */
    uint8_t kind;        /* enum attribute_kind, or ATTRIBUTE_TYPE */
    uint8_t presence;    /* enum op_presence */
    uint8_t count;       /* of ints or strings */
};
/* The rows of all operators, one after the other, and where each operator's begin and end. */
extern const struct op_attribute op_attributes[];
#define OPTIONAL(...) +1
#define REQUIRED(...) +1
#define INT(...) +1
#define FLOAT(...) +1
#define TEXT(...) +1
#define LIST(...) +1
#define WORDS(...) +1
#define OP(name, rows) FIRST_ATTRIBUTE_OF_##name, LAST_ATTRIBUTE_OF_##name = FIRST_ATTRIBUTE_OF_##name - 1 rows,
enum {
#include "graph/ops.def"
    OP_ATTRIBUTE_COUNT
};
#undef OP
#undef OPTIONAL
#undef REQUIRED
#undef INT
#undef FLOAT
#undef TEXT
#undef LIST
#undef WORDS
/* Initialises an operator's list. */
#define ATTRIBUTES_OF(name) .first_attribute = FIRST_ATTRIBUTE_OF_##name, .attributes_end = LAST_ATTRIBUTE_OF_##name + 1

struct op {
    const char *domain; /* "" for ai.onnx */
    const char *name;
    /* The first min_inputs are required, and all where max_inputs is ANY_COUNT (but see OP_LOOSE_INPUTS): a node
     * without them is refused before anything looks at it, so neither passes nor the functions below check. */
    int16_t min_inputs, max_inputs, min_outputs, max_outputs;
    uint16_t flags;
    uint16_t first_attribute, attributes_end; /* of op_attributes */
    int16_t detail;                           /* for functions that serve a whole family: an opcode, a mode */
    enum status (*shapes)(struct op_context *);
    enum status (*lower)(struct op_context *);
    enum status (*expand)(struct op_context *);
};

/* An operator of the default domain. Trailing arguments are further designated initialisers (.flags, .detail). */
#define OPERATOR(op_name, inputs_least, inputs_most, outputs_least, outputs_most, shapes_function, ...) \
    const struct op op_##op_name = {                                                                    \
        .domain = "",                                                                                   \
        .name = #op_name,                                                                               \
        .min_inputs = (inputs_least),                                                                   \
        .max_inputs = (inputs_most),                                                                    \
        .min_outputs = (outputs_least),                                                                 \
        .max_outputs = (outputs_most),                                                                  \
        ATTRIBUTES_OF(op_name),                                                                         \
        .shapes = (shapes_function),                                                                    \
        __VA_ARGS__,                                                                                    \
    };

/* NULL: no such operator here. domain "ai.onnx" is the same as "". */
const struct op *op_find(const char *domain, const char *name);
/* The node (NULL: none) is this operator of the default domain. */
static inline bool is_op(const struct node *node, const char *name)
{
    /* Most have another first letter, which tells without a call. */
    return node && node->op->name[0] == name[0] && node->op->domain[0] == '\0' && strcmp(node->op->name, name) == 0;
}
static inline const struct op_attribute *op_first_attribute(const struct op *op)
{
    return op_attributes + op->first_attribute;
}
static inline const struct op_attribute *op_attributes_end(const struct op *op)
{
    return op_attributes + op->attributes_end;
}
/* All operators, by index, for listings; NULL past the last. */
const struct op *op_at(size_t index);
/* The newest opset of the default domain this runtime knows. */
#define NEWEST_OPSET 28
/* An attribute of ours, of MaxUnpool: its indices are a MaxPool's, and count in the output that is asked for. */
#define MAX_UNPOOL_POSITIONS "positions_in_output"
/* The domain of operators that are our own: for expansions and passes, though a model may name them too. */
#define OWN_DOMAIN "infer"

/* --- errors ---------------------------------------------------------------------------------------------- */

/* "node 'conv1' (Conv): ..." */
enum status op_error(struct op_context *c, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same about element types, whatever the shapes are. */
enum status op_type_error(struct op_context *c, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum status op_no_memory(struct op_context *c);

/* Return early on failure: TRY(op_need(c, 1)); */
#define TRY(call)                        \
    do {                                 \
        enum status try_status = (call); \
        if (try_status != STATUS_OK)     \
            return try_status;           \
    } while (0)

/* --- operands -------------------------------------------------------------------------------------------- */

/* NULL: absent (not given, or beyond the last). */
static inline struct value *op_input(const struct op_context *c, int i)
{
    return i < c->node->input_count ? c->node->inputs[i] : NULL;
}
static inline struct value *op_output(const struct op_context *c, int i)
{
    return i < c->node->output_count ? c->node->outputs[i] : NULL;
}
/* Type and shape of output i; checks that the element count fits. Absent outputs are skipped. */
enum status op_set_output(struct op_context *c, int i, enum dtype dtype, int rank, const int64_t *dims);
/* The same for an output whose true dimensions are known only after the run; `dims` are its upper bounds, and rank -1
 * says that not even those are known (outputs of a Loop); then `dtype` may be NONE too. */
enum status op_set_output_at_run(struct op_context *c, int i, enum dtype dtype, int rank, const int64_t *dims);
/* Output 0 has the type and shape of input 0. */
enum status op_shapes_as_input(struct op_context *c);
/* Output 0 has the shape that another operator of the default domain would give it, at NEWEST_OPSET and with this
 * node's attributes, of other inputs, whose types and shapes alone matter; its type is `dtype`, or NONE: the one that
 * it would have too. */
enum status op_shapes_like(struct op_context *c, const char *name, int count, struct value *const *inputs,
                           enum dtype dtype);
/* Output i is a list (copied); absent outputs are skipped. An operator that needs no nodes to make it does this in
 * `shapes`, any other in `expand`. */
enum status op_set_list(struct op_context *c, int i, const struct value_list *list);
/* Content of output i, where it is known from shapes alone (Shape, Size, Constant); after op_set_output. Not copied. */
void op_set_data(struct op_context *c, int i, const void *data);

/* One bit a dtype. */
#define TYPE(dtype) (1u << (dtype))
#define TYPES_F32_F64 (TYPE(DTYPE_F32) | TYPE(DTYPE_F64))
#define TYPES_FLOAT (TYPES_F32_F64 | TYPE(DTYPE_F16) | TYPE(DTYPE_BF16))
#define TYPES_SIGNED (TYPE(DTYPE_I8) | TYPE(DTYPE_I16) | TYPE(DTYPE_I32) | TYPE(DTYPE_I64))
#define TYPES_UNSIGNED (TYPE(DTYPE_U8) | TYPE(DTYPE_U16) | TYPE(DTYPE_U32) | TYPE(DTYPE_U64))
#define TYPES_INTEGER (TYPES_SIGNED | TYPES_UNSIGNED)
#define TYPES_NUMERIC (TYPES_FLOAT | TYPES_INTEGER)
#define TYPES_INDEX (TYPE(DTYPE_I32) | TYPE(DTYPE_I64))
#define TYPES_FIXED (TYPES_NUMERIC | TYPE(DTYPE_BOOL)) /* whole bytes, comparable */
#define TYPES_BYTES                                                                                     \
    (TYPES_FIXED | TYPE(DTYPE_C64) | TYPE(DTYPE_C128) | TYPE(DTYPE_F8E4M3FN) | TYPE(DTYPE_F8E4M3FNUZ) | \
     TYPE(DTYPE_F8E5M2) | TYPE(DTYPE_F8E5M2FNUZ) | TYPE(DTYPE_F8E8M0)) /* whole bytes, movable */
/* Input i is present and its type is in the set; "input 1 is uint8; it may be float32 or float64". */
enum status op_require(struct op_context *c, int i, unsigned types);
/* The same, but an absent input is fine. */
enum status op_allow(struct op_context *c, int i, unsigned types);
enum status op_require_rank(struct op_context *c, int i, int least, int most);
/* Input i is absent, or of one of the types and a list (rank 1) of `count` elements. */
enum status op_allow_list(struct op_context *c, int i, unsigned types, int64_t count);

/* --- contents of inputs that shapes depend on ------------------------------------------------------------ */

/* Input i, present, must be constant: STATUS_NEEDS_VALUE otherwise. */
enum status op_need(struct op_context *c, int i);
/* Reads input i (any integer type, at most `most` elements) as int64. An absent input gives count -1. */
enum status op_ints(struct op_context *c, int i, int most, int64_t *values, int *count);
/* One element of a constant as int64 (any integer type, bool) or as double (those and f16 to f64); false for a type
 * that cannot be read so. */
bool value_integer_at(const struct value *value, int64_t index, int64_t *result);
bool value_number_at(const struct value *value, int64_t index, double *result);
/* Reads input i (f16 to f64, integers) as double. An absent input gives count -1. */
enum status op_doubles(struct op_context *c, int i, int most, double *values, int *count);

/* --- attributes ------------------------------------------------------------------------------------------ */

/* The row for the opset. Where none is for it, the one that comes next, or else the last: an attribute came with the
 * default that means what was before. NULL: the operator never has it. */
const struct op_attribute *op_attribute(const struct op *op, int version, const char *name);
/* As ONNX calls it: "FLOATS". */
const char *attribute_kind_name(int kind);
/* The node's, or the default, or else 0 or "". */
int64_t op_int(const struct op_context *c, const char *name);
float op_float(const struct op_context *c, const char *name);
const char *op_string(const struct op_context *c, const char *name);
/* The same of a node, for passes. */
int64_t node_int(const struct node *node, const char *name);
float node_float(const struct node *node, const char *name);
const char *node_string(const struct node *node, const char *name);
/* For an attribute without a constant default: `fallback` where the node leaves it out. */
int64_t op_int_or(const struct op_context *c, const char *name, int64_t fallback);
float op_float_or(const struct op_context *c, const char *name, float fallback);
const char *op_string_or(const struct op_context *c, const char *name, const char *fallback);
/* *count is -1 and the result NULL where there is neither the node's nor a default. */
const int64_t *op_int_list(const struct op_context *c, const char *name, int *count);
const float *op_float_list(const struct op_context *c, const char *name, int *count);
const struct graph *op_graph(const struct op_context *c, const char *name);
/* The node itself has it. */
bool op_has(const struct op_context *c, const char *name);

/* Negative axes count from the end; one out of range is an error that names `what`. */
enum status op_axis(struct op_context *c, const char *what, int64_t axis, int rank, int *result);
/* Axes from the attribute (older opsets) or from input `input` (newer), normalised, unique. count -1: none given. */
enum status op_axes(struct op_context *c, const char *attribute, int input, int rank, int *axes, int *count);
/* Numpy broadcasting of the shapes of `count` values. */
enum status op_broadcast(struct op_context *c, int count, struct value *const *values, int *rank, int64_t *dims);

/* --- lowering -------------------------------------------------------------------------------------------- */

int64_t value_elements(const struct value *value); /* of a known shape */
size_t value_bytes(const struct value *value);
/* Row-major strides in elements. */
void contiguous_strides(int rank, const int64_t *dims, int64_t *strides);
/* Strides of `value` seen as a tensor of the broadcast shape: 0 where it repeats. */
void broadcast_strides(const struct value *value, int rank, int64_t *strides);

/* Emits a kernel call; an error names the type where no kernel supports it. Inputs may be NULL where the family allows
 * it. in_place: see struct emission. */
enum status op_emit(struct op_context *c, enum kernel_family family, const void *params, size_t params_bytes,
                    int input_count, struct value *const *inputs, int output_count, struct value *const *outputs,
                    uint32_t in_place);
/* A value between two steps of one node. NULL: no memory. */
struct value *op_temporary(struct op_context *c, enum dtype dtype, int rank, const int64_t *dims);
/* `output` has the same bytes as `input`, from `offset` (bytes) on: no step, the same memory. */
enum status op_alias(struct op_context *c, struct value *output, struct value *input, size_t offset);
/* A copy step over the whole of a box: fill in dims, strides and offsets; element_bytes is set from the types. */
enum status op_copy(struct op_context *c, struct value *input, struct value *output, struct copy_params *params);
/* A conversion step between any two types the pointwise family knows; `saturate` is for small floats. Rounds F8E8M0
 * up; op_cast_rounding takes a choice. */
enum status op_cast(struct op_context *c, struct value *input, struct value *output, bool saturate);
enum status op_cast_rounding(struct op_context *c, struct value *input, struct value *output, bool saturate,
                             enum e8m0_rounding rounding);
/* A pointwise step: operands of `params` get strides and types from the values. `params` holds the code (registers
 * 0..input_count-1 are the inputs), and the output registers. */
enum status op_pointwise(struct op_context *c, struct pointwise_builder *params, struct value *const *inputs,
                         struct value *const *outputs);
/* The same, where the builder says it all. */
enum status op_emit_pointwise(struct op_context *c, const struct pointwise_builder *builder,
                              struct value *const *inputs, struct value *const *outputs);

/* Constants that an operator makes up; NULL: no memory. `data` is copied. */
struct value *op_constant(struct op_context *c, enum dtype dtype, int rank, const int64_t *dims, const void *data);
struct value *op_constant_ints(struct op_context *c, int count, const int64_t *ints); /* a list */
struct value *op_constant_scalar(struct op_context *c, enum dtype dtype, double number);

/* --- expansion: nodes in place of the node --------------------------------------------------------------- */

struct op_build_options {
    const char *domain;                 /* NULL: the default one */
    struct value *output;               /* NULL: a new value */
    const struct attribute *attributes; /* copied */
    int attribute_count;
};
/* Adds a node, at NEWEST_OPSET in the default domain, with one output, which it returns; NULL on failure, and then
 * c->error says why. A NULL among the inputs is an absent one if `count` says so; build calls may be nested, since a
 * failure inside makes the outer call fail: use op_built to tell. */
struct value *op_build(struct op_context *c, const char *name, int count, struct value *const *inputs,
                       const struct op_build_options *options);
/* The same for several outputs; domain "": the default one. */
enum status op_build_many(struct op_context *c, const char *domain, const char *name, int input_count,
                          struct value *const *inputs, int output_count, struct value **outputs, int attribute_count,
                          const struct attribute *attributes);
struct value *op_build1(struct op_context *c, const char *name, struct value *a);
struct value *op_build2(struct op_context *c, const char *name, struct value *a, struct value *b);
/* `output` of the node being replaced is `value`. */
enum status op_build_identity(struct op_context *c, struct value *value, struct value *output);
/* STATUS_OK unless a build before failed. */
enum status op_built(const struct op_context *c);
/* The node is marked OP_HALF_AS_F32, and an operand is f16 or bf16. */
bool op_needs_f32(const struct node *node);
/* Expands such a node, after shapes, into casts, the same operator over f32, and casts back. Types and shapes of the
 * new values are set: they are those of the node's own, which the operator need not be asked for again. */
enum status op_expand_as_f32(struct op_context *c);
#define ATTRIBUTE_I(key, number)                            \
    (struct attribute)                                      \
    {                                                       \
        .name = (key), .kind = ATTRIBUTE_INT, .i = (number) \
    }
#define ATTRIBUTE_F(key, number)                              \
    (struct attribute)                                        \
    {                                                         \
        .name = (key), .kind = ATTRIBUTE_FLOAT, .f = (number) \
    }
#define ATTRIBUTE_LIST(key, length, list)                                                \
    (struct attribute)                                                                   \
    {                                                                                    \
        .name = (key), .kind = ATTRIBUTE_INTS, .count = (size_t)(length), .ints = (list) \
    }
#define ATTRIBUTE_TEXT(key, text)                                                            \
    (struct attribute)                                                                       \
    {                                                                                        \
        .name = (key), .kind = ATTRIBUTE_STRING, .count = sizeof(text) - 1, .string = (text) \
    }

#endif
