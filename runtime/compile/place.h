/* Gives every operand of a program its place: in-place results, outputs, slots, and the plan of the arena. */
#ifndef INFER_RUNTIME_COMPILE_PLACE_H
#define INFER_RUNTIME_COMPILE_PLACE_H

#include "runtime/compile/program.h"

enum status place_values(struct program *program, const struct program_options *options, struct error *error);

#endif
