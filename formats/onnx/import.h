/* Shared by the files of the importer. In order of use:
 *   parse.c    bytes become messages (wire.c); after this none of them nests too deep
 *   settle.c   every tensor becomes plain bytes in its raw_data (tensor.c, sparse.c, external.c)
 *   model.c    what holds for the whole model: opsets, functions, operators that are not supported
 *   build.c    a message becomes a graph: names (scope.c), types (type.c), order (order.c), nodes (node.c), their
 *              attributes (attribute.c, list.c), their subgraphs (body.c), calls of functions (function.c), and what
 *              MaxUnpool's indices are (positions.c); old opsets in today's words (old_opsets.c)
 *   border.c   inputs and outputs that are sequences or optionals, as tensors
 *   labels.c   outputs that stand for labels of classes
 * Whatever the graph keeps lives in `region`: the messages do too, so that weights are copied once. */
#ifndef INFER_FORMATS_ONNX_IMPORT_H
#define INFER_FORMATS_ONNX_IMPORT_H

#include "formats/onnx/name_map.h"
#include "formats/onnx/onnx_import.h"
#include "graph/op.h"

#include <onnx.pb-c.h>

/* Subgraphs in subgraphs and functions in functions, together. */
#define DEEPEST_NESTING 64

/* A file of external data, mapped until onnx_close. */
struct onnx_file {
    struct onnx_file *next;
    struct file_map map;
};

struct import {
    struct error *error;
    struct region *region;
    struct region scratch; /* what only the import needs; freed at its end */
    const struct onnx_import_options *options;
    bool *dimension_met; /* one for each of options->dimensions */
    bool *elements_met;  /* one for each of options->elements */
    size_t file_size;

    const char *folder; /* where external data may lie; NULL: nowhere */
    struct onnx_file *files;
    struct name_map file_names;        /* location -> struct onnx_file */
    size_t mapped_bytes, copied_bytes; /* of external data */
    size_t external_bytes;             /* of tensors there, those that share bytes counted each */
    size_t dense_bytes;                /* made from sparse tensors */
    size_t expanded_bytes;             /* see onnx_charge */

    int64_t ir_version;                /* of the file; 0: it does not say */
    struct name_map opsets;            /* domain -> version: see onnx_opset_version */
    struct name_map functions;         /* key -> struct function */
    struct name_map node_names;        /* in use, in all graphs */
    struct name_map free_names;        /* a message's address -> struct name_list */
    const struct attribute **labels;   /* by value of the model's graph: see onnx_find_labels */
    int labelled;                      /* how many values */
    struct name_map unsupported_names; /* operator -> struct unsupported */
    struct unsupported *unsupported, **unsupported_end;
    /* The first thing that is refused but does not keep us from reading on: unsupported operators say more. */
    struct error refusal;
};

/* An operator that nothing here runs, and the nodes that ask for it. */
struct unsupported {
    struct unsupported *next;
    const char *name;
    struct unsupported_node {
        struct unsupported_node *next;
        const char *name;
    } * nodes, **nodes_end;
};

/* An operator that the model defines itself. */
struct function {
    const Onnx__Function *message;
    struct name_map opsets;
};

/* An attribute under the name that its node or its function gives it. */
struct binding {
    const char *name;
    const Onnx__Attribute *attribute;
    const struct environment *environment; /* what references inside it mean, should it be a graph */
};
/* The attributes of a node; or of a function, in one call of it. */
struct environment {
    size_t count;
    struct binding *bindings;
};

/* A graph while it is made. */
struct place {
    struct graph *graph;
    struct name_map taken;     /* names of its values, those to come as well */
    struct name_map types;     /* name -> Onnx__Type, where the file declares one */
    struct name_map positions; /* names of values that say where a MaxPool found its maxima */
};

/* Where names of the file mean something: the graph itself, or the body of a function that is inlined into it. */
struct scope {
    struct import *import;
    struct place *place;
    struct name_map values;                /* name in the file -> struct value, NULL for an absent one */
    struct name_map results;               /* name in a function's body -> name its caller gives the value */
    const char *prefix;                    /* in front of all other names: "", or "call/" */
    const struct environment *environment; /* NULL outside functions */
    const struct name_map *opsets;
    bool inlined; /* in a function, however deep */
    int depth;
};

/* --- import.c ----------------------------------------------------------------------------------------------------- */

/* "" for an absent string. */
static inline const char *text(const char *string)
{
    return string ? string : "";
}
enum status onnx_no_memory(struct import *im);
/* Counts what grows faster than the file: a few functions that call each other can stand for any number of nodes, and
 * each of many subgraphs in one another has to pass on what the innermost uses. */
