#include "predictor/fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static infer_status take(infer_error *error, infer_status status, const char *text)
{
    if (error) {
        error->status = status;
        memcpy(error->message, text, sizeof error->message);
    }
    return status;
}

infer_status fail(infer_error *error, infer_status status, const char *format, ...)
{
    char text[sizeof error->message] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    make_legible(text);
    return take(error, status, text);
}

infer_status fail_missing(infer_error *error, const char *what)
{
    return fail(error, INFER_INVALID_ARGUMENT, "there is no %s: the pointer is NULL", what);
}

infer_status fail_prediction(infer_error *error, infer_status status)
{
    static const char prefix[] = "prediction failed: ";
    char text[sizeof error->message + sizeof prefix];
    error->message[sizeof error->message - 1] = '\0';
    snprintf(text, sizeof text, "%s%s", prefix, error->message[0] ? error->message : infer_status_name(status));
    text[sizeof error->message - 1] = '\0';
    make_legible(text);
    return take(error, status, text);
}
