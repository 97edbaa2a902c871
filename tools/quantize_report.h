/* What was done to each layer, as a table. */
#ifndef INFER_TOOLS_QUANTIZE_REPORT_H
#define INFER_TOOLS_QUANTIZE_REPORT_H

#include "tools/quantize_measure.h"

/* CSV with a heading, to FILE or "-": a row a layer, and one of the whole model. */
enum status report_write(const struct study *study, const char *path, struct error *error);

#endif
