#include "reader.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define TEXT 0.3f      /* at least: a pixel of text */
#define GOOD 0.5       /* on average: a line of text */
#define ROUND_STEPS 32 /* points of a circle */

/* --- quads -------------------------------------------------------------------------------------------------------- */

static int by_row(const void *a, const void *b)
{
    const struct point *p = a, *q = b;
    return p->y < q->y ? -1 : p->y > q->y ? 1 : (p->x > q->x) - (p->x < q->x);
}

static double turn(struct point a, struct point b, struct point c)
{
    return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
}

/* The convex hull of points that are sorted by row, with room for one more than there are. */
static int hull_of(const struct point *points, int count, struct point *hull)
{
    int size = 0, lower = 0;
    for (int i = 0; i < 2 * count - 1; i++) {
        struct point p = points[i < count ? i : 2 * count - 2 - i];
        while (size >= lower + 2 && turn(hull[size - 2], hull[size - 1], p) <= 0)
            size--;
        hull[size++] = p;
        if (i == count - 1)
            lower = size - 1;
    }
    return size > 1 ? size - 1 : size;
}

static int by_column(const void *a, const void *b)
{
    const struct point *p = a, *q = b;
    return (p->x > q->x) - (p->x < q->x);
}

/* The smallest rectangle around a hull. Returns its shorter side. */
static double rectangle_of(const struct point *hull, int count, struct quad *quad)
{
    double least = INFINITY, shorter = 0;
    for (int i = 0; i < count; i++) {
        struct point a = hull[i], b = hull[(i + 1) % count];
        double length = hypot(b.x - a.x, b.y - a.y), ux = length > 0 ? (b.x - a.x) / length : 1,
               uy = length > 0 ? (b.y - a.y) / length : 0, low[2] = {INFINITY, INFINITY},
               high[2] = {-INFINITY, -INFINITY};
        for (int k = 0; k < count; k++) {
            double along[2] = {hull[k].x * ux + hull[k].y * uy, hull[k].y * ux - hull[k].x * uy};
            for (int d = 0; d < 2; d++)
                low[d] = fmin(low[d], along[d]), high[d] = fmax(high[d], along[d]);
        }
        if ((high[0] - low[0]) * (high[1] - low[1]) >= least)
            continue;
        least = (high[0] - low[0]) * (high[1] - low[1]);
        shorter = fmin(high[0] - low[0], high[1] - low[1]);
        for (int k = 0; k < 4; k++) {
            double u = k & 1 ? high[0] : low[0], v = k & 2 ? high[1] : low[1];
            quad->corner[k] = (struct point){u * ux - v * uy, u * uy + v * ux};
        }
    }
    struct point c[4];
    memcpy(c, quad->corner, sizeof c);
    qsort(c, 4, sizeof *c, by_column);
    int left = c[0].y > c[1].y, right = c[2].y > c[3].y;
    *quad = (struct quad){{c[left], c[2 + right], c[3 - right], c[1 - left]}};
    return shorter;
}

/* The mean of the map within a quad, as bare pixels. */
static double mean_within(const float *map, int width, int height, const struct quad *quad)
{
    double sum = 0, count = 0;
    struct point c[4];
    for (int k = 0; k < 4; k++)
        c[k] = (struct point){trunc(quad->corner[k].x), trunc(quad->corner[k].y)};
    int top = (int)fmax(fmin(c[0].y, c[1].y), 0), bottom = (int)fmin(fmax(c[2].y, c[3].y), height - 1);
    int left = (int)fmax(fmin(c[0].x, c[3].x), 0), right = (int)fmin(fmax(c[1].x, c[2].x), width - 1);
    for (int y = top; y <= bottom; y++)
        for (int x = left; x <= right; x++) {
            int inside = 1;
            for (int k = 0; k < 4; k++)
                inside = inside && turn(c[k], c[(k + 1) % 4], (struct point){x, y}) >= 0;
            sum += inside ? (double)map[y * width + x] : 0;
            count += inside;
        }
    return count > 0 ? sum / count : 0;
}

