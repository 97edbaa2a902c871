/* Memory that requests use again: buffers that grow, and what hooks take piece by piece. */
#ifndef INFER_PREDICTOR_SCRATCH_H
#define INFER_PREDICTOR_SCRATCH_H

#include "kernels/base.h"

/* Zeroed: empty. Its content is lost when it grows. */
struct buffer {
    void *data;
    size_t bytes;
};

bool buffer_reserve(struct buffer *buffer, const struct allocator *allocator, size_t bytes); /* false: no memory */
void buffer_free(struct buffer *buffer, const struct allocator *allocator);

/* Pieces that stay until all are taken back at once. Zeroed: empty. */
struct scratch {
    struct scratch_block *newest;
    size_t used;  /* of the newest block */
    size_t total; /* that was asked for since the last reset */
};

void *scratch_take(struct scratch *scratch, const struct allocator *allocator, size_t bytes); /* NULL: no memory */
/* Takes all pieces back. What came in several blocks comes out of one the next time. */
void scratch_reset(struct scratch *scratch, const struct allocator *allocator);
void scratch_free(struct scratch *scratch, const struct allocator *allocator);

#endif
