/* Models and requests for the tests of the predictor. */
#ifndef INFER_TESTS_PREDICTOR_TEST_H
#define INFER_TESTS_PREDICTOR_TEST_H

#include "tests/counting_allocator.h"
#include "tests/model_maker.h"

#include "runtime/infer_predictor.h"

#define WIDTH 8
#define ENTRIES 5
#define MOST_ROWS 8
#define MOST_LENGTH 12

/* x [N, S, 8] float32 and i [N] int64 -> y = tanh(x W) [N, S, 8] and g = table[i] [N, 8], where N and S are free. An
 * index outside the table's ENTRIES is a fault of the run. */
infer_model *rows_model(struct maker *maker, const infer_model_options *options);
#define STATE_WIDTH 4
/* x [N, 4], h [N, 4] -> y = tanh(x + h), next = tanh(x - h y): what comes depends on all that was, and on its order. */
infer_model *state_model(struct maker *maker, const infer_model_options *options);
/* trip [] int64 and x [4] float32 -> x doubled `trip` times: as long a run as one likes. */
infer_model *endless_model(struct maker *maker, const infer_model_options *options);

/* A request of the rows model, with inputs that follow from `seed`, and room for its results. */
struct rows_request {
    float x[MOST_ROWS * MOST_LENGTH * WIDTH];
    int64_t i[MOST_ROWS];
    float y[MOST_ROWS * MOST_LENGTH * WIDTH], g[MOST_ROWS * WIDTH];
    infer_tensor inputs[2], results[2];
};
void rows_fill(struct rows_request *request, unsigned seed, int64_t rows, int64_t length);
/* Whether results are, bit for bit, those of a run alone of the same inputs. */
bool rows_are_right(infer_context *context, const struct rows_request *request, const infer_tensor *results);

infer_predictor *predictor_make(const infer_predictor_options *options); /* which must succeed */

/* A model, a predictor of it, and a context for runs to compare with. */
struct rig {
    struct maker maker;
    infer_model *model;
    infer_predictor *predictor;
    infer_context *context;
};
/* A rig of the model that `make` makes, with the allocator of `options`, whose `model` is left open. */
struct rig rig_start(infer_model *(*make)(struct maker *maker, const infer_model_options *options),
                     infer_predictor_options options);
void rig_free(struct rig *rig);

/* A program of one test, in this process and without a limit on its time. Returns the exit code. */
int run_one_test(const char *name, const TTest *test);
/* Results in memory of the request's own. */
infer_status rows_predict(infer_predictor *predictor, struct rows_request *request, infer_error *error);

#endif
