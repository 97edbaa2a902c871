/* A memory plan as a drawing: time across, bytes up, the name of a buffer where the pointer rests on it. */
#ifndef INFER_TOOLS_PLAN_SVG_H
#define INFER_TOOLS_PLAN_SVG_H

#include "kernels/base.h"

struct drawn_buffer {
    int64_t lower, upper; /* alive at times lower <= t < upper */
    size_t offset, bytes;
    const char *name, *about; /* about: a second line, or NULL */
    bool workspace;           /* drawn in grey */
};

struct drawn_plan {
    const char *title;
    size_t count;
    const struct drawn_buffer *buffers;
    size_t height, lower_bound;
    /* What happens at a time, for the axis; NULL: nothing to say. */
    const char *(*moment)(void *user, int64_t time);
    void *user;
};

/* "-" is stdout. */
enum status plan_svg_write(const char *path, const struct drawn_plan *plan, struct error *error);

#endif
