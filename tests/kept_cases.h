/* The small cases of tests/data/cases: models with inputs, and what must come of them. tests/conformance/keep_cases.py
 * writes the files. */
#ifndef INFER_TESTS_KEPT_CASES_H
#define INFER_TESTS_KEPT_CASES_H

#include "formats/onnx/onnx_import.h"
#include "graph/graph.h"
#include "runtime/infer.h"

#define KEPT_MOST 128 /* tensors, or lengths of sequences, of a case */

struct reader {
    const uint8_t *at, *end;
};

struct expected {
    infer_tensor tensor;
    double rtol, atol; /* by how much a number may be off */
    uint32_t most;     /* how many numbers may */
};

struct kept_case {
    const char *name;
    struct reader model;
    struct onnx_elements elements[KEPT_MOST];
    infer_tensor inputs[KEPT_MOST];
    struct expected expected[KEPT_MOST];
    int element_count;
    size_t input_count, output_count;
};

/* Calls `attempt` for each case of a file whose number leaves `share` when divided by `shares`, in order, with its
 * graph, which the call may change. */
typedef void case_attempt(const struct kept_case *c, struct graph *graph, void *user);
void try_kept_cases(const char *path, int share, int shares, case_attempt *attempt, void *user);

#endif
