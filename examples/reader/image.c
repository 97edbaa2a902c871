#include "reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int read_page(const char *path, struct image *page)
{
    FILE *file = fopen(path, "rb");
    int most = 0;
    int good = file && fscanf(file, "P6 %d %d %d", &page->width, &page->height, &most) == 3 && most == 255 &&
               fgetc(file) != EOF && page->width > 0 && page->height > 0 && page->width <= MOST_SIDE &&
               page->height <= MOST_SIDE;
    size_t bytes = good ? (size_t)page->width * (size_t)page->height * 3 : 0;
    page->pixels = malloc(bytes ? bytes : 1);
    good = good && page->pixels && fread(page->pixels, bytes, 1, file) == 1;
    if (file)
        fclose(file);
    return good;
}

static const unsigned char *pixel(const struct image *image, int x, int y)
{
    x = x < 0 ? 0 : x >= image->width ? image->width - 1 : x;
    y = y < 0 ? 0 : y >= image->height ? image->height - 1 : y;
    return image->pixels + 3 * ((size_t)y * (size_t)image->width + (size_t)x);
}

/* In whole numbers, as the library does that the recognizer was trained with: it tells narrow blanks by a shade. */
void to_planes(const struct image *image, int width, int height, int stride, float *planes)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            double u = (x + 0.5) * image->width / width - 0.5, v = (y + 0.5) * image->height / height - 0.5;
            int left = (int)floor(u), top = (int)floor(v);
            int right_part = (int)nearbyint((u - left) * 2048), lower_part = (int)nearbyint((v - top) * 2048);
            for (int c = 0; c < 3; c++) {
                int row[2];
                for (int k = 0; k < 2; k++)
                    row[k] = (pixel(image, left, top + k)[c] * (2048 - right_part) +
                              pixel(image, left + 1, top + k)[c] * right_part) >>
                             4;
                int value = ((row[0] * (2048 - lower_part) >> 16) + (row[1] * lower_part >> 16) + 2) >> 2;
                planes[((2 - c) * height + y) * stride + x] = (float)value / 127.5f - 1;
            }
        }
}

/* Weights of the four pixels around a place between the second and the third of them. */
static void cubic(double at, double weights[4])
{
    const double a = -0.75;
    for (int k = 0; k < 4; k++) {
        double d = fabs(k - 1 - at);
        weights[k] = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
    }
}

void quad_size(struct quad *quad, int *width, int *height)
{
    struct point *c = quad->corner, first = c[0];
    *width = (int)fmax(hypot(c[0].x - c[1].x, c[0].y - c[1].y), hypot(c[2].x - c[3].x, c[2].y - c[3].y));
    *height = (int)fmax(hypot(c[0].x - c[3].x, c[0].y - c[3].y), hypot(c[1].x - c[2].x, c[1].y - c[2].y));
    if (*height < 1.5 * *width)
        return;
    memmove(c, c + 1, 3 * sizeof *c);
    c[3] = first;
    int side = *width;
    *width = *height;
    *height = side;
}

void cut_out(const struct image *page, const struct quad *quad, struct image *line)
{
    const struct point *q = quad->corner;
    for (int i = 0; i < line->width * line->height; i++) {
        double u = (double)(i % line->width) / line->width, v = (double)(i / line->width) / line->height;
        double x = (1 - v) * (q[0].x + u * (q[1].x - q[0].x)) + v * (q[3].x + u * (q[2].x - q[3].x));
        double y = (1 - v) * (q[0].y + u * (q[1].y - q[0].y)) + v * (q[3].y + u * (q[2].y - q[3].y));
        double across[4], down[4], sum[3] = {0.5, 0.5, 0.5};
        cubic(x - floor(x), across);
        cubic(y - floor(y), down);
        for (int k = 0; k < 16; k++)
            for (int c = 0; c < 3; c++)
                sum[c] +=
                    across[k % 4] * down[k / 4] * pixel(page, (int)floor(x) + k % 4 - 1, (int)floor(y) + k / 4 - 1)[c];
        for (int c = 0; c < 3; c++)
            line->pixels[3 * i + c] = (unsigned char)fmin(fmax(sum[c], 0), 255);
    }
}
