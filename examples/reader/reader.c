/* Reads a page: reader DETECTOR.bin RECOGNIZER.bin PAGE.ppm prints the lines of text on it, from the top. The models
 * are PP-OCR's. The detector takes an image, blue first, in [-1, 1], whose sides are multiples of 32, and gives a map
 * of where text is; from that come the corners of lines (quads.c). The recognizer takes lines of 48 rows, and gives a
 * score for each character, and for none, at each eighth column. Lines are cut out, read and put into words while
 * others are. */
#include "reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_WIDTH = 320, GROUP = 6 };

struct line {
    struct quad quad;
    double ratio;  /* of the line's width to its height */
    int64_t width; /* of what the recognizer is given: the line, and room behind it */
    char text[MOST_TEXT];
    float score;
    infer_tensor inputs[3], results[2];
};

static int from_the_top(const void *a, const void *b)
{
    const struct point *p = ((const struct line *)a)->quad.corner, *q = ((const struct line *)b)->quad.corner;
    return p->y != q->y ? (p->y > q->y) - (p->y < q->y) : (p->x > q->x) - (p->x < q->x);
}

static int by_ratio(const void *a, const void *b)
{
    const struct line *p = *(struct line *const *)a, *q = *(struct line *const *)b;
    return (p->ratio > q->ratio) - (p->ratio < q->ratio);
}

/* Quads in pixels of the page, sorted; what stands at about the same height is sorted from the left. */
static int make_lines(const struct image *page, const struct quad *quads, int64_t count, struct line *lines)
{
    int made = 0;
    for (int64_t i = 0; i < count; i++) {
        struct line *line = &lines[made];
        struct point *c = line->quad.corner;
        for (int k = 0; k < 4; k++) {
            c[k].x = fmin(fmax(round(quads[i].corner[k].x * page->width), 0), page->width - 1);
            c[k].y = fmin(fmax(round(quads[i].corner[k].y * page->height), 0), page->height - 1);
        }
        made += hypot(c[0].x - c[1].x, c[0].y - c[1].y) >= 4 && hypot(c[0].x - c[3].x, c[0].y - c[3].y) >= 4;
    }
    qsort(lines, (size_t)made, sizeof *lines, from_the_top);
    for (int i = 1; i < made; i++)
        for (int k = i; k > 0; k--) {
            struct quad *below = &lines[k].quad, *above = &lines[k - 1].quad, other = *above;
            if (fabs(below->corner->y - above->corner->y) >= 10 || below->corner->x >= above->corner->x)
                break;
            *above = *below;
            *below = other;
        }
    return made;
}

/* Lines of about the same width are read together, in as much room as the widest of them needs. */
static infer_status read_lines(infer_predictor *recognizer, const infer_tensor *page, struct line *lines, int count,
                               infer_error *error)
{
    static struct line *sorted[MOST_LINES];
    static infer_item items[MOST_LINES];
    for (int i = 0; i < count; i++) {
        int width, height;
        quad_size(&lines[i].quad, &width, &height);
        lines[i].ratio = (double)width / height;
        sorted[i] = &lines[i];
    }
    qsort(sorted, (size_t)count, sizeof *sorted, by_ratio);
    for (int i = 0; i < count; i++) {
        struct line *line = sorted[i];
        int widest = i / GROUP * GROUP + GROUP - 1;
        line->width = (int64_t)fmax(ROWS * sorted[widest < count ? widest : count - 1]->ratio, LEAST_WIDTH);
        line->inputs[0] = *page;
        line->inputs[1] = infer_input(&line->quad, INFER_FLOAT64, 2, (const int64_t[]){4, 2});
        line->inputs[2] = infer_input(&line->width, INFER_INT64, 0, NULL);
        line->results[0] = infer_output(line->text, sizeof line->text);
        line->results[1] = infer_output(&line->score, sizeof line->score);
        items[i] = (infer_item){.inputs = line->inputs, .input_count = 3, .results = line->results, .result_count = 2};
    }
    return infer_predict_batch(recognizer, items, (size_t)count, NULL, error);
}

static infer_status read_whole(infer_predictor *detector, infer_predictor *recognizer, const struct image *page,
                               infer_error *error)
{
    static struct quad quads[MOST_LINES];
    static struct line lines[MOST_LINES];
    infer_tensor input = infer_input(page->pixels, INFER_UINT8, 3, (const int64_t[]){page->height, page->width, 3});
    infer_tensor found = infer_output(quads, sizeof quads);
    infer_status status = infer_predict(detector, &input, 1, &found, 1, NULL, error);
    int count = status == INFER_OK ? make_lines(page, quads, found.dims[0], lines) : 0;
    if (status == INFER_OK)
        status = read_lines(recognizer, &input, lines, count, error);
    for (int i = 0; i < count && status == INFER_OK; i++)
        if (lines[i].score >= 0.5f)
            printf("%.*s\n", (int)lines[i].results[0].dims[0], lines[i].text);
    return status;
}

static void learn(struct alphabet *alphabet, const infer_predictor *recognizer)
{
    const char *at = infer_model_metadata(infer_predictor_model(recognizer), "character");
    while (at && *at && alphabet->count + 1 < MOST_CHARACTERS) {
        const char *end = at + strcspn(at, "\n");
        alphabet->from[alphabet->count++] = at;
        alphabet->from[alphabet->count] = end + 1;
        at = *end ? end + 1 : end;
    }
}

int main(int argc, char **argv)
{
    static struct alphabet alphabet;
    struct image page = {0, 0, NULL};
    infer_executor *executor = NULL;
    infer_predictor *detector = NULL, *recognizer = NULL;
    infer_error error = {INFER_OK, ""};
    if (argc != 4)
        return fprintf(stderr, "usage: reader DETECTOR.bin RECOGNIZER.bin PAGE.ppm\n") < 0 ? 1 : 2;
    int good = read_page(argv[3], &page);
    if (!good)
        fprintf(stderr, "reader: %s is no binary PPM of 8 bits with up to %d pixels a side\n", argv[3], MOST_SIDE);
    infer_status status = good ? infer_executor_create(NULL, &executor, &error) : INFER_IO;
    infer_predictor_options detects = {
        .path = argv[1],
        .session_options = {.executor = executor},
        .hooks = {.preprocess = page_to_image, .postprocess = map_to_quads, .given_count = 1, .result_count = 1},
    };
    infer_predictor_options recognizes = {
        .path = argv[2],
        .session_options = {.executor = executor},
        .batch_size = GROUP,
        .hooks = {NULL, quad_to_line, scores_to_text, &alphabet, .given_count = 3, .result_count = 2},
    };
    if (status == INFER_OK)
        status = infer_predictor_create(&detects, &detector, &error);
    if (status == INFER_OK)
        status = infer_predictor_create(&recognizes, &recognizer, &error);
    if (status == INFER_OK) {
        learn(&alphabet, recognizer);
        status = read_whole(detector, recognizer, &page, &error);
    }
    if (status != INFER_OK && good)
        fprintf(stderr, "reader: %s\n", error.message);
    infer_predictor_release(detector);
    infer_predictor_release(recognizer);
    infer_executor_release(executor);
    free(page.pixels);
    return status == INFER_OK ? 0 : 1;
}
