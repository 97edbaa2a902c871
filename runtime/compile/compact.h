/* A program that is done keeps only what runs read. */
#ifndef INFER_RUNTIME_COMPILE_COMPACT_H
#define INFER_RUNTIME_COMPILE_COMPACT_H

#include "runtime/compile/program.h"

/* Moves what a complete program needs to a region of its own and frees the one that it was made in, with its graph, the
 * plan of its arena and all that passes left behind: a session keeps a program for each shape it has seen. Steps of
 * equal parameters share them and their plan. On an error the program is as it was. A program whose loops have a body
 * in its own region stays as it is. */
enum status program_compact(struct program *program, const struct kernel_facts *facts, struct error *error);

#endif
