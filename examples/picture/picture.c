/* Says what pictures show: picture MODEL.bin PICTURE... with pictures in PNG (where the program was built with libpng)
 * or binary PPM, of any size. The model is MobileNetV2: a float32 image 1x3x224x224 in [-2, 2], and a score a class.
 * The predictor resizes pictures and sorts scores on its workers, while the model runs others. */
#include <infer_predictor.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if __has_include(<png.h>) && !defined WITHOUT_PNG
#include <png.h>
#endif

enum { SIDE = 224, BEST = 5, MOST_SIDE = 16384 };

struct picture {
    int width, height;
    unsigned char *pixels; /* red, green, blue; rows from the top */
};

/* A place among the classes. */
struct place {
    float score;
    int32_t class;
};

static unsigned char *room_for(struct picture *picture)
{
    int good = picture->width > 0 && picture->height > 0 && picture->width <= MOST_SIDE && picture->height <= MOST_SIDE;
    picture->pixels = good ? malloc((size_t)picture->width * (size_t)picture->height * 3) : NULL;
    return picture->pixels;
}

static const char *read_ppm(const char *path, struct picture *picture)
{
    FILE *file = fopen(path, "rb");
    int most = 0;
    int good =
        file && fscanf(file, "P6 %d %d %d", &picture->width, &picture->height, &most) == 3 && most == 255 &&
        fgetc(file) != EOF && room_for(picture) &&
        fread(picture->pixels, (size_t)picture->width * 3, (size_t)picture->height, file) == (size_t)picture->height;
    if (file)
        fclose(file);
    return good ? NULL : "cannot be read as a binary PPM of 8 bits";
}

static const char *read_png(const char *path, struct picture *picture)
{
#ifdef PNG_LIBPNG_VER_STRING
    static char reason[64];
    png_image png;
    memset(&png, 0, sizeof png);
    png.version = PNG_IMAGE_VERSION;
    int good = png_image_begin_read_from_file(&png, path);
    png.format = PNG_FORMAT_RGB;
    picture->width = good && png.width <= MOST_SIDE ? (int)png.width : 0;
    picture->height = good && png.height <= MOST_SIDE ? (int)png.height : 0;
    const png_color white = {255, 255, 255}; /* behind what is transparent */
    good = good && room_for(picture) && png_image_finish_read(&png, &white, picture->pixels, 0, NULL);
    snprintf(reason, sizeof reason, "%.63s", png.message[0] ? png.message : "is too large a PNG");
    png_image_free(&png);
    return good ? NULL : reason;
#else
    (void)path, (void)picture;
    return "is no PPM, and this program was built without libpng, which reads PNG";
#endif
}

static const char *read_picture(const char *path, struct picture *picture)
{
    char head[2] = {0, 0};
    FILE *file = fopen(path, "rb");
    if (!file)
        return "cannot be opened";
    size_t got = fread(head, 1, 2, file);
    fclose(file);
    return got == 2 && memcmp(head, "P6", 2) == 0 ? read_ppm(path, picture) : read_png(path, picture);
}

/* The pixel at a place between pixels, by those around it. */
static float pixel_at(const unsigned char *pixels, int width, int height, float y, float x, int colour)
{
    y = y < 0 ? 0 : y > (float)(height - 1) ? (float)(height - 1) : y;
    x = x < 0 ? 0 : x > (float)(width - 1) ? (float)(width - 1) : x;
    int top = (int)y, left = (int)x, bottom = top + (top + 1 < height), right = left + (left + 1 < width);
    float down = y - (float)top, along = x - (float)left;
    const unsigned char *above = pixels + (size_t)top * (size_t)width * 3 + colour;
    const unsigned char *below = pixels + (size_t)bottom * (size_t)width * 3 + colour;
    float upper = (float)above[left * 3] + along * (float)(above[right * 3] - above[left * 3]);
    float lower = (float)below[left * 3] + along * (float)(below[right * 3] - below[left * 3]);
    return upper + down * (lower - upper);
}

