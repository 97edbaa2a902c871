/* Finds the text on pages of any size: ocr MODEL.bin PAGE.ppm... writes PAGE.ppm.pgm for each, white where text is. The
 * model is PP-OCR's detector: a float32 image 1x3xHxW in [-1, 1], whose sides are multiples of 32, and the probability
 * of text at each pixel. All sizes are prepared before the first page is looked at: one context serves them all, in
 * memory that the largest needs, and what a page takes is known before. */
#include <infer.h>
#include <stdio.h>
#include <stdlib.h>

struct page {
    const char *path;
    int64_t dims[4]; /* of the model's input: the page's sides, rounded up */
    float *pixels, *text;
};

static int64_t round_up(int side)
{
    return (side + 31) / 32 * 32;
}

/* A binary PPM of 8 bits, at the upper left of white paper. */
static int read_page(const char *path, struct page *page)
{
    int width, height;
    FILE *file = fopen(path, "rb");
    int good = file && fscanf(file, "P6 %d %d 255", &width, &height) == 2 && width > 0 && height > 0 && width < 16384 &&
               height < 16384 && fgetc(file) != EOF;
    if (good) {
        *page = (struct page){.path = path, .dims = {1, 3, round_up(height), round_up(width)}};
        int64_t columns = page->dims[3], plane = page->dims[2] * columns;
        page->pixels = malloc((size_t)plane * 3 * sizeof *page->pixels);
        page->text = malloc((size_t)plane * sizeof *page->text);
        good = page->pixels && page->text;
        for (int64_t i = 0; good && i < 3 * plane; i++)
            page->pixels[i] = 1;
        for (int64_t i = 0; good && i < (int64_t)height * width * 3; i++)
            page->pixels[i % 3 * plane + i / 3 / width * columns + i / 3 % width] = (float)fgetc(file) / 127.5f - 1;
        good = good && !feof(file);
    }
    if (file)
        fclose(file);
    if (!good)
        fprintf(stderr, "ocr: %s cannot be read as a binary PPM of 8 bits\n", path);
    return good;
}

static int write_text(const struct page *page)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.pgm", page->path);
    FILE *file = fopen(path, "wb");
    int good = file && fprintf(file, "P5 %d %d 255\n", (int)page->dims[3], (int)page->dims[2]) > 0;
    for (int64_t i = 0; good && i < page->dims[2] * page->dims[3]; i++)
        good = fputc(page->text[i] > 0.3f ? 255 : 0, file) != EOF;
    if (!file || fclose(file) != 0 || !good)
        return perror(path), 0;
    return 1;
}

static infer_status prepare(infer_session *session, const struct page *page, infer_error *error)
{
    infer_memory memory;
    infer_tensor input = infer_input(NULL, INFER_FLOAT32, 4, page->dims);
    infer_status status = infer_session_prepare(session, &input, 1, &memory, error);
    if (status == INFER_OK)
        printf("%s: %d x %d, %zu steps, %.1f MB\n", page->path, (int)page->dims[3], (int)page->dims[2], memory.steps,
               (double)memory.arena_bytes / 1e6);
    return status;
}

static infer_status find_text(infer_context *context, struct page *page, infer_error *error)
{
    infer_tensor input = infer_input(page->pixels, INFER_FLOAT32, 4, page->dims);
    infer_tensor output = infer_output(page->text, (size_t)(page->dims[2] * page->dims[3]) * sizeof *page->text);
    return infer_run(context, &input, 1, &output, 1, error);
}

int main(int argc, char **argv)
{
    infer_error error = {INFER_OK, ""};
    infer_model *model = NULL;
    infer_session *session = NULL;
    infer_context *context = NULL;
    int count = argc > 2 ? argc - 2 : 0;
    struct page *pages = calloc((size_t)count + 1, sizeof *pages);
    int good = pages && count > 0;
    if (!good)
        fprintf(stderr, "usage: ocr MODEL.bin PAGE.ppm...\n");
    for (int i = 0; i < count && good; i++)
        good = read_page(argv[2 + i], &pages[i]);
    infer_status status = good ? infer_model_open(argv[1], NULL, &model, &error) : INFER_INVALID_ARGUMENT;
    if (status == INFER_OK)
        status = infer_session_create(model, NULL, &session, &error);
    for (int i = 0; i < count && status == INFER_OK; i++)
        status = prepare(session, &pages[i], &error);
    if (status == INFER_OK)
        status = infer_context_create(session, &context, &error);
    for (int i = 0; i < count && status == INFER_OK && good; i++) {
        status = find_text(context, &pages[i], &error);
        good = status == INFER_OK && write_text(&pages[i]);
    }
    if (*error.message)
        fprintf(stderr, "ocr: %s\n", error.message);
    infer_context_release(context);
    infer_session_release(session);
    infer_model_release(model);
    for (int i = 0; i < count; i++)
        free(pages[i].pixels), free(pages[i].text);
    free(pages);
    return status == INFER_OK && good ? 0 : 1;
}
