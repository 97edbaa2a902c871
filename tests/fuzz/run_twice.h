/* Runs a model as a stranger would, for fuzzers. Nothing may crash, hang, pass the memory limit, or read memory that
 * nothing has written: each model is run twice in memory filled differently, and must give the same status, sentence
 * and bits. */
#ifndef INFER_TESTS_FUZZ_RUN_TWICE_H
#define INFER_TESTS_FUZZ_RUN_TWICE_H

#include "runtime/infer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_LIMIT ((size_t)8 << 20)
/* Of all that a model, its session and a context hold: a few programs, each within the limit, and their results. */
#define MEMORY_MOST (8 * MEMORY_LIMIT)
#define MOST_OUTPUTS 64

struct memory {
    size_t held;
    unsigned char filler;
};

static inline void *take(void *user, size_t bytes, size_t alignment)
{
    struct memory *memory = user;
    void *result = NULL;
    if (bytes > MEMORY_MOST || memory->held > MEMORY_MOST - bytes) {
        fprintf(stderr, "%zu bytes are wanted beside %zu, past the limit\n", bytes, memory->held);
        abort();
    }
    if (posix_memalign(&result, alignment < sizeof(void *) ? sizeof(void *) : alignment, bytes) != 0)
        return NULL;
    memset(result, memory->filler, bytes);
    memory->held += bytes;
    return result;
}

static inline void give(void *user, void *block, size_t bytes)
{
    ((struct memory *)user)->held -= bytes;
    free(block);
}

struct outcome {
    infer_error error;
    uint64_t hash;
};

static inline uint64_t mix(uint64_t hash, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
    return hash;
}

static inline void run_context(infer_session *session, const infer_tensor *inputs, size_t input_count,
                               size_t output_count, struct outcome *outcome)
{
    infer_tensor outputs[MOST_OUTPUTS] = {0};
    infer_context *context = NULL;
    if (infer_context_create(session, &context, &outcome->error) == INFER_OK &&
        infer_run(context, inputs, input_count, outputs, output_count, &outcome->error) == INFER_OK)
        for (size_t i = 0; i < output_count; i++) {
            if (outputs[i].bytes != infer_tensor_bytes(outputs[i].dtype, outputs[i].rank, outputs[i].dims))
                abort();
            outcome->hash = mix(outcome->hash, outputs[i].dims, (size_t)outputs[i].rank * sizeof *outputs[i].dims);
            outcome->hash = mix(outcome->hash, outputs[i].data, outputs[i].bytes);
        }
    infer_context_release(context);
}

static inline struct outcome run_model(const void *bytes, size_t size, const infer_tensor *inputs, size_t input_count,
                                       size_t output_count, unsigned char filler)
{
    struct outcome outcome = {.hash = 14695981039346656037u};
    struct memory memory = {.filler = filler};
    infer_allocator allocator = {take, give, &memory};
    infer_model *model = NULL;
    infer_session *session = NULL;
    infer_model_options opened = {.allocator = &allocator, .memory_limit = MEMORY_LIMIT};
    infer_session_options created = {.threads = 1, .memory_limit = MEMORY_LIMIT};
    if (infer_model_open_memory(bytes, size, "fuzzed", &opened, &model, &outcome.error) == INFER_OK &&
        infer_session_create(model, &created, &session, &outcome.error) == INFER_OK)
        run_context(session, inputs, input_count, output_count, &outcome);
    infer_session_release(session);
    infer_model_release(model);
    if (memory.held || (outcome.error.status != INFER_OK) != (*outcome.error.message != '\0'))
        abort();
    return outcome;
}

/* random: the bits may differ, for the model draws numbers. */
static inline void run_twice(const void *bytes, size_t size, const infer_tensor *inputs, size_t input_count,
                             size_t output_count, bool random)
{
    struct outcome first = run_model(bytes, size, inputs, input_count, output_count, 0x5a);
    struct outcome second = run_model(bytes, size, inputs, input_count, output_count, 0xe1);
    if (first.error.status == second.error.status && strcmp(first.error.message, second.error.message) == 0 &&
        (first.hash == second.hash || random))
        return;
    fprintf(stderr, "the same run ends differently: '%s', '%s'\n", first.error.message, second.error.message);
    abort();
}

#endif
