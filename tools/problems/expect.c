#include "tools/problems/expect.h"

#include "tools/problems/interval.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- operands ------------------------------------------------------------------------------------------------ */

void operands_set_dims(const struct problem *problem, int output, struct operands *operands)
{
    const struct strided *at = &problem->outputs[output].at;
    if (problem->outputs[output].sized_by_run)
        memcpy(operands->dims[output], at->dims, (size_t)at->rank * sizeof at->dims[0]);
}

static bool make_output_room(const struct problem *problem, struct region *region, struct operands *operands)
{
    for (int i = 0; i < problem->output_count; i++) {
        size_t bytes = operand_bytes(&problem->outputs[i]);
        operands_set_dims(problem, i, operands);
        operands->outputs[i] = bytes ? region_buffer(region, bytes) : NULL;
        if (bytes && !operands->outputs[i])
            return false;
        if (bytes)
            memset(operands->outputs[i], 0xff, bytes);
    }
    return true;
}

bool operands_make(const struct problem *problem, uint64_t seed, struct region *region, struct operands *operands)
{
    *operands = (struct operands){{NULL}, {NULL}, {{0}}};
    for (int i = 0; i < problem->input_count; i++) {
        size_t bytes = operand_bytes(&problem->inputs[i]);
        operands->inputs[i] = bytes ? region_allocate(region, bytes) : NULL;
        if (bytes && !operands->inputs[i])
            return false;
        operand_fill(&problem->inputs[i], operands->inputs[i], random_for(seed, (uint64_t)i).state);
    }
    return make_output_room(problem, region, operands);
}

/* An operand without elements has an address too. */
static void *pointer_to(const struct operand *operand, void *span)
{
    static max_align_t nothing;
    if (operand->absent)
        return NULL;
    return span ? (void *)((uintptr_t)span + (uintptr_t)operand_pointer(operand)) : &nothing;
}

void operands_point(const struct problem *problem, const struct operands *operands, const void **inputs, void **outputs)
{
    for (int i = 0; i < problem->input_count; i++)
        inputs[i] = pointer_to(&problem->inputs[i], operands->inputs[i]);
    for (int i = 0; i < problem->output_count; i++)
        outputs[i] = pointer_to(&problem->outputs[i], operands->outputs[i]);
}

int64_t output_count(const struct operand *output, const int64_t *dims)
{
    int64_t count = 1;
    if (output->absent)
        return 0;
    for (int i = 0; i < output->at.rank && output->sized_by_run; i++)
        count *= dims[i];
    return output->sized_by_run ? count : strided_count(&output->at);
}

/* --- running ------------------------------------------------------------------------------------------------- */

bool prepare(const struct kernel *kernel, const struct problem *problem, const struct kernel_facts *facts,
             struct operands *operands, struct region *region, struct prepared *prepared)
{
    *prepared = (struct prepared){.kernel = kernel};
    operands_point(problem, operands, prepared->inputs, prepared->outputs);
    for (int i = 0; i < problem->output_count; i++)
        prepared->dims[i] = problem->outputs[i].sized_by_run ? operands->dims[i] : NULL;
    if (!kernel_make_plan(kernel, problem->params, facts, region, &prepared->plan))
        return false;
    const struct kernel_plan *plan = &prepared->plan;
    for (int i = 0; i < plan->pack_count; i++) {
        void *packed = region_buffer(region, plan->packs[i].bytes + 1);
        if (!packed)
            return false;
        for (int task = 0; task < plan->packs[i].tasks; task++)
            kernel->pack(plan, i, prepared->inputs[plan->packs[i].input], packed, task);
        prepared->packed[i] = packed;
    }
    for (int i = 0; i < plan->pack_count; i++)
        prepared->inputs[plan->packs[i].input] = NULL;
    prepared->call = (struct kernel_call){.workspace = region_buffer(region, plan->task_bytes + ALIGNMENT),
                                          .shared = region_buffer(region, plan->shared_bytes + ALIGNMENT)};
    return prepared->call.workspace && prepared->call.shared;
}

void prepared_run(struct prepared *prepared)
{
    prepared->call.inputs = prepared->inputs;
    prepared->call.outputs = prepared->outputs;
    prepared->call.packed = prepared->packed;
    prepared->call.output_dims = prepared->dims;
    prepared->call.fault = &prepared->fault;
    kernel_run_alone(prepared->kernel, &prepared->plan, &prepared->call);
}

