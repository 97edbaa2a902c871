/* vad_prepare VAD: the rate decides an If. Prepared with its contents, the program is whole, the numbers are complete,
 * and a first run makes nothing but what the context holds. */
#include "embed.h"

#include <stdatomic.h>

static atomic_size_t held;

static void *count_allocate(void *user, size_t bytes, size_t alignment)
{
    (void)user;
    held += bytes;
    return aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

static void count_release(void *user, void *memory, size_t bytes)
{
    (void)user;
    held -= bytes;
    free(memory);
}

int main(int argc, char **argv)
{
    static float samples[576], state[256];
    const int64_t rate = 16000, samples_dims[2] = {1, 576}, state_dims[3] = {2, 1, 128};
    infer_allocator allocator = {count_allocate, count_release, NULL};
    infer_model_options counted = {.allocator = &allocator};
    infer_model *model;
    infer_session *session;
    infer_context *context;
    infer_memory before, after;
    infer_error error = {INFER_OK, ""};
    infer_tensor inputs[3] = {infer_input(samples, INFER_FLOAT32, 2, samples_dims),
                              infer_input(state, INFER_FLOAT32, 3, state_dims),
                              infer_input(&rate, INFER_INT64, 0, NULL)},
                 outputs[2] = {infer_output(NULL, 0), infer_output(NULL, 0)};
    REQUIRE(infer_model_open(argv[argc - 1], &counted, &model, &error) == INFER_OK &&
                infer_session_create(model, NULL, &session, &error) == INFER_OK &&
                infer_session_prepare(session, inputs, 3, &before, &error) == INFER_OK,
            "%s", error.message);
    REQUIRE(before.complete, "the program stops at the If");
    size_t prepared = held;
    REQUIRE(infer_context_create(session, &context, &error) == INFER_OK &&
                infer_run(context, inputs, 3, outputs, 2, &error) == INFER_OK &&
                infer_session_memory(session, &after, &error) == INFER_OK,
            "%s", error.message);
    REQUIRE(held - prepared == before.arena_bytes + before.result_bytes + before.context_bytes,
            "the run allocates %zu bytes, %zu were told", (size_t)held - prepared,
            before.arena_bytes + before.result_bytes + before.context_bytes);
    REQUIRE(after.constant_bytes == before.constant_bytes && after.table_bytes == before.table_bytes &&
                after.packed_bytes == before.packed_bytes,
            "the run has made something");
    infer_context_release(context);
    infer_session_release(session);
    infer_model_release(model);
    REQUIRE(held == 0, "%zu bytes are left", (size_t)held);
    return 0;
}
