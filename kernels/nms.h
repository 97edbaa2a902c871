/* Family nms: non-maximum suppression of boxes, greedily by score. */
#ifndef INFER_KERNELS_NMS_H
#define INFER_KERNELS_NMS_H

#include "kernels/kernel.h"

/* inputs: boxes f32 [batch, boxes, 4], scores f32 [batch, classes, boxes], and scalars that may be absent: most boxes
 * a class (int64; absent: 0), threshold of the overlap (f32; absent: 0), threshold of the score (f32; absent: all
 * pass). output: int64 [found, 3]: batch, class, box; the true size is known after the run. */
struct nms_params {
    int64_t batch, classes, boxes;
    bool centered; /* boxes are centre x, centre y, width, height; otherwise two opposite corners y, x, y, x */
};

#endif
