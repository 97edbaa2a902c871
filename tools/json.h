/* JSON, written as it is made. */
#ifndef INFER_TOOLS_JSON_H
#define INFER_TOOLS_JSON_H

#include <stdint.h>
#include <stdio.h>

/* A string with its quotes. Bytes that are not UTF-8, which names in a file may hold, become U+FFFD. */
void json_text(FILE *file, const char *text);
/* ,"key": */
void json_key(FILE *file, const char *key);
/* [1,3,224,224] */
void json_dims(FILE *file, int rank, const int64_t *dims);

#endif
