/* Weights of 3x3 as Winograd's filtering F(4x4, 3x3) multiplies by them. */
#ifndef INFER_KERNELS_X86_WINOGRAD_WEIGHTS_H
#define INFER_KERNELS_X86_WINOGRAD_WEIGHTS_H

#include "kernels/conv.h"
#include "kernels/x86/vector.h"

#define ROOT_HALF 0.70710678118654752440
#define ROOT_TWO 1.41421356237309504880

/* Weights of `channels` input channels for `columns` output channels, of which `weights` are the first's, transformed:
 * [point][channel][TILE_COLUMNS], `plane` floats from one point to the next, 0 past the last column. */
void SET_NAME(winograd_transform)(const struct conv_params *p, const float *weights, int64_t channels, int64_t columns,
                                  float *to, int64_t plane);

/* A panel of `columns` output channels, of which `weights` are the first's: [point][channel][TILE_COLUMNS], 0 past the
 * last. */
void SET_NAME(winograd_pack_panel)(const struct conv_params *p, const float *weights, int64_t columns, float *to);

#endif