enum status onnx_charge(struct import *im, size_t bytes);
/* Remembers the first refusal: see struct import. */
void onnx_refuse(struct import *im, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "node 'conv1' (Conv): ..." */
enum status onnx_node_error(struct import *im, const Onnx__Node *node, enum status status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The node's name, or else that of its first output. */
const char *onnx_node_label(const Onnx__Node *node);

/* --- parse.c ------------------------------------------------------------------------------------------------------ */

/* The lists of attributes stay in `bytes`: their counts alone are filled in, and one record of unknown_fields, which
 * says where the attribute lies. */
enum status onnx_parse(struct import *im, const void *bytes, Onnx__Model **model);

/* --- settle.c, tensor.c, sparse.c, external.c --------------------------------------------------------------------- */

/* From here on every tensor of the model has a known type, a valid shape of rank MAX_RANK at most, and its elements in
 * raw_data (never NULL); sparse tensors have become dense ones. Strings stay without data, and are refused. */
enum status onnx_settle(struct import *im, Onnx__Model *model);
/* The same for one tensor; `owner` says in errors whose it is, or is "". */
enum status onnx_settle_tensor(struct import *im, const char *owner, Onnx__Tensor *tensor);
/* How errors call a tensor: "tensor 'conv1.weight'", "node 'a' (Constant): tensor 'value'". Never NULL. */
const char *onnx_tensor_text(struct import *im, const char *owner, const Onnx__Tensor *tensor);
enum status onnx_densify(struct import *im, const char *owner, Onnx__SparseTensor *sparse, Onnx__Tensor **dense);
/* Finds the `bytes` bytes of a tensor whose data is external. `name` is how errors call it. */
enum status onnx_read_external(struct import *im, const char *name, const Onnx__Tensor *tensor, size_t bytes,
                               const void **data);

/* --- model.c ------------------------------------------------------------------------------------------------------ */

/* ONNX's own domain has two names. */
const char *onnx_domain(const char *domain);
enum status onnx_read_opsets(struct import *im, size_t count, Onnx__Opset *const *opsets, struct name_map *map);
/* 1 where the model does not say; 0 for a domain of ONNX's own, which it has to name. */
int onnx_opset_version(const struct scope *s, const char *domain);
enum status onnx_read_functions(struct import *im, const Onnx__Model *model);
/* *function is NULL where the model does not define the node's operator. */
enum status onnx_find_function(struct import *im, const Onnx__Node *node, const struct function **function);
enum status onnx_note_unsupported(struct import *im, const char *domain, const char *op, const char *node_name);
/* The error for all of them; STATUS_OK where there are none. */
enum status onnx_report_unsupported(struct import *im);

/* --- build.c ------------------------------------------------------------------------------------------------------ */

/* What a subgraph uses of the graph around it. */
struct capture {
    const char *name;    /* in the file */
    struct value *value; /* of the outer graph: NULL: absent there; a constant: becomes the subgraph's as well */
    bool passed;         /* else: handed in at run time */
};
/* Makes the contents of s->place->graph. What is passed in comes after the message's own inputs. */
enum status onnx_build_graph(struct scope *s, const Onnx__Graph *message, size_t capture_count,
                             const struct capture *captures);

/* --- scope.c ------------------------------------------------------------------------------------------------------ */

/* `name`, or with a number behind it if that is taken; NULL: out of memory. */
const char *onnx_unique_name(struct import *im, struct name_map *taken, const char *name);
/* What a value of this scope is to be called in the graph; to be asked once for each. NULL: out of memory. */
const char *onnx_graph_name(struct scope *s, const char *name);
enum status onnx_define(struct scope *s, const char *name, struct value *value);
/* A new value for a name of the scope, typed as the file declares it. */
enum status onnx_declare(struct scope *s, const char *name, struct value **value);
enum status onnx_define_constant(struct scope *s, const char *name, const Onnx__Tensor *tensor);
/* False where nothing has that name. */
bool onnx_lookup(const struct scope *s, const char *name, struct value **value);

/* --- type.c ------------------------------------------------------------------------------------------------------- */

struct type {
    enum dtype dtype;
    int rank;
    int64_t dims[MAX_RANK];
};
/* As far as `type` says; it may be NULL. Fails where memory runs out. */
enum status onnx_read_type(struct import *im, struct graph *graph, const Onnx__Type *message, struct type *type);
/* What an input of the model is when it is given: an optional tensor is a tensor then. */
const Onnx__Type *onnx_given_type(const Onnx__Type *message);
/* NULL for a tensor of numbers; else what it is in words: "a sequence". */
const char *onnx_not_a_tensor(const Onnx__Type *message);

/* Sets `labels`: the list of labels that a value stands for, NULL for all others. Such a value is a tensor here, though
 * the file declares strings or a map. */
enum status onnx_find_labels(struct import *im, struct graph *graph);
/* Adds the labels of the graph's outputs to the metadata. */
enum status onnx_add_labels(struct import *im, const struct graph *graph, struct model_metadata *metadata);

/* --- order.c ------------------------------------------------------------------------------------------------------ */

struct name_list {
    const char **names;
    size_t count, capacity;
    struct name_map set; /* the same names */
};
/* The names that a graph uses and does not define, in order of first use. Found once for each graph. */
enum status onnx_free_names(struct import *im, const Onnx__Graph *graph, const struct name_list **list);
/* The order of the file, but that a node comes after those whose outputs it uses. */
enum status onnx_sort_nodes(struct import *im, size_t count, Onnx__Node *const *nodes, const Onnx__Node ***sorted);

/* --- node.c ------------------------------------------------------------------------------------------------------- */

enum status onnx_build_nodes(struct scope *s, size_t count, Onnx__Node *const *nodes);
/* Unique in the whole model. */
const char *onnx_node_name(struct scope *s, const Onnx__Node *node);

/* --- attribute.c -------------------------------------------------------------------------------------------------- */

Onnx__Attribute__Kind onnx_attribute_kind(const Onnx__Attribute *attribute);
/* The node's attributes, references replaced by what they mean; those that mean nothing are left out. */
enum status onnx_resolve_attributes(struct scope *s, const Onnx__Node *node, struct environment *resolved);
/* That they are the operator's in this opset, of its types, and that none is missing; one sentence otherwise. Drops the
 * names that ONNX keeps free for those who write files. */
enum status onnx_check_attributes(struct import *im, const Onnx__Node *node, const struct op *op, int version,
                                  struct environment *resolved);
/* Appends them to `list`, which has room for two of each and one more, all but the graphs. */
enum status onnx_read_attributes(struct scope *s, const Onnx__Node *node, const struct op *op,
                                 const struct environment *resolved, struct attribute *list, int *count);
enum status onnx_build_constant(struct scope *s, const Onnx__Node *node, struct environment *resolved);

/* --- list.c ------------------------------------------------------------------------------------------------------- */

/* A list of an attribute; never NULL. */
enum status onnx_read_ints(struct scope *s, const Onnx__Attribute *attribute, const int64_t **ints);
enum status onnx_read_floats(struct scope *s, const Onnx__Attribute *attribute, const float **floats);
enum status onnx_read_strings(struct scope *s, const Onnx__Attribute *attribute, struct attribute *to);
/* The same as a tensor, under the name that `to` has: see OP_LISTS_AS_TENSORS. Strings of too many words for that
 * become a list, and leave `words` alone. */
enum status onnx_ints_tensor(struct scope *s, const Onnx__Attribute *attribute, struct attribute *to);
enum status onnx_floats_tensor(struct scope *s, const Onnx__Attribute *attribute, struct attribute *to);
enum status onnx_strings_tensor(struct scope *s, const Onnx__Attribute *attribute, struct attribute *to,
                                struct attribute *words);

/* --- border.c ----------------------------------------------------------------------------------------------------- */

struct operands {
    struct value **values;
    int count;
};
/* How many tensors stand for the input or output of the model; NULL: the options do not say. */
const struct onnx_elements *onnx_elements_of(struct import *im, const char *name);
/* At least as many as the inputs and outputs that come in place of those that the options name. */
size_t onnx_element_count(const struct import *im);
/* Defines the name of an input that is a sequence or an optional, and appends what stands for it to the inputs, which
 * have room. */
enum status onnx_join_input(struct scope *s, const Onnx__Variable *input, const struct onnx_elements *elements,
                            struct operands *inputs);
/* Appends what stands for an output that is one; `whole` is its value. */
enum status onnx_part_output(struct scope *s, const Onnx__Variable *output, struct value *whole,
                             const struct onnx_elements *elements, struct operands *outputs);
/* That the model has what the options name. */
enum status onnx_check_elements_met(struct import *im);

/* --- old_opsets.c ------------------------------------------------------------------------------------------------- */

/* A node in the making, as read from an opset before 7, becomes the same of later ones. `list` has room for one more.
 */
enum status onnx_translate_old(struct scope *s, const Onnx__Node *node, int version, struct operands *inputs,
                               struct attribute *list, int *count);
/* The same for Scan of opset 8 once it has its body: one over the batch, of what is now one of opset 9. */
enum status onnx_translate_batched_scan(struct scope *s, const Onnx__Node *node, int *version, struct operands *inputs,
                                        struct attribute *list, int *count);

/* --- body.c ------------------------------------------------------------------------------------------------------- */

/* An attribute of ours: how many of a node's last inputs are there for its subgraphs, which have as many behind their
 * own. See graph/ops/control.c. */
#define ONNX_CAPTURES "captures"
/* Makes the graphs among a node's attributes, and appends them and ONNX_CAPTURES to `list`. What they use of this scope
 * is appended to the node's inputs. */
enum status onnx_build_bodies(struct scope *s, const Onnx__Node *node, const struct environment *resolved,
                              struct operands *inputs, struct attribute *list, int *count);

/* --- positions.c -------------------------------------------------------------------------------------------------- */

/* Of a node in the making: remembers outputs that are positions of maxima, and appends MAX_UNPOOL_POSITIONS to the
 * list, which has room, where it reads some. */
enum status onnx_note_positions(struct scope *s, const struct op *op, const struct operands *inputs,
                                const struct operands *outputs, struct attribute *list, int *count);

/* --- function.c --------------------------------------------------------------------------------------------------- */

enum status onnx_inline_function(struct scope *s, const Onnx__Node *call, const struct function *function,
                                 const struct environment *attributes);

#endif
