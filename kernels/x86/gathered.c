#include "kernels/x86/gathered.h"

#include "kernels/walk.h"
#include "kernels/x86/move.h"
#include "kernels/x86/transpose.h"

#include <string.h>

#define LEAST_TURNED 4 /* channels for which squares are turned over */
#define SHORT_PIECE 4  /* floats copied at once, for runs that are no longer */
#define PIECE 8

/* --- plan ---------------------------------------------------------------------------------------------------- */

bool SET_NAME(gathered_plan)(const struct conv_params *p, struct region *region, struct gathered *g)
{
    const struct window *w = &p->window;
    int64_t taps = w->kernel[0] * w->kernel[1] * w->kernel[2];
    *g = (struct gathered){.params = p,
                           .by_channel = p->x.channel != 1,
                           .unit = p->x.channel != 1 ? 1 : p->input_channels,
                           .depth = taps * p->input_channels,
                           .turns = taps == 1 && p->x.channel != 1 && p->x.spatial[2] == 1 && w->stride[2] == 1 &&
                                    p->input_channels >= LEAST_TURNED};
    g->places = p->x.spatial[2] == g->unit && w->dilation[2] == 1 ? w->kernel[2] : 1;
    g->count = g->depth / (g->places * g->unit);
    struct run *run = region_array(region, (size_t)g->count, sizeof *run);
    g->runs = run;
    for (int64_t channel = 0; run && channel < (g->by_channel ? p->input_channels : 1); channel++)
        for (int64_t tap = 0; tap < taps; tap += g->places, run++) {
            int64_t at[] = {tap / w->kernel[2] / w->kernel[1], tap / w->kernel[2] % w->kernel[1], tap % w->kernel[2]};
            run->offset = channel * p->x.channel;
            for (int axis = 0; axis < SPATIAL_AXES; axis++) {
                run->at[axis] = at[axis] * w->dilation[axis];
                run->offset += run->at[axis] * p->x.spatial[axis];
            }
        }
    return g->runs != NULL;
}

/* --- rows ---------------------------------------------------------------------------------------------------- */

/* Positions of one line of the output, and what the window sees from the first of them. */
struct line {
    int64_t at[SPATIAL_AXES]; /* where its first place is, or would be, in the input */
    const float *from;
    int64_t count;
};

static struct line line_at(const struct gathered *g, const float *image, const int64_t *position, int64_t most)
{
    const struct conv_params *p = g->params;
    struct line line = {.from = image, .count = least(p->window.output[2] - position[2], most)};
    for (int axis = 0; axis < SPATIAL_AXES; axis++) {
        line.at[axis] = position[axis] * p->window.stride[axis] - p->window.pad[axis];
        line.from += line.at[axis] * p->x.spatial[axis];
    }
    return line;
}

/* Goes on along the line. */
static void move_line(const struct gathered *g, struct line *line, int64_t positions)
{
    const struct conv_params *p = g->params;
    line->at[2] += positions * p->window.stride[2];
    line->from += positions * p->window.stride[2] * p->x.spatial[2];
    line->count -= positions;
}

static bool sees_inside(const struct window *w, const struct line *line, int axis)
{
    return line->at[axis] >= 0 && line->at[axis] + (w->kernel[axis] - 1) * w->dilation[axis] < w->input[axis];
}

/* How many positions from the first on see no padding. */
static int64_t inner_positions(const struct gathered *g, const struct line *line)
{
    const struct window *w = &g->params->window;
    for (int axis = 0; axis < SPATIAL_AXES; axis++)
        if (!sees_inside(w, line, axis))
            return 0;
    int64_t room = w->input[2] - 1 - line->at[2] - (w->kernel[2] - 1) * w->dilation[2];
    return least(line->count, room / w->stride[2] + 1);
}

/* One position, where some places of each run may lie in the padding, or all. */
static void gather_at_border(const struct gathered *g, const struct line *line, float *to)
{
    const struct window *w = &g->params->window;
    int64_t length = g->places * g->unit;
    for (int64_t i = 0; i < g->count; i++, to += length) {
        const struct run *run = &g->runs[i];
        int64_t z = line->at[0] + run->at[0], y = line->at[1] + run->at[1], x = line->at[2] + run->at[2];
        bool outside = z < 0 || z >= w->input[0] || y < 0 || y >= w->input[1];
        int64_t first = x < 0 ? least(-x, g->places) : 0, end = outside ? 0 : least(w->input[2] - x, g->places);
        memset(to, 0, (size_t)length * sizeof *to);
        for (int64_t k = first * g->unit; k < end * g->unit; k++)
            to[k] = line->from[run->offset + k];
    }
}

