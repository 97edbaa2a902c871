/* Runs a model of anybody's making on zeros: untrusted MODEL.bin [SECONDS]. Whatever the file holds, it takes no more
 * than a gigabyte, no more arithmetic than the preset allows and, from its beginning, no more than SECONDS (1): another
 * thread cancels what goes on longer. Prints the shapes of the outputs, or one sentence on why there are none. */
#include <infer.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST = 64 }; /* inputs, and outputs */

struct watch {
    infer_context *context;
    struct timespec until;
    pthread_mutex_t mutex;
    pthread_cond_t over;
    int done;
};

/* A deadline among the limits would do the same; a cancel is how a window's button or a lost connection ends a run. */
static void *cancel_late(void *user)
{
    struct watch *watch = user;
    int code = 0;
    pthread_mutex_lock(&watch->mutex);
    while (!watch->done && code == 0)
        code = pthread_cond_timedwait(&watch->over, &watch->mutex, &watch->until);
    if (!watch->done)
        infer_context_cancel(watch->context);
    pthread_mutex_unlock(&watch->mutex);
    return NULL;
}

static infer_status run(infer_context *context, const infer_tensor *inputs, size_t input_count, infer_tensor *outputs,
                        size_t output_count, double seconds, infer_error *error)
{
    pthread_t thread;
    struct watch watch = {.context = context, .mutex = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER};
    clock_gettime(CLOCK_REALTIME, &watch.until);
    watch.until.tv_sec += (time_t)seconds;
    watch.until.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
    watch.until.tv_sec += watch.until.tv_nsec / 1000000000;
    watch.until.tv_nsec %= 1000000000;
    int watched = pthread_create(&thread, NULL, cancel_late, &watch) == 0;
    infer_status status = infer_run(context, inputs, input_count, outputs, output_count, error);
    pthread_mutex_lock(&watch.mutex);
    watch.done = 1;
    pthread_cond_signal(&watch.over);
    pthread_mutex_unlock(&watch.mutex);
    if (watched)
        pthread_join(thread, NULL);
    return status;
}

/* Zeros in the declared shape, each free dimension 1; NULL data where memory is short, which infer_run refuses. */
static infer_tensor zeros(const infer_model *model, size_t index)
{
    infer_value value;
    infer_model_input(model, index, &value);
    for (int i = 0; i < value.rank; i++)
        value.dims[i] = value.dims[i] < 0 ? 1 : value.dims[i];
    size_t bytes = infer_tensor_bytes(value.dtype, value.rank < 0 ? 0 : value.rank, value.dims);
    return infer_input(bytes < (size_t)1 << 28 ? calloc(bytes + 1, 1) : NULL, value.dtype,
                       value.rank < 0 ? 0 : value.rank, value.dims);
}

static void print(const infer_tensor *output)
{
    printf("%s", infer_dtype_name(output->dtype));
    for (int i = 0; i < output->rank; i++)
        printf("%s%lld", i ? "x" : " ", (long long)output->dims[i]);
    printf("\n");
}

int main(int argc, char **argv)
{
    infer_model_options model_options;
    infer_session_options session_options;
    infer_error error = {INFER_OK, ""};
    infer_model *model = NULL;
    infer_session *session = NULL;
    infer_context *context = NULL;
    infer_tensor inputs[MOST], outputs[MOST] = {{0}};
    double seconds = argc > 2 ? atof(argv[2]) : 1;
    infer_options_hostile(&model_options, &session_options);
    infer_status status = infer_model_open(argc > 1 ? argv[1] : "", &model_options, &model, &error);
    size_t input_count = infer_model_input_count(model), output_count = infer_model_output_count(model);
    output_count = output_count < MOST ? output_count : MOST;
    for (size_t i = 0; i < input_count && i < MOST; i++)
        inputs[i] = zeros(model, i);
    if (status == INFER_OK)
        status = infer_session_create(model, &session_options, &session, &error);
    if (status == INFER_OK)
        status = infer_context_create(session, &context, &error);
    if (status == INFER_OK && input_count <= MOST)
        status = run(context, inputs, input_count, outputs, output_count, seconds, &error);
    for (size_t i = 0; i < output_count && status == INFER_OK; i++)
        print(&outputs[i]);
    if (status != INFER_OK)
        printf("%s: %s\n", infer_status_name(status), error.message);
    for (size_t i = 0; i < input_count && i < MOST; i++)
        free(inputs[i].data);
    infer_context_release(context);
    infer_session_release(session);
    infer_model_release(model);
    return status == INFER_OK ? 0 : 1;
}
