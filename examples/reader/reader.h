/* What the files of the reader share: images, and quads, which are lines of text on them. */
#ifndef READER_READER_H
#define READER_READER_H

#include <infer_predictor.h>

enum { MOST_SIDE = 2000, MOST_LINES = 1000, MOST_TEXT = 4096, MOST_CHARACTERS = 8192, ROWS = 48 };

/* Pixels of three bytes, red first; rows from the top. */
struct image {
    int width, height;
    unsigned char *pixels;
};

struct point {
    double x, y;
};

/* Four corners: upper left, upper right, lower right, lower left. */
struct quad {
    struct point corner[4];
};

/* --- quads.c ------------------------------------------------------------------------------------------------------ */

/* Quads around the lines of text in a map of the probability of text at each pixel, the first `most` of them, with
 * corners as fractions of the map's sides. Returns how many; -1: there is no memory. */
int find_quads(const float *map, int width, int height, struct quad *quads, int most);

/* --- image.c ------------------------------------------------------------------------------------------------------ */

/* A binary PPM of 8 bits, with up to MOST_SIDE pixels on a side. Returns whether it could be read; the pixels are the
 * caller's to be freed anyway. */
int read_page(const char *path, struct image *page);

/* The image resized to width x height, as planes of [-1, 1], blue first, with rows of `stride`. */
void to_planes(const struct image *image, int width, int height, int stride, float *planes);

/* Width and height of a quad's line, laid straight. One that stands upright is laid on its side: its corners move on.
 */
void quad_size(struct quad *quad, int *width, int *height);

/* What a quad on the page shows, laid straight, as large as `line` says. */
void cut_out(const struct image *page, const struct quad *quad, struct image *line);

/* --- hooks.c ------------------------------------------------------------------------------------------------------ */

/* The characters that the recognizer knows: where each begins, behind a line's end after the one before. */
struct alphabet {
    const char *from[MOST_CHARACTERS];
    int64_t count;
};

/* The detector's: a page, bytes height x width x 3, becomes quads n x 4 x 2 of float64, fractions of its sides. */
infer_status page_to_image(void *user, infer_hook *hook, const infer_tensor *given, size_t given_count,
                           infer_tensor *inputs, size_t input_count, infer_error *error);
infer_status map_to_quads(void *user, infer_hook *hook, const infer_tensor *outputs, size_t output_count,
                          infer_tensor *results, size_t result_count, infer_error *error);
/* The recognizer's, whose user is an alphabet: a page, a quad in its pixels, and the width of what the model is to have
 * become text in UTF-8, bytes, and how sure the model is of it, a float32 from 0 to 1. */
infer_status quad_to_line(void *user, infer_hook *hook, const infer_tensor *given, size_t given_count,
                          infer_tensor *inputs, size_t input_count, infer_error *error);
infer_status scores_to_text(void *user, infer_hook *hook, const infer_tensor *outputs, size_t output_count,
                            infer_tensor *results, size_t result_count, infer_error *error);

#endif
