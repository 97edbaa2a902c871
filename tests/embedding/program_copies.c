/* program_copies MINILM: eight contexts run sentences of 128 lengths, the even ones short texts, the odd ones long
 * texts. The session keeps 64 programs in all, and each takes at most 100 KB of tables. Prints both. */
#include "embed.h"

#define CONTEXTS 8
#define LENGTHS 64 /* of each context */
#define MOST_TABLES 100000
/* Bytes at most that a context keeps of each program it ran, also of one that was dropped. */
#define HANDLE ((size_t)64)

static size_t tables_now(infer_session *session)
{
    infer_memory memory;
    REQUIRE(infer_session_memory(session, &memory, NULL) == INFER_OK, "no numbers");
    return memory.table_bytes;
}

int main(int argc, char **argv)
{
    infer_session_options options = {.threads = 1, .cached_programs = LENGTHS};
    struct embedded e = embed(argv[argc - 1], &options);
    infer_context *contexts[CONTEXTS];
    infer_error error = {INFER_OK, ""};
    size_t without = tables_now(e.session), largest = 0, most = 0;
    for (int k = 0; k < CONTEXTS; k++) {
        REQUIRE(infer_context_create(e.session, &contexts[k], &error) == INFER_OK, "%s", error.message);
        for (int i = 0; i < LENGTHS; i++) {
            infer_tensor output = infer_output(NULL, 0);
            size_t before = tables_now(e.session);
            REQUIRE(run_sentence(contexts[k], k % 2 ? 65 + i : 1 + i, &output, &error) == INFER_OK, "%s",
                    error.message);
            size_t after = tables_now(e.session), own = after > before ? after - before : 0;
            largest = k == 0 && own > largest ? own : largest; /* while none is dropped */
            most = after > most ? after : most;
        }
    }
    printf("tables: %zu bytes a length at most; %zu in all, with %d contexts\n", largest, most - without, CONTEXTS);
    REQUIRE(largest <= MOST_TABLES, "a length takes %zu bytes of tables", largest);
    REQUIRE(most - without <= LENGTHS * largest + LENGTHS * CONTEXTS * HANDLE,
            "%zu bytes of tables are more than %d programs", most - without, LENGTHS);
    for (int k = 0; k < CONTEXTS; k++)
        infer_context_release(contexts[k]);
    embed_end(&e);
    return 0;
}
