/* What a pointwise program gives, straight from the meaning of its instructions, as an interval that every right way to
 * compute it falls into: results of instructions may be rounded in their class or not at all, and transcendental
 * functions be a few units in the last place off. */
#ifndef INFER_TOOLS_PROBLEMS_INTERVAL_H
#define INFER_TOOLS_PROBLEMS_INTERVAL_H

#include "kernels/pointwise.h"
#include "tools/problems/number.h"

struct interval {
    bool open;        /* nothing is known: a jump lies within what came before, or an overflow is a matter of order */
    number low, high; /* both NaN: it is NaN */
};

struct interval interval_of(number value);
/* Within `error` of a value; the value itself where it is not finite. */
struct interval interval_about(number value, number error);
/* As an element of a type would be read, of which number `got` is one. */
bool interval_holds(const struct interval *interval, const struct pointwise_operand *as, number got);
bool interval_holds_plain(const struct interval *interval, enum dtype dtype, number got);

enum run { RUN_WELL, RUN_FAULTS, RUN_UNKNOWN }; /* unknown: whether a divisor is zero */

/* One element. registers: POINTWISE_MAX_REGISTERS, of which the inputs are set. */
enum run interval_run(const struct pointwise_params *program, struct interval *registers);

#endif
