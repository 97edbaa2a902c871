/* How operators with a sliding window read their attributes. */
#ifndef INFER_GRAPH_OPS_WINDOW_H
#define INFER_GRAPH_OPS_WINDOW_H

#include "graph/op.h"
#include "kernels/window.h"

/* One list attribute with `count` entries, each between `lowest` and INT32_MAX; `fallback` for all where it is absent.
 */
enum status op_window_list(struct op_context *c, const char *name, int count, int64_t lowest, int64_t fallback,
                           int64_t *values);
/* auto_pad: 'N' not set, 'V' valid, 'U' same upper, 'L' same lower. */
enum status op_auto_pad(struct op_context *c, char *mode);
/* A window of one element over one element, along all axes. */
struct window op_unit_window(void);
/* Fills in everything of the window from `rank` spatial dimensions of the input and the kernel, and the attributes
 * strides, dilations, pads, auto_pad and ceil_mode. */
enum status op_window(struct op_context *c, int rank, const int64_t *input, const int64_t *kernel, struct window *w);
/* Sets output 0, and output 1 where there is one (as int64), to [batch, channels, the window's outputs]. */
enum status op_window_output(struct op_context *c, enum dtype dtype, int64_t batch, int64_t channels, int rank,
                             const struct window *w);
/* The windows of a Conv, a ConvTranspose (as a convolution of the spread input) and a pool that is not global. */
enum status op_conv_window(struct op_context *c, struct window *w, int64_t *groups);
enum status op_conv_transpose_window(struct op_context *c, struct window *w, int64_t *groups);
enum status op_pool_window(struct op_context *c, struct window *w);
/* The convolution of input 0 with weights, input 1, by the attributes of Conv. others: the bias, and the zero points of
 * operands of 8 bits; each may be NULL. */
enum status op_lower_conv(struct op_context *c, struct value *const *others);
/* Strides of a tensor [batch, channel, spatial...] in C order. */
struct image_strides op_image_strides(const struct value *value);

#endif