/* The detector marks the middle of a line: a quad as much larger all around as the line is. Returns its shorter side.
 */
static double grow(struct quad *quad)
{
    struct point points[4 * ROUND_STEPS], hull[4 * ROUND_STEPS + 1], c[4];
    double area = 0, around = 0;
    for (int k = 0; k < 4; k++) {
        struct point a = quad->corner[k], b = quad->corner[(k + 1) % 4];
        area += (a.x * b.y - b.x * a.y) / 2;
        around += hypot(b.x - a.x, b.y - a.y);
        c[k] = (struct point){trunc(a.x + 1e-4), trunc(a.y + 1e-4)};
    }
    for (int i = 0; i < 4 * ROUND_STEPS; i++) {
        double angle = 2 * 3.14159265358979 * (i / 4) / ROUND_STEPS, by = fabs(area) * 1.6 / around;
        points[i] = (struct point){round(c[i % 4].x + by * cos(angle)), round(c[i % 4].y + by * sin(angle))};
    }
    qsort(points, 4 * ROUND_STEPS, sizeof *points, by_row);
    return rectangle_of(hull, hull_of(points, 4 * ROUND_STEPS, hull), quad);
}

/* --- the map ------------------------------------------------------------------------------------------------------ */

/* What find_quads works with: a mask with a frame of nothing, 1 for text that no quad has; and room for all of it. */
struct work {
    int stride;
    unsigned char *mask;
    int *stack;
    struct point *ends, *hull;
};

/* Text, and its neighbours to the right and below: lines hang together better so. */
static void fill_mask(struct work *work, const float *map, int width, int height)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int k = 0; k < 4 && map[y * width + x] > TEXT; k++)
                if (y + k / 2 < height && x + k % 2 < width)
                    work->mask[(y + k / 2 + 1) * work->stride + x + k % 2 + 1] = 1;
}

/* Takes the text that hangs together with `first` out of the mask: the ends of its rows, whose number is returned. */
static int take_text(struct work *work, int first)
{
    int count = 0, size = 0;
    work->mask[first] = 2;
    work->stack[size++] = first;
    while (size > 0) {
        int at = work->stack[--size];
        if (!work->mask[at - 1] || !work->mask[at + 1])
            work->ends[count++] = (struct point){at % work->stride - 1, at / work->stride - 1};
        for (int k = 0; k < 9; k++) {
            int next = at + (k / 3 - 1) * work->stride + k % 3 - 1;
            if (work->mask[next] == 1) {
                work->mask[next] = 2;
                work->stack[size++] = next;
            }
        }
    }
    qsort(work->ends, (size_t)count, sizeof *work->ends, by_row);
    return count;
}

int find_quads(const float *map, int width, int height, struct quad *quads, int most)
{
    int found = 0;
    size_t room = (size_t)(width + 2) * (size_t)(height + 2);
    struct work work = {width + 2, calloc(room, 1), malloc(room * sizeof(int)), malloc(room * sizeof(struct point)),
                        malloc((room + 1) * sizeof(struct point))};
    bool good = work.mask && work.stack && work.ends && work.hull;
    if (good)
        fill_mask(&work, map, width, height);
    for (int i = 0; good && i < (int)room && found < most; i++) {
        struct quad quad;
        if (work.mask[i] != 1)
            continue;
        int count = hull_of(work.ends, take_text(&work, i), work.hull);
        if (rectangle_of(work.hull, count, &quad) < 3 || mean_within(map, width, height, &quad) < GOOD ||
            grow(&quad) < 5)
            continue;
        for (int k = 0; k < 4; k++)
            quads[found].corner[k] = (struct point){quad.corner[k].x / width, quad.corner[k].y / height};
        found++;
    }
    free(work.mask), free(work.stack), free(work.ends), free(work.hull);
    return good ? found : -1;
}
