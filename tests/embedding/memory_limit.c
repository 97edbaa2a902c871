/* memory_limit MODEL: the model's limit is one on its weights; a session's that they pass is refused at once, in
 * numbers. */
#include "embed.h"

int main(int argc, char **argv)
{
    infer_error error = {INFER_OK, ""};
    infer_model *model, *limited;
    infer_session *session;
    REQUIRE(infer_model_open(argv[argc - 1], NULL, &model, &error) == INFER_OK, "%s", error.message);
    size_t weights = infer_model_weight_bytes(model);
    infer_model_options options = {.memory_limit = weights};
    REQUIRE(infer_model_open(argv[argc - 1], &options, &limited, &error) == INFER_OK, "at the limit: %s",
            error.message);
    infer_model_release(limited);
    options.memory_limit = weights - 1;
    REQUIRE(infer_model_open(argv[argc - 1], &options, &limited, &error) == INFER_MEMORY_LIMIT, "below it is opened");
    infer_session_options session_options = {.memory_limit = weights - 1};
    REQUIRE(infer_session_create(model, &session_options, &session, &error) == INFER_MEMORY_LIMIT, "a session is made");
    char numbers[64];
    snprintf(numbers, sizeof numbers, "%zu", weights);
    REQUIRE(strstr(error.message, numbers), "the weights are not told: %s", error.message);
    snprintf(numbers, sizeof numbers, "past the limit of %zu", weights - 1);
    REQUIRE(strstr(error.message, numbers), "the limit is not told: %s", error.message);
    infer_model_release(model);
    return 0;
}
