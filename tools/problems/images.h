/* What convolution and pooling share: windows, and images in different orders. */
#ifndef INFER_TOOLS_PROBLEMS_IMAGES_H
#define INFER_TOOLS_PROBLEMS_IMAGES_H

#include "kernels/window.h"
#include "tools/problems/make.h"

/* A random window over one to three axes that sees something at one position at least. spreads: also one with zeros
 * between the elements of the input. */
struct window make_window(struct maker *maker, bool spreads);
/* The outputs that follow from the rest of it; inputs grow where there would be none. */
void window_settle(struct window *window);
int64_t window_positions(const struct window *window);
int64_t window_taps(const struct window *window);
void describe_window(struct maker *maker, const struct window *window);

/* Channels outermost, channels innermost, or what `otherwise` says. */
struct image_strides make_image(struct maker *maker, enum layout_choice otherwise, int64_t batch, int64_t channels,
                                const int64_t *spatial);
void strided_image(struct strided *at, int64_t batch, int64_t channels, const int64_t *spatial,
                   const struct image_strides *strides);
void describe_image(struct maker *maker, const char *name, const struct image_strides *strides);

/* A problem of a real network: square images and windows. */
struct image_case {
    const char *name;
    int64_t channels, outputs, size, kernel, stride, groups;
};
struct window square_window(const struct image_case *from);
struct image_strides square_image(int64_t channels, int64_t size, bool channels_last);

#endif