const struct kernel *oracle_of(const struct problem *problem)
{
    static const struct kernel_facts plain = {.threads = 1};
    const struct kernel *kernel, *last = NULL;
    for (size_t i = 0; (kernel = kernel_at(i)); i++)
        if (kernel_fits(kernel, problem->family, problem->params, &plain))
            last = kernel;
    return last;
}

static bool run_oracle(const struct problem *problem, struct operands *operands, struct region *region,
                       struct fault *fault)
{
    static const struct kernel_facts plain = {.threads = 1};
    struct prepared prepared;
    if (!prepare(oracle_of(problem), problem, &plain, operands, region, &prepared))
        return false;
    prepared_run(&prepared);
    *fault = prepared.fault;
    return true;
}

/* --- what is expected ---------------------------------------------------------------------------------------- */

static void clear_signs(enum dtype dtype, unsigned char *memory, size_t bytes)
{
    size_t each = dtype_bits(dtype) / 8;
    if (dtype_is_float(dtype) && each > 0 && dtype != DTYPE_F8E8M0)
        for (size_t i = each - 1; i < bytes; i += each)
            memory[i] &= 0x7f;
    for (size_t i = 0; dtype == DTYPE_I8 && i < bytes; i++)
        memory[i] = memory[i] == 0x80 ? 0x7f : memory[i] > 0x80 ? (unsigned char)-memory[i] : memory[i];
}

/* All elements become as large as the largest, or a NaN if one is. */
static void level(const struct operand *operand, unsigned char *memory, size_t bytes)
{
    size_t each = dtype_bits(operand->dtype) / 8;
    int64_t count = strided_count(&operand->at), least = 0, most = 0;
    unsigned char largest[sizeof(number)] = {0};
    number size = -1;
    strided_reach(&operand->at, &least, &most);
    for (int64_t i = 0; i < count && each > 0; i++) {
        int64_t at = strided_offset(&operand->at, i) - least;
        number x = number_get(operand->dtype, memory, at);
        if (isnan(size) || x <= size)
            continue;
        size = x;
        memcpy(largest, memory + (size_t)at * each, each);
    }
    for (size_t i = 0; each > 0 && i + each <= bytes; i += each)
        memcpy(memory + i, largest, each);
}

static bool make_magnitudes(const struct problem *plain, const struct operands *operands, bool levels_constants,
                            struct region *region, struct operands *magnitudes)
{
    struct fault fault = {0};
    for (int i = 0; i < plain->input_count; i++) {
        const struct operand *input = &plain->inputs[i];
        size_t bytes = operands->inputs[i] ? operand_bytes(input) : 0;
        magnitudes->inputs[i] = bytes ? region_buffer(region, bytes) : NULL;
        if (bytes && !magnitudes->inputs[i])
            return false;
        if (bytes)
            clear_signs(input->dtype, memcpy(magnitudes->inputs[i], operands->inputs[i], bytes), bytes);
        if (bytes && levels_constants && input->constant)
            level(input, magnitudes->inputs[i], bytes);
    }
    return make_output_room(plain, region, magnitudes) && run_oracle(plain, magnitudes, region, &fault);
}

static number element(const struct operand *operand, const void *span, int64_t offset)
{
    int64_t least = 0, most = 0;
    strided_reach(&operand->at, &least, &most);
    return number_get(operand->dtype, span, offset - least);
}

/* Offset of element `index`, where the run has cut the output short. */
static int64_t offset_of(const struct operand *operand, int64_t index)
{
    return operand->sized_by_run ? index : strided_offset(&operand->at, index);
}

static number largest_of(const struct operand *output, const void *span, const int64_t *dims)
{
    number largest = 0;
    int64_t count = output_count(output, dims);
    for (int64_t i = 0; i < count; i++) {
        number size = fabsl(element(output, span, offset_of(output, i)));
        largest = isfinite(size) && size > largest ? size : largest;
    }
    return largest;
}

/* The larger; a NaN, if one is. */
static double larger(double a, double b)
{
    return isnan(a) || a > b ? a : b;
}

