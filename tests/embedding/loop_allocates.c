/* loop_allocates LOOP: no run of a Loop that this context has run allocates. */
#include "embed.h"

#include <stdatomic.h>

static atomic_long calls;

static void *count_allocate(void *user, size_t bytes, size_t alignment)
{
    (void)user;
    calls++;
    return aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

static void plain_release(void *user, void *memory, size_t bytes)
{
    (void)user;
    (void)bytes;
    free(memory);
}

int main(int argc, char **argv)
{
    infer_allocator allocator = {count_allocate, plain_release, NULL};
    infer_model_options options = {.allocator = &allocator};
    struct embedded e;
    infer_error error = {INFER_OK, ""};
    REQUIRE(infer_model_open(argv[argc - 1], &options, &e.model, &error) == INFER_OK &&
                infer_session_create(e.model, NULL, &e.session, &error) == INFER_OK &&
                infer_context_create(e.session, &e.context, &error) == INFER_OK,
            "%s", error.message);
    for (int run = 0; run < 4; run++) {
        long before = calls;
        infer_tensor output = infer_output(NULL, 0);
        REQUIRE(infer_run(e.context, NULL, 0, &output, 1, &error) == INFER_OK, "%s", error.message);
        REQUIRE(run == 0 || calls == before, "run %d allocates %ld times", run + 1, calls - before);
    }
    embed_end(&e);
    return 0;
}