static void gather_exactly(const struct gathered *g, const struct line *line, int64_t positions, int64_t run, float *to)
{
    int64_t length = g->places * g->unit, step = g->params->window.stride[2] * g->params->x.spatial[2];
    int64_t depth = g->depth;
    const float *from = line->from + g->runs[run].offset;
    to += run * length;
    for (int64_t i = 0; i < positions; i++, from += step, to += depth)
        move_bytes((char *)to, (const char *)from, length * (int64_t)sizeof *to);
}

/* Pieces of `piece` floats, the last of which may reach past the end of the run. */
INLINE void gather_pieces(const struct gathered *g, const struct line *line, int64_t positions, int64_t run,
                          const int64_t piece, float *to)
{
    int64_t length = g->places * g->unit, step = g->params->window.stride[2] * g->params->x.spatial[2];
    int64_t depth = g->depth;
    for (int64_t k = 0; k < length; k += piece) {
        const float *from = line->from + g->runs[run].offset + k;
        float *at = to + run * length + k;
        for (int64_t i = 0; i < positions; i++, from += step, at += depth)
            memcpy(at, from, (size_t)piece * sizeof *to);
    }
}

/* How many positions from the first on may be read PIECE floats past the end of each run. */
static int64_t roomy_positions(const struct gathered *g, const struct line *line, const float *last, int64_t positions)
{
    int64_t step = g->params->window.stride[2] * g->params->x.spatial[2];
    int64_t room = last - (line->from + g->runs[g->count - 1].offset + g->places * g->unit + PIECE);
    return step <= 0 || room < 0 ? 0 : least(positions, room / step + 1);
}

/* Run by run: what one is written past its end by, the next one puts right. */
static void gather_inside(const struct gathered *g, const struct line *line, const float *last, int64_t positions,
                          float *to)
{
    int64_t length = g->places * g->unit, roomy = length > 1 ? roomy_positions(g, line, last, positions) : 0;
    struct line rest = *line;
    move_line(g, &rest, roomy);
    for (int64_t i = 0; i < g->count; i++) {
        if (i == g->count - 1)
            gather_exactly(g, line, roomy, i, to);
        else if (length <= SHORT_PIECE)
            gather_pieces(g, line, roomy, i, SHORT_PIECE, to);
        else
            gather_pieces(g, line, roomy, i, PIECE, to);
        gather_exactly(g, &rest, positions - roomy, i, to + roomy * g->depth);
    }
}

/* The last one in memory where strides rise; where one falls, no later than that. */
static const float *last_element(const struct gathered *g, const float *image)
{
    const struct conv_params *p = g->params;
    const float *last = image + (p->input_channels - 1) * p->x.channel;
    for (int axis = 0; axis < SPATIAL_AXES; axis++)
        last += (p->window.input[axis] - 1) * p->x.spatial[axis];
    return last;
}

static void gather_line(const struct gathered *g, struct line line, const float *last, float *to)
{
    const struct conv_params *p = g->params;
    while (line.count > 0) {
        int64_t inside = inner_positions(g, &line), positions = inside > 0 ? inside : 1;
        if (inside > 0 && g->turns)
            SET_NAME(transpose)
        (sizeof *to, line.from, p->x.channel * (int64_t)sizeof *to, to, g->depth * (int64_t)sizeof *to, g->depth,
         inside);
        else if (inside > 0) gather_inside(g, &line, last, inside, to);
        else gather_at_border(g, &line, to);
        move_line(g, &line, positions);
        to += positions * g->depth;
    }
}

/* Aligned: where its loops fall by chance, gathering takes up to 1.4 times as long. */
__attribute__((aligned(64))) void SET_NAME(gathered_rows)(const struct gathered *g, const float *image, int64_t first,
                                                          int64_t end, float *to)
{
    const int64_t *sizes = g->params->window.output;
    const float *last = last_element(g, image);
    for (int64_t row = first, count; row < end; row += count, to += count * g->depth) {
        int64_t position[] = {row / sizes[2] / sizes[1], row / sizes[2] % sizes[1], row % sizes[2]};
        struct line line = line_at(g, image, position, end - row);
        count = line.count;
        gather_line(g, line, last, to);
    }
}
