#include "reader.h"

#include <math.h>
#include <string.h>

enum { SHORTER_SIDE = 736, LONGER_SIDE = 32 * MOST_SIDE };

static int sides_of_32(double side)
{
    return (int)nearbyint(floor(side) / 32) * 32;
}

/* A page becomes the detector's image: its shorter side as long as the detector likes it. */
infer_status page_to_image(void *user, infer_hook *hook, const infer_tensor *given, size_t given_count,
                           infer_tensor *inputs, size_t input_count, infer_error *error)
{
    (void)user, (void)given_count, (void)input_count;
    struct image page = {(int)given[0].dims[1], (int)given[0].dims[0], given[0].data};
    double scale = fmax(1, SHORTER_SIDE / fmin(page.width, page.height));
    int width = sides_of_32(page.width * scale), height = sides_of_32(page.height * scale);
    if (width > LONGER_SIDE || height > LONGER_SIDE) {
        strcpy(error->message, "the page is too narrow for its length");
        return INFER_INVALID_ARGUMENT;
    }
    float *image = infer_hook_memory(hook, (size_t)width * (size_t)height * 3 * sizeof *image);
    if (!image)
        return INFER_OUT_OF_MEMORY;
    to_planes(&page, width, height, width, image);
    inputs[0] = infer_input(image, INFER_FLOAT32, 4, (const int64_t[]){1, 3, height, width});
    return INFER_OK;
}

infer_status map_to_quads(void *user, infer_hook *hook, const infer_tensor *outputs, size_t output_count,
                          infer_tensor *results, size_t result_count, infer_error *error)
{
    (void)user, (void)output_count, (void)result_count, (void)error;
    struct quad *quads = infer_hook_memory(hook, MOST_LINES * sizeof *quads);
    int width = (int)outputs[0].dims[3], height = (int)outputs[0].dims[2];
    int count = quads ? find_quads(outputs[0].data, width, height, quads, MOST_LINES) : -1;
    results[0] = infer_input(quads, INFER_FLOAT64, 3, (const int64_t[]){count, 4, 2});
    return count < 0 ? INFER_OUT_OF_MEMORY : INFER_OK;
}

/* Given: a page, a quad on it, and the width of what the recognizer is to have; behind the line is grey. */
infer_status quad_to_line(void *user, infer_hook *hook, const infer_tensor *given, size_t given_count,
                          infer_tensor *inputs, size_t input_count, infer_error *error)
{
    (void)user, (void)given_count, (void)input_count, (void)error;
    struct image page = {(int)given[0].dims[1], (int)given[0].dims[0], given[0].data}, line;
    struct quad quad = *(const struct quad *)given[1].data;
    int64_t width = *(const int64_t *)given[2].data, bytes = 3 * ROWS * width * (int64_t)sizeof(float);
    quad_size(&quad, &line.width, &line.height);
    float *planes = infer_hook_memory(hook, (size_t)bytes);
    line.pixels = infer_hook_memory(hook, (size_t)line.width * (size_t)line.height * 3);
    if (!planes || !line.pixels)
        return INFER_OUT_OF_MEMORY;
    cut_out(&page, &quad, &line);
    memset(planes, 0, (size_t)bytes);
    to_planes(&line, (int)fmin(ceil(ROWS * (double)line.width / line.height), (double)width), ROWS, (int)width, planes);
    inputs[0] = infer_input(planes, INFER_FLOAT32, 4, (const int64_t[]){1, 3, ROWS, width});
    return INFER_OK;
}

/* The best character of each column, where it is one, and not the same as in the column before; 0 is none. */
infer_status scores_to_text(void *user, infer_hook *hook, const infer_tensor *outputs, size_t output_count,
                            infer_tensor *results, size_t result_count, infer_error *error)
{
    (void)output_count, (void)result_count, (void)error;
    const struct alphabet *alphabet = user;
    const float *scores = outputs[0].data;
    int64_t columns = outputs[0].dims[1], classes = outputs[0].dims[2], length = 0, before = 0, read = 0;
    char *text = infer_hook_memory(hook, MOST_TEXT);
    float *mean = infer_hook_memory(hook, sizeof *mean);
    if (!text || !mean)
        return INFER_OUT_OF_MEMORY;
    *mean = 0;
    for (int64_t column = 0; column < columns; column++, scores += classes) {
        int64_t best = 0;
        for (int64_t class = 1; class < classes; class ++)
            best = scores[class] > scores[best] ? class : best;
        if (best > 0 && best != before) {
            const char *from = best <= alphabet->count ? alphabet->from[best - 1] : " ";
            int64_t bytes = best <= alphabet->count ? alphabet->from[best] - from - 1 : 1;
            if (length + bytes > MOST_TEXT)
                break;
            memcpy(text + length, from, (size_t)bytes);
            length += bytes;
            *mean += (scores[best] - *mean) / (float)++read;
        }
        before = best;
    }
    results[0] = infer_input(text, INFER_UINT8, 1, &length);
    results[1] = infer_input(mean, INFER_FLOAT32, 0, NULL);
    return INFER_OK;
}
