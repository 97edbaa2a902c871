/* Errors of the predictor, in the caller's form. */
#ifndef INFER_PREDICTOR_FAIL_H
#define INFER_PREDICTOR_FAIL_H

#include "kernels/base.h"
#include "runtime/infer.h"

/* Writes one legible sentence; returns `status`. `error` may be NULL. */
infer_status fail(infer_error *error, infer_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
infer_status fail_missing(infer_error *error, const char *what); /* a pointer is NULL that may not be */
/* Puts "prediction failed: " in front of the sentence that `error`, not NULL, has, or of one that names its status. */
infer_status fail_prediction(infer_error *error, infer_status status);

#endif
