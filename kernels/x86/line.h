/* What depthwise convolution and pooling share: going through the output line by line, where a line is what lies along
 * the last axis, and through the taps that see the input. */
#ifndef INFER_KERNELS_X86_LINE_H
#define INFER_KERNELS_X86_LINE_H

#include "kernels/walk.h"
#include "kernels/window.h"
#include "kernels/x86/transpose.h"

/* The taps of a line's positions: along the first two axes those that see the input, the same for all positions. */
struct line_taps {
    int64_t start[SPATIAL_AXES]; /* where the first tap of the first position looks, seen or not */
    int64_t first[SPATIAL_AXES - 1], count[SPATIAL_AXES - 1];
};

/* How many taps look at what lies before a place so far from the first one. */
static inline int64_t taps_up_to(const struct window *w, int axis, int64_t distance)
{
    int64_t step = w->dilation[axis];
    return least(w->kernel[axis], step == 1 && distance > 0 ? distance : divide_up(distance, step));
}

static inline void find_seen(const struct window *w, int axis, int64_t start, int64_t *first, int64_t *count)
{
    int64_t end = taps_up_to(w, axis, w->input[axis] - start);
    *first = taps_up_to(w, axis, -start);
    *count = end > *first ? end - *first : 0;
}

static inline struct line_taps line_taps_at(const struct window *w, int64_t line)
{
    struct line_taps taps = {.start = {line / w->output[1] * w->stride[0] - w->pad[0],
                                       line % w->output[1] * w->stride[1] - w->pad[1], -w->pad[2]}};
    for (int i = 0; i < SPATIAL_AXES - 1; i++)
        find_seen(w, i, taps.start[i], &taps.first[i], &taps.count[i]);
    return taps;
}

/* Where the first of them, and position 0 of the last axis, is in an image. */
static inline int64_t line_offset(const struct window *w, const struct line_taps *taps, const int64_t *strides)
{
    int64_t offset = 0;
    for (int i = 0; i < SPATIAL_AXES - 1; i++)
        offset += (taps->start[i] + taps->first[i] * w->dilation[i]) * strides[i];
    return offset;
}

/* Positions [from, from + count) of the input are what the taps of some neighbouring columns see. */
struct line_piece {
    int64_t from, count;
};

static inline struct line_piece seen_by_columns(const struct window *w, int64_t column, int64_t columns)
{
    int64_t start = column * w->stride[2] - w->pad[2], from = start > 0 ? start : 0;
    int64_t end = start + (columns - 1) * w->stride[2] + (w->kernel[2] - 1) * w->dilation[2] + 1;
    end = least(end, w->input[2]);
    return (struct line_piece){from, end > from ? end - from : 0};
}

/* The most floats that stage_line takes for so many columns and channels. */
static inline size_t staged_floats(const struct window *w, int64_t columns, int64_t channels)
{
    int64_t wide = (columns - 1) * w->stride[2] + (w->kernel[2] - 1) * w->dilation[2] + 1;
    return (size_t)(least(w->kernel[0], w->input[0]) * least(w->kernel[1], w->input[1]) * least(wide, w->input[2]) *
                    channels);
}

/* Copies a piece of what a line's taps see, so that channels lie next to each other, `room` to a position: those from
 * `channel` on, of which each channel of x is `copies`. x: of the image. */
static inline void stage_line(const struct window *w, const struct image_strides *strides, const struct line_taps *taps,
                              struct line_piece piece, const float *x, int64_t channel, int64_t channels,
                              int64_t copies, int64_t room, float *to)
{
    x += line_offset(w, taps, strides->spatial) + piece.from * strides->spatial[2];
    for (int64_t i = 0; i < taps->count[0] * taps->count[1]; i++, to += piece.count * room) {
        const float *line = x + i / taps->count[1] * w->dilation[0] * strides->spatial[0] +
                            i % taps->count[1] * w->dilation[1] * strides->spatial[1];
        if (copies == 1 && strides->spatial[2] == 1) {
            SET_NAME(transpose)
            (sizeof(float), line + channel * strides->channel, strides->channel * (int64_t)sizeof(float), to,
             room * (int64_t)sizeof(float), channels, piece.count);
            continue;
        }
        for (int64_t c = 0; c < channels; c++) {
            const float *from = line + (channel + c) / copies * strides->channel;
            for (int64_t k = 0; k < piece.count; k++)
                to[k * room + c] = from[k * strides->spatial[2]];
        }
    }
}

/* The other way: columns of `room` channels each become channels whose columns are `column` apart. */
static inline void unstage(const float *from, int64_t room, int64_t channels, int64_t columns, float *to,
                           int64_t channel, int64_t column)
{
    if (column == 1) {
        SET_NAME(transpose)
        (sizeof(float), from, room * (int64_t)sizeof(float), to, channel * (int64_t)sizeof(float), columns, channels);
        return;
    }
    for (int64_t c = 0; c < channels; c++)
        for (int64_t j = 0; j < columns; j++)
            to[c * channel + j * column] = from[j * room + c];
}

#endif
