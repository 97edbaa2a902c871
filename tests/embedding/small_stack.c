/* small_stack DET: a large image is prepared in strips and run in a thread of 64 KB of stack. */
#include "embed.h"

#include <limits.h>
#include <pthread.h>

static void *run_in_strips(void *user)
{
    infer_session_options options = {.threads = 1, .memory_saving = true};
    struct embedded e = embed(user, &options);
    infer_error error = {INFER_OK, ""};
    const int64_t dims[4] = {1, 3, 640, 640};
    float *page = make_page(640, 640);
    infer_tensor input = infer_input(page, INFER_FLOAT32, 4, dims), output = infer_output(NULL, 0);
    REQUIRE(infer_run(e.context, &input, 1, &output, 1, &error) == INFER_OK, "%s", error.message);
    free(page);
    embed_end(&e);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    REQUIRE(pthread_attr_setstacksize(&attributes, 64 * 1024 > PTHREAD_STACK_MIN ? 64 * 1024 : PTHREAD_STACK_MIN) == 0,
            "no such stack");
    REQUIRE(pthread_create(&thread, &attributes, run_in_strips, argv[argc - 1]) == 0, "no thread");
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    return 0;
}
