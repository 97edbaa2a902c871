/* What the passes over steps do to the steps of a graph made by hand, and that not one bit of its results changes. */
#ifndef INFER_TESTS_STEP_TEST_H
#define INFER_TESTS_STEP_TEST_H

#include "runtime/compile/specialise.h"
#include "tests/kernel_run.h"
#include "tests/pass_test.h"

/* A generator of test contents, which starts from any number. */
uint64_t next_random(uint64_t *state);
/* `elements` of a type: small numbers that differ, or, where `adversarial`, NaN, infinities, denormals, zeros of both
 * signs and extremes among them. */
void fill_random(enum dtype dtype, void *data, int64_t elements, bool adversarial, uint64_t *state);
/* Whether all elements have the same bits; any two NaN count as the same. */
bool same_elements(enum dtype dtype, const void *a, const void *b, int64_t elements);

/* A constant of random contents, of the rig's type. */
struct value *rig_random(struct rig *rig, int rank, const int64_t *dims);
/* A node with several outputs. */
void rig_node_many(struct rig *rig, const char *op, int input_count, struct value *const *inputs, int output_count,
                   struct value **outputs, int attribute_count, const struct attribute *attributes);

struct value *rig_reshape(struct rig *rig, struct value *x, int rank, const int64_t *dims);
/* By windows of one place and random weights, from so many channels to so many. */
struct value *rig_convolve(struct rig *rig, struct value *x, int64_t from, int64_t to);
struct value *rig_transpose(struct rig *rig, struct value *x, int rank, const int64_t *order);
/* Elements start, start + step, ... before end along an axis. */
struct value *rig_slice(struct rig *rig, struct value *x, int64_t axis, int64_t start, int64_t end, int64_t step);

enum step_passes { NO_PASSES, FUSE, FUSE_AND_ABSORB };

/* The graph of the rig, in a copy, lowered node by node: no pass over nodes takes part. */
struct segment rig_lower(struct rig *rig, enum step_passes which);

/* The steps, with blanks between: the family of each and, after a '+' each, the opcodes of its epilogue; of a pointwise
 * step its opcodes alone ("conv+ADD+RELU copy MUL"). "conv(scaled)" scales what it reads. */
const char *describe_steps(const struct segment *segment, struct region *region);

/* Runs a step alone; its tasks backwards, each with a workspace of just the bytes it asks for. */
void run_tasks(const struct step *step, const void *const *inputs, void *const *outputs);
/* Runs the steps of a segment as a program would: values share memory where steps may write in place, and lose their
 * content when they die; each has just the bytes it needs. inputs and outputs: of the graph, in C order. */
void run_steps(const struct segment *segment, const void *const *inputs, void *const *outputs);

/* Both give the same results, for several random inputs. */
void compare_segments(const struct segment *before, const struct segment *after, struct region *region);

/* The steps before and after the passes are as described (NULL: anything); absorbing copies has not raised the peak;
 * the results of the graph are the same for several random inputs. */
void rig_expect_steps(struct rig *rig, const char *before, const char *after);
/* The ONNX nodes that a step stands for after the passes, with blanks between: positions among the rig's nodes. */
void rig_expect_step_sources(struct rig *rig, int step, const char *nodes);
void rig_end(struct rig *rig);

#endif
