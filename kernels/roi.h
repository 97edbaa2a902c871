/* Family roi: pools regions of interest of images to a fixed size. */
#ifndef INFER_KERNELS_ROI_H
#define INFER_KERNELS_ROI_H

#include "kernels/kernel.h"

enum roi_kind {
    ROI_ALIGN_AVERAGE, /* mean of interpolated samples */
    ROI_ALIGN_MAX,     /* the largest weighted neighbour of any sample */
    ROI_MAX            /* maximum over whole elements, borders rounded */
};

/* inputs: x [batch, channels, height, width]; regions [regions, columns], whose last four columns are x1, y1, x2, y2;
 * batch numbers, int64 [regions], or for ROI_MAX NULL: they are the first column. Output: [regions, channels,
 * pooled_height, pooled_width]. A batch number out of range is a fault. */
struct roi_params {
    enum dtype dtype; /* f32, f64 */
    enum roi_kind kind;
    int64_t batch, channels, height, width;
    int64_t regions, columns, pooled_height, pooled_width;
    double scale;    /* of the regions' coordinates */
    bool half_pixel; /* coordinates are shifted by half an element, and regions may be smaller than one */
    int64_t samples; /* along each axis of a bin; 0: about one an element */
};

#endif
