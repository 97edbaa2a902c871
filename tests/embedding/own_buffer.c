/* own_buffer MINILM: one buffer of the caller's, large enough for every length, is given for each. */
#include "embed.h"

static float room[MOST_TOKENS * VECTOR];

int main(int argc, char **argv)
{
    struct embedded e = embed(argv[argc - 1], NULL);
    infer_error error = {INFER_OK, ""};
    infer_tensor output = infer_output(room, sizeof room), own = infer_output(NULL, 0);
    for (int64_t count = 8; count <= MOST_TOKENS; count *= 2) {
        REQUIRE(run_sentence(e.context, count, &output, &error) == INFER_OK, "%d tokens: %s", (int)count,
                error.message);
        REQUIRE(output.data == room && output.capacity == sizeof room && output.dims[1] == count,
                "the room has changed");
        REQUIRE(run_sentence(e.context, count, &own, &error) == INFER_OK, "%d tokens: %s", (int)count, error.message);
        REQUIRE(own.bytes == output.bytes && memcmp(own.data, room, own.bytes) == 0, "other numbers in the buffer");
    }
    output.capacity = 8;
    REQUIRE(run_sentence(e.context, 8, &output, &error) == INFER_INVALID_ARGUMENT, "8 bytes were enough");
    embed_end(&e);
    return 0;
}
