/* rounding MINILM: the bits are the same for any number of threads whatever the caller's floating-point environment. */
#include "embed.h"

#include <fenv.h>
#include <xmmintrin.h>

#define COUNT 64

static void take_environment(int way)
{
    static const int roundings[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    fesetenv(FE_DFL_ENV);
    if (way < 4)
        fesetround(roundings[way]);
    else
        _mm_setcsr(_mm_getcsr() | 0x8040); /* flush to zero, subnormals are zeros: as audio hosts set it */
}

int main(int argc, char **argv)
{
    static float kept[COUNT * VECTOR];
    for (int way = 0; way < 5; way++)
        for (int threads = 1; threads <= 3; threads++) {
            infer_session_options options = {.threads = threads};
            struct embedded e = embed(argv[argc - 1], &options);
            infer_error error = {INFER_OK, ""};
            infer_tensor output = infer_output(NULL, 0);
            take_environment(way);
            infer_status status = run_sentence(e.context, COUNT, &output, &error);
            take_environment(0);
            REQUIRE(status == INFER_OK && output.bytes == sizeof kept, "%s", error.message);
            if (way == 0 && threads == 1)
                memcpy(kept, output.data, sizeof kept);
            REQUIRE(memcmp(kept, output.data, sizeof kept) == 0, "other bits in environment %d on %d threads", way,
                    threads);
            embed_end(&e);
        }
    return 0;
}
