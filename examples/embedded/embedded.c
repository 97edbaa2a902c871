/* A program that carries its model, and needs no file: reads the 64 pixels of a handwritten digit, 0 (paper) to 16
 * (ink), and says which digit it is.
 *
 *     cc -DMODEL='"digits.bin"' embedded.c $(pkg-config --cflags --libs infer) -o embedded
 *     echo 0 0 8 13 ... | ./embedded
 *
 * The assembler takes the model's bytes as they are. At a multiple of 64 they are used in place, so all processes that
 * run the program share them. They are part of the program, as trustworthy as its code: no checksum is needed. */
#include <infer.h>
#include <stdio.h>

__asm__(".pushsection .rodata\n"
        ".balign 64\n"
        "model_begin: .incbin \"" MODEL "\"\n"
        "model_end:\n"
        ".popsection\n");
extern const char model_begin[], model_end[];

enum { PIXELS = 64, CLASSES = 10 };

static int read_digit(float digit[PIXELS])
{
    for (int i = 0; i < PIXELS; i++)
        if (scanf("%f", &digit[i]) != 1)
            return 0;
    return 1;
}

int main(void)
{
    const infer_model_options in_place = {.trust_weights = true};
    const infer_session_options alone = {.threads = 1};
    infer_error error = {INFER_OK, ""};
    infer_model *model = NULL;
    infer_session *session = NULL;
    infer_context *context = NULL;
    float digit[PIXELS], scores[CLASSES];
    infer_status status = infer_model_open_memory(model_begin, (size_t)(model_end - model_begin), "the model within",
                                                  &in_place, &model, &error);
    if (status == INFER_OK)
        status = infer_session_create(model, &alone, &session, &error);
    if (status == INFER_OK)
        status = infer_context_create(session, &context, &error);
    while (status == INFER_OK && read_digit(digit)) {
        const int64_t dims[4] = {1, 1, 8, 8};
        infer_tensor input = infer_input(digit, INFER_FLOAT32, 4, dims), output = infer_output(scores, sizeof scores);
        int best = 0;
        status = infer_run(context, &input, 1, &output, 1, &error);
        for (int i = 1; i < CLASSES; i++)
            if (scores[i] > scores[best])
                best = i;
        if (status == INFER_OK)
            printf("%d %.6f\n", best, (double)scores[best]);
    }
    if (status != INFER_OK)
        fprintf(stderr, "embedded: %s\n", error.message);
    infer_context_release(context);
    infer_session_release(session);
    infer_model_release(model);
    return status == INFER_OK ? 0 : 1;
}