/* Bytes height x width x 3 become what the model takes. */
static infer_status to_image(void *user, infer_hook *hook, const infer_tensor *given, size_t given_count,
                             infer_tensor *inputs, size_t input_count, infer_error *error)
{
    const int64_t dims[4] = {1, 3, SIDE, SIDE};
    int height = (int)given[0].dims[0], width = (int)given[0].dims[1];
    float *image = infer_hook_memory(hook, sizeof *image * 3 * SIDE * SIDE);
    (void)user, (void)given_count, (void)input_count, (void)error;
    if (!image)
        return INFER_OUT_OF_MEMORY;
    for (int i = 0; i < 3 * SIDE * SIDE; i++) {
        float y = ((float)(i / SIDE % SIDE) + 0.5f) * (float)height / SIDE - 0.5f;
        float x = ((float)(i % SIDE) + 0.5f) * (float)width / SIDE - 0.5f;
        image[i] = pixel_at(given[0].data, width, height, y, x, i / (SIDE * SIDE)) / 255 * 4 - 2;
    }
    inputs[0] = infer_input(image, INFER_FLOAT32, 4, dims);
    return INFER_OK;
}

/* Scores become the best places, as bytes. */
static infer_status to_places(void *user, infer_hook *hook, const infer_tensor *outputs, size_t output_count,
                              infer_tensor *results, size_t result_count, infer_error *error)
{
    const float *scores = outputs[0].data;
    struct place *best = infer_hook_memory(hook, BEST * sizeof *best);
    (void)user, (void)output_count, (void)result_count, (void)error;
    if (!best)
        return INFER_OUT_OF_MEMORY;
    for (int32_t class = 0, count = 0; class < outputs[0].dims[1]; class ++) {
        int at = count < BEST ? count++ : BEST;
        for (; at > 0 && scores[class] > best[at - 1].score; at--)
            if (at < BEST)
                best[at] = best[at - 1];
        if (at < BEST)
            best[at] = (struct place){scores[class], class};
    }
    results[0] = infer_input(best, INFER_UINT8, 1, (const int64_t[]){BEST * sizeof *best});
    return INFER_OK;
}

static void print_places(const char *path, const infer_item *item, const struct place *best)
{
    if (item->error.status != INFER_OK) {
        fprintf(stderr, "picture: %s: %s\n", path, item->error.message);
        return;
    }
    printf("%s\n", path);
    for (int i = 0; i < BEST; i++)
        printf("%10.5f  class %d\n", (double)best[i].score, (int)best[i].class);
}

int main(int argc, char **argv)
{
    int count = argc - 2, read = 0, good = 1;
    infer_predictor *predictor;
    infer_error error;
    if (count < 1)
        return fprintf(stderr, "usage: picture MODEL.bin PICTURE...\n") < 0 ? 1 : 2;
    infer_predictor_options options = {
        .path = argv[1],
        .hooks = {.preprocess = to_image, .postprocess = to_places, .given_count = 1, .result_count = 1},
    };
    if (infer_predictor_create(&options, &predictor, &error) != INFER_OK)
        return fprintf(stderr, "picture: %s\n", error.message) < 0 ? 2 : 1;
    struct picture *pictures = calloc((size_t)count, sizeof *pictures);
    infer_tensor *tensors = calloc((size_t)count, 2 * sizeof *tensors);
    infer_item *items = calloc((size_t)count, sizeof *items);
    struct place(*best)[BEST] = calloc((size_t)count, sizeof *best);
    for (good = pictures && tensors && items && best; good && read < count; read++) {
        struct picture *picture = &pictures[read];
        const char *complaint = read_picture(argv[2 + read], picture);
        if (complaint)
            fprintf(stderr, "picture: %s %s\n", argv[2 + read], complaint);
        good = !complaint;
        infer_tensor *input = &tensors[2 * read], *result = input + 1;
        *input = infer_input(picture->pixels, INFER_UINT8, 3, (const int64_t[]){picture->height, picture->width, 3});
        *result = infer_output(best[read], sizeof best[read]);
        items[read] = (infer_item){.inputs = input, .input_count = 1, .results = result, .result_count = 1};
    }
    if (good) {
        good = infer_predict_batch(predictor, items, (size_t)count, NULL, NULL) == INFER_OK;
        for (int i = 0; i < count; i++)
            print_places(argv[2 + i], &items[i], best[i]);
    }
    infer_predictor_release(predictor);
    for (int i = 0; i < read; i++)
        free(pictures[i].pixels);
    free(pictures), free(tensors), free(items), free(best);
    return good ? 0 : 1;
}
