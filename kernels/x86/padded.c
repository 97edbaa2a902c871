#include "kernels/x86/padded.h"

#include "kernels/walk.h"

#include <string.h>

#define MOST_BYTES (80 << 10)
#define BLOCK_LINES 3 /* whole tiles wherever the width is a multiple of four */
#define BLOCK_POSITIONS 96
#define VECTOR \
    (ALIGNMENT / (int64_t)sizeof(float)) /* floats: lines of the input are copied to where vectors are aligned */

/* --- plan ---------------------------------------------------------------------------------------------------- */

int64_t SET_NAME(padded_block)(const struct conv_params *p, int64_t rows)
{
    int64_t lines = BLOCK_LINES * p->window.output[2];
    int64_t tiles = lines > 0 ? divide_up(BLOCK_POSITIONS, lines) * lines / rows : 1;
    return tiles * rows;
}

/* Lines of the input that so many positions see, wherever in a line they begin. */
static int64_t lines_seen(const struct window *w, int64_t positions)
{
    int64_t lines = w->output[2] > 0 ? least(divide_up(positions - 1, w->output[2]) + 1, w->output[1]) : 1;
    return (lines - 1) * w->stride[1] + (w->kernel[1] - 1) * w->dilation[1] + 1;
}

/* A plane at a time, of lines without gaps. */
static bool is_taken(const struct gathered *g)
{
    const struct window *w = &g->params->window;
    bool flat = w->kernel[0] == 1 && w->output[0] == 1 && w->pad[0] == 0 && w->pad[1] >= 0 && w->pad[2] >= 0;
    return flat && w->output[1] > 1 && w->output[2] > 0 && g->params->x.spatial[2] == g->unit;
}

bool SET_NAME(padded_plan)(const struct gathered *g, int64_t positions, struct region *region, struct padded *padded)
{
    const struct window *w = &g->params->window;
    *padded = (struct padded){.params = g->params,
                              .unit = g->unit,
                              .lines = lines_seen(w, positions),
                              .channels = g->by_channel ? g->params->input_channels : 1};
    padded->line_floats = ((w->output[2] - 1) * w->stride[2] + (w->kernel[2] - 1) * w->dilation[2] + 1) * g->unit;
    padded->lead = -w->pad[2] * g->unit & (VECTOR - 1);
    padded->pitch = (padded->lead + padded->line_floats + VECTOR - 1) / VECTOR * VECTOR;
    padded->channel_floats = padded->lines * padded->pitch;
    size_t bytes = (size_t)(padded->channels * padded->channel_floats + VECTOR) * sizeof(float);
    if (!is_taken(g) || bytes > MOST_BYTES)
        return true;
    int64_t *offsets = region_array(region, (size_t)g->depth, sizeof *offsets), length = g->places * g->unit;
    int64_t runs_of_channel = g->count / padded->channels;
    for (int64_t i = 0; offsets && i < g->depth; i++) {
        const struct run *run = &g->runs[i / length];
        offsets[i] = i / length / runs_of_channel * padded->channel_floats + run->at[1] * padded->pitch +
                     run->at[2] * g->unit + i % length;
    }
    padded->offsets = offsets;
    padded->bytes = align_up(bytes, ALIGNMENT);
    return offsets != NULL;
}

/* --- run ----------------------------------------------------------------------------------------------------- */

/* Whole vectors, whose last one may reach past the line: what follows is written later. */
static void copy_line(const struct padded *padded, const float *from, float *to)
{
    const struct window *w = &padded->params->window;
    int64_t left = least(w->pad[2] * padded->unit, padded->line_floats);
    int64_t inside = least(w->input[2] * padded->unit, padded->line_floats - left), j = 0;
    memset(to, 0, (size_t)left * sizeof *to);
    to += left;
    for (; j + LANES <= inside; j += LANES)
        vf_store(to + j, vf_load(from + j));
    if (j < inside)
        vf_store(to + j, vf_load_part(from + j, inside - j));
    memset(to + inside, 0, (size_t)(padded->line_floats - left - inside) * sizeof *to);
}

void SET_NAME(padded_copy)(const struct padded *padded, const float *image, int64_t first, int64_t end, float *to)
{
    const struct conv_params *p = padded->params;
    const struct window *w = &p->window;
    int64_t first_line = first / w->output[2], last_line = (end - 1) / w->output[2];
    int64_t top = first_line * w->stride[1] - w->pad[1];
    int64_t lines = (last_line - first_line) * w->stride[1] + (w->kernel[1] - 1) * w->dilation[1] + 1;
    for (int64_t channel = 0; channel < padded->channels; channel++, to += padded->channel_floats)
        for (int64_t i = 0; i < lines; i++) {
            float *line = to + padded->lead + i * padded->pitch;
            if (top + i < 0 || top + i >= w->input[1])
                memset(line, 0, (size_t)padded->line_floats * sizeof *line);
            else
                copy_line(padded, image + channel * p->x.channel + (top + i) * p->x.spatial[1], line);
        }
}

void SET_NAME(padded_places)(const struct padded *padded, const float *copy, int64_t first, int64_t position,
                             int64_t count, const float **places)
{
    const struct window *w = &padded->params->window;
    int64_t width = w->output[2], step = w->stride[2] * padded->unit;
    for (int64_t i = 0, line; i < count; i += line) {
        int64_t y = (position + i) / width - first / width, x = (position + i) % width;
        const float *from = copy + padded->lead + y * w->stride[1] * padded->pitch + x * step;
        line = least(count - i, width - x);
        for (int64_t k = 0; k < line; k++)
            places[i + k] = from + k * step;
    }
}
