/* The metrics of a predictor on a terminal, while it works: a bar, or a table. */
#ifndef INFER_TOOLS_WATCH_METRICS_H
#define INFER_TOOLS_WATCH_METRICS_H

#include "runtime/infer_predictor.h"

#include <stdbool.h>
#include <stddef.h>

struct metrics_watch {
    infer_predictor *predictor;
    bool table; /* of the metrics; otherwise one line */
    bool is_terminal;
    size_t total; /* items; SIZE_MAX: nobody knows */
    double next;  /* when it is drawn again, seconds of report.h's clock */
    int lines;    /* that the last drawing took */
};

void metrics_watch_begin(struct metrics_watch *watch, infer_predictor *predictor, bool table, size_t total);
/* Draws where it is time to; stderr has to be a terminal. */
void metrics_watch_step(struct metrics_watch *watch, size_t done);
/* Takes a bar away, and leaves a table of the whole: also where stderr is no terminal. */
void metrics_watch_end(struct metrics_watch *watch, size_t done);

#endif
