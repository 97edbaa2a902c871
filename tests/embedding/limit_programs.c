/* limit_programs CONSTANT_OF_SHAPE: the value of the input decides a shape, so each makes a program with constants of
 * its own. Thirty of 6 and of 15 million numbers under 64 MB, one after another: the small ones run in the place of
 * those before them, the large ones are refused, and what the process holds stays near the limit. */
#include "embed.h"

#define LIMIT ((size_t)64 << 20)
#define BESIDE ((size_t)40 << 20) /* the program, its library and what the C library keeps */

/* Of this process alone: what getrusage tells begins with the peak of the one that started it. */
static size_t peak_bytes(void)
{
    char line[256];
    size_t kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file) && sscanf(line, "VmHWM: %zu kB", &kilobytes) != 1) {
    }
    if (file)
        fclose(file);
    REQUIRE(kilobytes > 0, "the system does not tell the peak");
    return kilobytes * 1024;
}

int main(int argc, char **argv)
{
    infer_session_options options = {.memory_limit = LIMIT, .threads = 1};
    struct embedded e = embed(argv[argc - 1], &options);
    int done = 0;
    for (int64_t k = 0; k < 30; k++) {
        const int64_t one = 1, count = (k % 2 ? 6000000 : 15000000) + k;
        infer_error error = {INFER_OK, ""};
        infer_tensor input = infer_input(&count, INFER_INT64, 1, &one), output = infer_output(NULL, 0);
        infer_status status = infer_run(e.context, &input, 1, &output, 1, &error);
        REQUIRE(status == INFER_OK || status == INFER_MEMORY_LIMIT, "%s", error.message);
        done += status == INFER_OK;
    }
    size_t peak = peak_bytes();
    printf("limit_programs: %d of 30 run, %.1f MB at the peak under a limit of 64\n", done, (double)peak / (1 << 20));
    REQUIRE(done == 15, "%d of the 15 that fit were run", done);
    REQUIRE(peak <= LIMIT + BESIDE, "%zu bytes at the peak", peak);
    embed_end(&e);
    return 0;
}
