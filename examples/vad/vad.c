/* Hears speech as it comes: vad MODEL.bin < SAMPLES prints the probability of speech in each 32 ms of 16-bit mono
 * samples of 16 kHz. The model is Silero's voice detector: it takes the samples behind the last 64 of the chunk before,
 * a state and the rate, and gives the probability and the next state. Nothing is allocated once the first sample has
 * come. */
#include <infer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 512, CONTEXT = 64, STATE = 2 * 1 * 128 };

struct detector {
    infer_model *model;
    infer_session *session;
    infer_context *context;
    float samples[CONTEXT + CHUNK];
    float states[2][STATE]; /* the one before a chunk and the one after it, in turn: a result may not lie on an input */
    int turn;
};

static const int64_t rate = 16000;

static void set_inputs(struct detector *d, infer_tensor inputs[3])
{
    const int64_t samples[2] = {1, CONTEXT + CHUNK}, state[3] = {2, 1, 128};
    inputs[0] = infer_input(d->samples, INFER_FLOAT32, 2, samples);
    inputs[1] = infer_input(d->states[d->turn], INFER_FLOAT32, 3, state);
    inputs[2] = infer_input(&rate, INFER_INT64, 0, NULL);
}

/* Prepared with the rate, which decides what is computed, and run once on silence, so that all is made. */
static infer_status start(struct detector *d, const char *path, infer_error *error)
{
    infer_session_options options = {.threads = 1};
    infer_tensor inputs[3], outputs[2] = {infer_output(NULL, 0), infer_output(NULL, 0)};
    infer_memory memory;
    memset(d, 0, sizeof *d);
    set_inputs(d, inputs);
    infer_status status = infer_model_open(path, NULL, &d->model, error);
    if (status == INFER_OK)
        status = infer_session_create(d->model, &options, &d->session, error);
    if (status == INFER_OK)
        status = infer_session_prepare(d->session, inputs, 3, &memory, error);
    if (status == INFER_OK)
        status = infer_context_create(d->session, &d->context, error);
    if (status == INFER_OK)
        status = infer_run(d->context, inputs, 3, outputs, 2, error);
    if (status == INFER_OK)
        fprintf(stderr, "vad: %zu steps, %zu bytes a stream%s\n", memory.steps,
                memory.arena_bytes + memory.context_bytes,
                memory.complete ? "" : " and more, which only a run can tell");
    return status;
}

static void stop(struct detector *d)
{
    infer_context_release(d->context);
    infer_session_release(d->session);
    infer_model_release(d->model);
}

static infer_status hear(struct detector *d, const int16_t *chunk, float *probability, infer_error *error)
{
    infer_tensor inputs[3], outputs[2] = {infer_output(probability, sizeof *probability),
                                          infer_output(d->states[!d->turn], sizeof d->states[0])};
    memmove(d->samples, d->samples + CHUNK, CONTEXT * sizeof *d->samples);
    for (int i = 0; i < CHUNK; i++)
        d->samples[CONTEXT + i] = (float)chunk[i] / 32768;
    set_inputs(d, inputs);
    d->turn = !d->turn;
    return infer_run(d->context, inputs, 3, outputs, 2, error);
}

int main(int argc, char **argv)
{
    static struct detector detector;
    infer_error error = {INFER_OK, ""};
    int16_t chunk[CHUNK];
    float probability;
    if (argc != 2) {
        fprintf(stderr, "usage: vad MODEL.bin < SAMPLES\n");
        return 2;
    }
    infer_status status = start(&detector, argv[1], &error);
    for (long i = 0; status == INFER_OK && fread(chunk, sizeof chunk, 1, stdin) == 1; i++) {
        status = hear(&detector, chunk, &probability, &error);
        if (status == INFER_OK)
            printf("%.3f %.6f\n", (double)i * CHUNK / (double)rate, (double)probability);
    }
    if (status != INFER_OK)
        fprintf(stderr, "vad: %s\n", error.message);
    stop(&detector);
    return status == INFER_OK ? 0 : 1;
}