/* Each element becomes the largest of those up to `near` away along an axis. */
static void spread_along(const struct strided *at, int axis, int64_t near, const double *from, double *to)
{
    int64_t stride = 1, count = strided_count(at), dim = at->dims[axis];
    for (int i = axis + 1; i < at->rank; i++)
        stride *= at->dims[i];
    for (int64_t i = 0; i < count; i++) {
        int64_t place = i / stride % dim, first = place > near ? -near : -place;
        to[i] = from[i];
        for (int64_t k = first; k <= near && place + k < dim; k++)
            to[i] = larger(to[i], from[i + k * stride]);
    }
}

static bool make_mixed(const struct problem *plain, const struct operands *operands, int output, struct region *region,
                       double **mixed)
{
    const struct operand *operand = &plain->outputs[output];
    const int axes = 3;
    int64_t count = strided_count(&operand->at);
    struct operands magnitudes;
    double *from = region_array(region, (size_t)count + 1, sizeof *from),
           *to = region_array(region, (size_t)count + 1, sizeof *to);
    if (!from || !to || !make_magnitudes(plain, operands, true, region, &magnitudes))
        return false;
    for (int64_t i = 0; i < count; i++)
        from[i] = (double)element(operand, magnitudes.outputs[output], offset_of(operand, i));
    for (int axis = operand->at.rank - axes; axis < operand->at.rank; axis++) {
        spread_along(&operand->at, axis, operand->bound.near, from, to);
        double *kept = from;
        from = to;
        to = kept;
    }
    *mixed = from;
    return true;
}

static bool all_finite(const struct problem *problem)
{
    for (int i = 0; i < problem->input_count; i++)
        if (problem->inputs[i].fill == FILL_SPECIAL)
            return false;
    return true;
}

bool expectation_make(const struct problem *problem, const struct operands *operands, struct region *region,
                      struct expectation *e)
{
    *e = (struct expectation){
        .problem = problem,
        .operands = operands,
    };
    problem_without_epilogue(problem, &e->plain);
    e->finite = all_finite(&e->plain);
    memcpy(e->results.inputs, operands->inputs, sizeof operands->inputs);
    if (!make_output_room(&e->plain, region, &e->results) || !run_oracle(&e->plain, &e->results, region, &e->fault))
        return false;
    bool wants_magnitudes = false;
    for (int i = 0; i < e->plain.output_count; i++)
        wants_magnitudes = wants_magnitudes || e->plain.outputs[i].bound.sum > 0;
    if (wants_magnitudes && !make_magnitudes(&e->plain, operands, false, region, &e->magnitudes))
        return false;
    for (int i = 0; i < e->plain.output_count; i++)
        if (e->plain.outputs[i].bound.mixed > 0 && !make_mixed(&e->plain, operands, i, region, &e->mixed[i]))
            return false;
    for (int i = 0; i < e->plain.output_count && !e->fault.set; i++)
        if (e->plain.outputs[i].bound.largest > 0)
            e->largest[i] = largest_of(&e->plain.outputs[i], e->results.outputs[i], e->results.dims[i]);
    return true;
}

/* Sums of a transform may be a few hundred times as large as those that they stand for. */
#define MIXED_ROOM 1000

static struct interval allowed_mixed(const struct expectation *e, int output, int64_t index, number value)
{
    const struct operand *operand = &e->plain.outputs[output];
    double size = e->mixed[output][index];
    if (!isfinite(value) || !isfinite((float)(size * MIXED_ROOM)))
        return (struct interval){.open = true};
    number error = (number)operand->bound.mixed * ((number)size + number_smallest_normal(operand->dtype));
    return interval_about(value, error * number_epsilon(operand->dtype));
}

/* The reference adds up in double, where squares that overflow or underflow in float32 do neither. */
static bool squares_leave_range(const struct operand *operand, number value)
{
    number square = value * value;
    return operand->bound.root && isfinite(value) && value != 0 &&
           (square > number_largest(operand->dtype) / 2 || square < number_smallest_normal(operand->dtype));
}

