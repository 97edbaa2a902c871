/* Draws an image from an .npy file as text: `show_digit FILE.npy`. float32, height x width after leading ones. */
#include "formats/npy.h"

#include <math.h>
#include <stdio.h>

static const char inks[] = " .:-=+*#%@"; /* from paper to ink; two characters a pixel make it about square */
#define DARKEST (sizeof inks - 2)
#define MAX_WIDTH 60

static enum status image_check(const struct npy_array *array, const char *path, struct error *error)
{
    if (array->dtype != DTYPE_F32)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%s: holds %s, not float32", path, dtype_name(array->dtype));
    if (array->rank < 2 || array->elements == 0)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%s: holds no image of height x width pixels", path);
    int64_t height = array->dims[array->rank - 2], width = array->dims[array->rank - 1];
    if (array->elements != height * width)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%s: holds %lld images, not one", path,
                         (long long)(array->elements / (height * width)));
    if (width > MAX_WIDTH)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%s: is %lld pixels wide, more than the %d that fit", path,
                         (long long)width, MAX_WIDTH);
    const float *pixels = array->data;
    for (int64_t i = 0; i < array->elements; i++)
        if (!isfinite(pixels[i]))
            return error_set(error, STATUS_INVALID_ARGUMENT, "%s: pixel %lld is not a finite number", path,
                             (long long)i);
    return STATUS_OK;
}

/* The largest pixel gets the darkest ink, so the scale may be 1, 16 or 255; what is below zero is paper. */
static void draw(const float *pixels, int64_t height, int64_t width)
{
    double largest = 0;
    for (int64_t i = 0; i < height * width; i++)
        largest = fmax(largest, pixels[i]);
    for (int64_t y = 0; y < height; y++) {
        char line[2 * MAX_WIDTH + 1];
        int64_t length = 0; /* up to the last pixel that is not paper */
        for (int64_t x = 0; x < width; x++) {
            double pixel = pixels[y * width + x];
            size_t ink = pixel > 0 ? (size_t)(pixel * DARKEST / largest + 0.5) : 0;
            line[2 * x] = line[2 * x + 1] = inks[ink];
            if (ink > 0)
                length = 2 * (x + 1);
        }
        line[length] = '\0';
        puts(line);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: show_digit FILE.npy\n", stderr);
        return 2;
    }
    struct npy_array array = {0};
    struct error error = {0};
    if (npy_read(&array, argv[1], &default_allocator, &error) == STATUS_OK &&
        image_check(&array, argv[1], &error) == STATUS_OK)
        draw(array.data, array.dims[array.rank - 2], array.dims[array.rank - 1]);
    npy_free(&array);
    if (error.status == STATUS_OK && (fflush(stdout) != 0 || ferror(stdout)))
        error_set(&error, STATUS_IO, "cannot write to standard output");
    if (error.status != STATUS_OK)
        fprintf(stderr, "show_digit: %s\n", error.text);
    return error.status != STATUS_OK;
}
