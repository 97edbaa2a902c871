/* Family col2im: columns that hold overlapping blocks of an image, added up into the image. */
#ifndef INFER_KERNELS_COL2IM_H
#define INFER_KERNELS_COL2IM_H

#include "kernels/kernel.h"
#include "kernels/window.h"

/* input: [planes, taps of a block, blocks]; output: [planes, image dims...]. In the window, positions are pixels of the
 * image, and sources are blocks: tap t of block b falls on pixel b * spread + pad - t * dilation. */
struct col2im_params {
    int64_t planes;
    struct window window;
    uint8_t dtype;
};

#endif