/* Whether what is added up for an element, of which the magnitudes give `sum`, may pass the type's range. */
static bool leaves_range(const struct operand *operand, number sum)
{
    number divisor = operand->bound.divisor > 0 ? (number)operand->bound.divisor : 1;
    number error = (number)operand->bound.sum * number_epsilon(operand->dtype);
    return dtype_is_float(operand->dtype) && !(sum * divisor * (1 + error) <= number_largest(operand->dtype));
}

/* What element `index` of an output of the plain problem may be, where the truth is `value`. mixed: from a kernel that
 * mixes neighbours. */
static struct interval allowed(const struct expectation *e, bool mixed, int output, int64_t index, number value)
{
    const struct operand *operand = &e->plain.outputs[output];
    if (mixed && e->mixed[output])
        return allowed_mixed(e, output, index, value);
    if (squares_leave_range(operand, value))
        return (struct interval){.open = true};
    const struct bound *bound = &operand->bound;
    number epsilon = number_epsilon(operand->dtype), sum = 0;
    if (bound->sum > 0)
        sum = element(operand, e->magnitudes.outputs[output], offset_of(operand, index));
    /* Magnitudes may leave the range where the sum does not; and an infinity may be cut off that is not as a magnitude.
     */
    if (bound->sum > 0 && (e->finite || isfinite(value)) && leaves_range(operand, sum))
        return (struct interval){.open = true};
    if (bound->largest > 0 && e->finite && !isfinite(value)) /* what overflows first is up to the order of sums */
        return (struct interval){.open = true};
    if (!isfinite(value) || !isfinite(sum))
        return interval_of(value);
    number error =
        (number)bound->sum * sum + (number)bound->relative * fabsl(value) + (number)bound->largest * e->largest[output];
    error += (number)(bound->sum + bound->relative) * number_smallest_normal(operand->dtype);
    return interval_about(value, error * epsilon + (number)bound->absolute);
}

/* --- judging ------------------------------------------------------------------------------------------------- */

static void write_place(const struct operand *operand, int64_t index, char *text, size_t room)
{
    int64_t at[STRIDED_AXES];
    size_t length = 0;
    text[0] = 0;
    strided_indices(&operand->at, index, at);
    for (int i = 0; i < operand->at.rank && length < room; i++)
        length += (size_t)snprintf(text + length, room - length, "%s%lld", i ? "," : "", (long long)at[i]);
}

static void complain(struct verdict *verdict, const struct operand *operand, int64_t index, number got,
                     const struct interval *expected)
{
    char place[120];
    write_place(operand, index, place, sizeof place);
    bool point = expected->low == expected->high || isnan(expected->low);
    verdict->wrong = true;
    int length = snprintf(verdict->text, sizeof verdict->text, "%s[%s] (offset %lld) is %.17Lg, not ", operand->name,
                          place, (long long)offset_of(operand, index), got);
    snprintf(verdict->text + length, sizeof verdict->text - (size_t)length, point ? "%.17Lg" : "%.17Lg to %.17Lg",
             expected->low, expected->high);
}

static void check_bits(const struct operand *operand, const void *expected, const void *got, int64_t count,
                       struct verdict *verdict)
{
    int64_t least = 0, most = 0;
    size_t each = dtype_bits(operand->dtype) / 8;
    strided_reach(&operand->at, &least, &most);
    for (int64_t i = 0; i < count && !verdict->wrong; i++) {
        size_t at = (size_t)(offset_of(operand, i) - least) * each;
        const unsigned char *a = (const unsigned char *)expected + at, *b = (const unsigned char *)got + at;
        verdict->compared++;
        if (memcmp(a, b, each) == 0)
            continue;
        char place[120];
        write_place(operand, i, place, sizeof place);
        verdict->wrong = true;
        int length = snprintf(verdict->text, sizeof verdict->text, "%s[%s] (offset %lld) has the bytes", operand->name,
                              place, (long long)offset_of(operand, i));
        for (int which = 0; which < 2; which++) {
            for (size_t k = 0; k < each; k++)
                length += snprintf(verdict->text + length, sizeof verdict->text - (size_t)length, " %02x",
                                   (which ? a : b)[k]);
            length += snprintf(verdict->text + length, sizeof verdict->text - (size_t)length, which ? "" : ", not");
        }
    }
}

