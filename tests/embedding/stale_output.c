/* stale_output MINILM: an output that a run filled in, data NULL at first, is given again and again, also after the
 * context's memory for results has moved. */
#include "embed.h"

static float expected[MOST_TOKENS * VECTOR];

static void expect(infer_context *context, int64_t count, infer_tensor *output, const char *what)
{
    infer_error error = {INFER_OK, ""};
    infer_tensor fresh = infer_output(expected, sizeof expected);
    REQUIRE(run_sentence(context, count, &fresh, &error) == INFER_OK, "%s: %s", what, error.message);
    REQUIRE(run_sentence(context, count, output, &error) == INFER_OK, "%s: %s", what, error.message);
    REQUIRE(output->dims[1] == count && output->bytes == (size_t)count * VECTOR * sizeof(float) &&
                memcmp(output->data, expected, output->bytes) == 0,
            "%s: the result is not that of a new tensor", what);
}

int main(int argc, char **argv)
{
    struct embedded e = embed(argv[argc - 1], NULL);
    infer_tensor output = infer_output(NULL, 0), other = infer_output(NULL, 0);
    expect(e.context, 8, &output, "8 tokens");
    expect(e.context, 16, &output, "then 16 with the same tensor");
    expect(e.context, 128, &other, "then 128 with another");
    expect(e.context, 8, &output, "then 8 with the first again");
    embed_end(&e);
    return 0;
}
