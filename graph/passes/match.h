/* Patterns that end in the visited node: the nodes found so far, and what must hold of all of them. A try that fails
 * leaves nodes behind, so it works on a copy of the match. */
#ifndef INFER_GRAPH_PASSES_MATCH_H
#define INFER_GRAPH_PASSES_MATCH_H

#include "graph/passes/rewrite.h"

#define MATCH_NODES 24

struct match {
    struct rewriter *r;
    struct node *nodes[MATCH_NODES]; /* the first is the visited one */
    int count;
    int number_rank;  /* greatest rank among the numbers: broadcasting to a larger one would add axes */
    enum dtype dtype; /* of the operands; NONE: not known yet */
};

/* A product: number * values[0] * values[1] ... */
#define MATCH_FACTORS 4
struct match_product {
    double number;
    struct value *values[MATCH_FACTORS];
    int count;
};

struct match match_begin(struct rewriter *r);

/* The maker of the value, where it is this operator; it belongs to the pattern then. */
struct node *match_maker(struct match *m, const struct value *value, const char *name);
/* A floating-point constant of one element. */
bool match_number(struct match *m, const struct value *value, double *number);
/* value = *x ^ *exponent by Pow. */
bool match_power(struct match *m, const struct value *value, struct value **x, double *exponent);
/* value = x * x, however it is written. */
bool match_square(struct match *m, const struct value *value, struct value **x);
/* value = 1 / *divisor */
bool match_reciprocal(struct match *m, const struct value *value, const struct value **divisor);
/* value = *x + *shift, by Add or Sub of a number. */
bool match_shifted(struct match *m, const struct value *value, struct value **x, double *shift);
/* value = min(max(*x, *least), *most), by Clip or by Min and Max or Relu. */
bool match_clip(struct match *m, struct value *value, struct value **x, double *least, double *most);
/* The factors of the visited node, or of a value: through Mul, Div by a number, and Pow to a small whole number, where
 * nothing else reads what lies between. False: too many. */
bool match_product_of_node(struct match *m, struct node *node, struct match_product *product);
bool match_product(struct match *m, struct value *value, struct match_product *product);

/* The number was meant: it is `expected` to the last digits that its type can hold. Where the type is unknown, exactly.
 */
bool match_near(const struct match *m, double number, double expected);
/* As an attribute, which is a float, the number loses nothing that its own type would keep. */
bool match_attribute(const struct match *m, double number);
/* Reading x in place of the pattern changes no shape: no number has more axes than x. */
bool match_keeps_shape(const struct match *m, const struct value *x);
/* Nobody else reads anything between the inputs of the pattern and the visited node. */
bool match_closed(const struct match *m);
/* The visited node stands for all of the pattern. */
enum status match_absorb(struct match *m);
/* The visited node, which stands for all of the pattern from now on, becomes another operator of the default domain. */
enum status match_become(struct match *m, const char *op, int input_count, struct value *const *inputs,
                         int attribute_count, const struct attribute *attributes);

/* --- shapes of the patterns, where they are known ---------------------------------------------------------- */

/* The node reduces this input, and keeps the axes it reduces, as size 1: a bit for each. 0: not so, or unknown. */
unsigned match_reduced_axes(const struct match *m, struct node *node);
/* The first of the axes, where all up to the last axis are among them; -1: not so. */
int match_first_trailing(unsigned axes, int rank);

#endif