static void check_element(const struct expectation *e, bool mixed, int output, int64_t index, number expected,
                          const void *got, struct verdict *verdict)
{
    const struct operand *operand = &e->plain.outputs[output];
    struct interval interval = allowed(e, mixed, output, index, expected);
    number value = element(operand, got, offset_of(operand, index));
    verdict->compared++;
    verdict->open += interval.open;
    if (!interval_holds_plain(&interval, operand->dtype, value))
        complain(verdict, operand, index, value, &interval);
}

static void check_plain(const struct expectation *e, bool mixed, int output, const void *got, struct verdict *verdict)
{
    const struct operand *operand = &e->plain.outputs[output];
    const void *expected = e->results.outputs[output];
    int64_t count = output_count(operand, e->results.dims[output]);
    if (operand->bound.bits)
        check_bits(operand, expected, got, count, verdict);
    for (int64_t i = 0; i < count && !verdict->wrong && !operand->bound.bits; i++)
        check_element(e, mixed, output, i, element(operand, expected, offset_of(operand, i)), got, verdict);
}

/* The program on element `index`, of which it takes input 0 from the oracle where it rides along. */
static enum run run_program(const struct expectation *e, bool mixed, int64_t index, struct interval *registers)
{
    const struct problem *problem = e->problem;
    const struct pointwise_params *program = problem->epilogue ? problem->epilogue : problem->params;
    int first = problem->epilogue != NULL, own = problem->epilogue ? problem->own_inputs : 0;
    if (first)
        registers[0] = allowed(e, mixed, 0, index, element(&e->plain.outputs[0], e->results.outputs[0], index));
    for (int i = first; i < program->input_count; i++) {
        const struct operand *in = &problem->inputs[own + i - first];
        registers[i] = interval_of(element(in, e->operands->inputs[own + i - first], strided_offset(&in->at, index)));
    }
    return interval_run(program, registers);
}

static void check_program(const struct expectation *e, bool mixed, const struct operands *got, struct verdict *verdict)
{
    const struct problem *problem = e->problem;
    const struct pointwise_params *program = problem->epilogue ? problem->epilogue : problem->params;
    int64_t count = strided_count(&problem->outputs[0].at);
    for (int64_t i = 0; i < count && !verdict->wrong; i++) {
        struct interval registers[POINTWISE_MAX_REGISTERS];
        enum run run = run_program(e, mixed, i, registers);
        for (int k = 0; k < program->output_count && !verdict->wrong; k++) {
            const struct operand *operand = &problem->outputs[k];
            const struct pointwise_operand *as = &program->operands[program->input_count + k];
            struct interval interval = registers[as->reg];
            interval.open = interval.open || run == RUN_UNKNOWN;
            number value = element(operand, got->outputs[k], strided_offset(&operand->at, i));
            verdict->compared++;
            verdict->open += interval.open;
            if (run == RUN_FAULTS || !interval_holds(&interval, as, value))
                complain(verdict, operand, i, value, &interval);
        }
    }
}

void expectation_check(const struct expectation *e, const struct kernel *kernel, const struct operands *got,
                       struct verdict *verdict)
{
    bool has_program = e->problem->epilogue || e->problem->family == FAMILY_pointwise;
    *verdict = (struct verdict){.wrong = false};
    if (has_program)
        check_program(e, kernel->mixes, got, verdict);
    for (int i = has_program ? e->problem->output_count : 0; i < e->problem->output_count && !verdict->wrong; i++) {
        const struct operand *output = &e->problem->outputs[i];
        if (output->absent)
            continue;
        if (output->sized_by_run &&
            memcmp(e->results.dims[i], got->dims[i], (size_t)output->at.rank * sizeof(int64_t)) != 0) {
            verdict->wrong = true;
            snprintf(verdict->text, sizeof verdict->text, "%s has %lld elements, not %lld", output->name,
                     (long long)output_count(output, got->dims[i]),
                     (long long)output_count(output, e->results.dims[i]));
            return;
        }
        check_plain(e, kernel->mixes, i, got->outputs[i], verdict);
    }
}

void expectation_check_oracle(const struct expectation *e, int output, int64_t index, number truth,
                              struct verdict *verdict)
{
    if (truth != ANYTHING) {
        check_element(e, false, output, index, truth, e->results.outputs[output], verdict);
        return;
    }
    verdict->compared++;
    verdict->open++;
}
