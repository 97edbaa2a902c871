/* infer-run --bisect: two runs of a model, value by value, to the first node that makes a difference. */
#ifndef INFER_TOOLS_RUN_BISECT_H
#define INFER_TOOLS_RUN_BISECT_H

#include "tools/run_compare.h"
#include "tools/run_watch.h"

struct node;

/* A value that a node of the imported graph makes, or one of a subgraph. */
struct bisect_value {
    const char *name;
    const char *node, *op;
    bool known; /* whether something is expected of it */
    bool shown; /* whether the run under test has made it */
    bool compared, differs;
    infer_tensor expected;        /* a copy, until it has been compared; then its type and shape */
    infer_tensor got;             /* type and shape */
    int expected_step, step;      /* that made it; -1: none, it is a view of what was there before */
    struct difference difference; /* zero where type or shape differ */
};

struct bisect {
    const char *folder; /* of what is expected; NULL: the values of another run */
    double tolerance;
    struct region region;
    struct bisect_value
        *values; /* in the order of the imported graph, the nodes of subgraphs before the one they are in */
    struct bisect_value **by_name;
    size_t value_count;
    const struct node **nodes; /* by name */
    size_t node_count;
    struct watch expected, run;           /* `expected` is not used with a folder */
    const char *expected_name, *run_name; /* "the optimised program" */
    struct error error;                   /* the first failure within an observer */
};

/* folder: see above; it has to be there. plain: the run under test has no passes. */
enum status bisect_start(struct bisect *bisect, const infer_model *model, const struct input_set *inputs,
                         const char *folder, double tolerance, bool plain, struct error *error);
void bisect_free(struct bisect *bisect);

/* The observers of the run that says what is expected, and of the one under test, which comes after it. */
infer_observer bisect_expect(struct bisect *bisect);
infer_observer bisect_test(struct bisect *bisect);
/* After each of them: an output that no step computes is a value as well. Says what failed meanwhile. */
enum status bisect_expected(struct bisect *bisect, const infer_tensor *outputs, struct error *error);
enum status bisect_tested(struct bisect *bisect, const infer_tensor *outputs, struct error *error);

/* The first value that differs, in the order of the imported graph; NULL: none. */
const struct bisect_value *bisect_first(const struct bisect *bisect);
enum status bisect_report(const struct bisect *bisect, FILE *file, struct error *error);

/* For the report: the operator of a node, and a value; NULL where none has that name. */
const char *bisect_op(const struct bisect *bisect, const char *node);
const struct bisect_value *bisect_value(const struct bisect *bisect, const char *name);

#endif
