#include "kernels/x86/results.h"

#include "kernels/walk.h"
#include "kernels/x86/transpose.h"

#include <math.h>

/* --- plan ---------------------------------------------------------------------------------------------------- */

bool SET_NAME(results_image_fits)(const struct conv_params *p)
{
    const int64_t *output = p->window.output, *strides = p->y.spatial;
    return p->epilogue || output[0] == 1 || output[1] == 1 || strides[0] == strides[1] * output[1];
}

/* Whether all positions are the same way apart; axes of one position do not count. */
static bool is_even(const int64_t *output, const int64_t *spatial)
{
    int64_t next = -1;
    for (int axis = SPATIAL_AXES - 1; axis >= 0; axis--) {
        if (output[axis] == 1)
            continue;
        if (next >= 0 && spatial[axis] != next)
            return false;
        next = spatial[axis] * output[axis];
    }
    return true;
}

struct results_place SET_NAME(results_image_place)(const struct conv_params *p)
{
    const int64_t *output = p->window.output, *spatial = p->y.spatial;
    bool even = is_even(output, spatial);
    return (struct results_place){.run = even ? output[0] * output[1] * output[2] : output[2],
                                  .run_stride = output[1] > 1 ? spatial[1] : spatial[0],
                                  .row_stride = output[2] > 1   ? spatial[2]
                                                : output[1] > 1 ? spatial[1]
                                                                : spatial[0],
                                  .column_stride = p->y.channel};
}

/* Operations that registers can do, in this order: up to two additions, hard-swish or a slope for what is negative, a
 * lower bound, an upper bound, a factor, a shift; all but the first and slopes of numbers. */
enum stage { STAGE_ADD, STAGE_BEND, STAGE_LOW, STAGE_HIGH, STAGE_SCALE, STAGE_SHIFT };

static bool is_number(const struct epilogue_operation *operation)
{
    return operation->input > 0 && operation->dtype == DTYPE_F32 && operation->row == 0 && operation->column == 0;
}

static bool take_addend(struct results *results, const struct epilogue_operation *operation)
{
    int64_t row = results->turned ? operation->column : operation->row;
    int64_t column = results->turned ? operation->row : operation->column;
    if (operation->input < 0 || operation->dtype != DTYPE_F32 || (column != 1 && results->columns > 1) ||
        results->addend_count == TILE_ADDENDS - 1)
        return false;
    results->addends[results->addend_count++] = (struct results_addend){operation->input, row};
    return true;
}

/* An addition is of whatever lies along the columns, or of a number when it is too late for that. */
static bool take_addition(struct results *results, const struct epilogue_operation *operation, enum stage *stage)
{
    enum stage before = *stage;
    if (before == STAGE_ADD && take_addend(results, operation))
        return true;
    *stage = STAGE_SHIFT;
    results->shift_input = operation->input;
    return before < STAGE_SHIFT && is_number(operation);
}

/* A slope for all, or one for each column. */
static bool take_slopes(struct results *results, const struct epilogue_operation *operation)
{
    int64_t row = results->turned ? operation->column : operation->row;
    int64_t column = results->turned ? operation->row : operation->column;
    results->leaks = true;
    if (is_number(operation))
        results->slope_input = operation->input;
    else
        results->slopes_input = operation->input;
    return operation->input > 0 && operation->dtype == DTYPE_F32 && !operation->reversed && row == 0 && column <= 1;
}

static bool take_operation(struct results *results, const struct epilogue_operation *operation, enum stage *stage)
{
    enum stage before = *stage;
    if (operation->on_side)
        return false;
    switch (operation->opcode) {
    case POINTWISE_ADD:
        return take_addition(results, operation, stage);
    case POINTWISE_HARD_SWISH:
        *stage = STAGE_BEND;
        results->swish = true;
        return before < STAGE_BEND;
    case POINTWISE_LEAKY_RELU:
        *stage = STAGE_BEND;
        results->leaks = true;
        results->slope = operation->p;
        return before < STAGE_BEND;
    case POINTWISE_PRELU:
        *stage = STAGE_BEND;
        return before < STAGE_BEND && take_slopes(results, operation);
    case POINTWISE_RELU:
        *stage = STAGE_LOW;
        results->low = 0;
        return before < STAGE_LOW;
    case POINTWISE_MAX:
        *stage = STAGE_LOW;
        results->low_input = operation->input;
        return before < STAGE_LOW && is_number(operation);
    case POINTWISE_MIN:
        *stage = STAGE_HIGH;
        results->high_input = operation->input;
        return before < STAGE_HIGH && is_number(operation);
    case POINTWISE_CLAMP:
        *stage = STAGE_HIGH;
        results->low = operation->p;
        results->high = operation->q;
        return before < STAGE_LOW;
    case POINTWISE_MUL:
        *stage = STAGE_SCALE;
        results->scale_input = operation->input;
        return before < STAGE_SCALE && is_number(operation);
    default:
        return false;
    }
}

/* How many groups of channels the output takes in turns; other operands must not know of it. 0: it does not. */
static int64_t shuffled_groups(const struct results *results)
{
    const struct pointwise_params *program = results->epilogue.program;
    int first[EPILOGUE_AXES + 1];
    epilogue_axes(&results->epilogue, first);
    int group = first[EPILOGUE_ROWS], output = program->input_count;
    if (!results->turned || first[EPILOGUE_ROWS + 1] - group != 2)
        return 0;
    int64_t groups = program->dims[group], channels = program->dims[group + 1];
    for (int i = 1; i < output; i++)
        if (program->operands[i].strides[group] != program->operands[i].strides[group + 1] * channels)
            return 0;
    const int64_t *strides = program->operands[output].strides;
    return strides[group] == 1 && strides[group + 1] == groups ? groups : 0;
}

static bool take_form(struct results *results, const struct epilogue_form *form)
{
    const int64_t *dims = results->epilogue.dims;
    results->shuffle = form->row_run < dims[EPILOGUE_ROWS] ? shuffled_groups(results) : 0;
    if (form->from != DTYPE_F32 || form->to != DTYPE_F32 ||
        (form->row_run < dims[EPILOGUE_ROWS] && !results->shuffle) || form->column_run < dims[EPILOGUE_COLUMNS])
        return false;
    results->place = (struct results_place){.run = results->rows,
                                            .row_stride = results->turned ? form->column : form->row,
                                            .column_stride = results->turned ? form->row : form->column};
    enum stage stage = STAGE_ADD;
    for (int i = 0; i < form->operation_count; i++)
        if (!take_operation(results, &form->operations[i], &stage))
            return false;
    return true;
}

void SET_NAME(results_plan)(const struct epilogue *epilogue, bool turned, int64_t rows, int64_t columns,
                            const struct results_place *place, struct results *results)
{
    *results = (struct results){.epilogue = *epilogue,
                                .turned = turned,
                                .rows = rows,
                                .columns = columns,
                                .place = *place,
                                .low = -INFINITY,
                                .high = INFINITY};
    results->has_form = epilogue->program && epilogue_recognise(epilogue, &results->form);
    bool simple =
        (!epilogue->program || (results->has_form && take_form(results, &results->form))) && results->place.run >= rows;
    results->in_registers = simple && (results->place.column_stride == 1 || columns == 1);
    results->shuffle = simple && !results->in_registers ? results->shuffle : 0;
}

bool SET_NAME(results_take_shuffle)(struct results *results)
{
    results->in_registers = results->in_registers || results->shuffle > 0;
    return results->shuffle > 0;
}

bool SET_NAME(results_need_no_buffer)(const struct results *results, int64_t own_column)
{
    return results->in_registers && !results->low_input && !results->high_input &&
           (own_column == 1 || results->columns == 1);
}

size_t SET_NAME(results_workspace)(const struct results *results)
{
    return SET_NAME(epilogue_store_bytes)(&results->epilogue, results->has_form ? &results->form : NULL);
}

/* --- a call -------------------------------------------------------------------------------------------------- */

static void *operand_of(const struct results_target *target, int operand)
{
    const struct epilogue *epilogue = &target->results->epilogue;
    const struct pointwise_params *program = epilogue->program;
    const void *memory = operand == program->input_count ? target->call->outputs[0]
                                                         : target->call->inputs[epilogue->own_inputs + operand - 1];
    return (float *)(uintptr_t)memory + epilogue_offset(epilogue, operand, target->batch, 0, 0);
}

static float number_of(const struct results_target *target, int input, float otherwise)
{
    return input ? *(const float *)operand_of(target, input) : otherwise;
}

/* A bound that is a NaN makes results NaN, which an instruction's maximum does not; one that is zero decides which zero
 * comes of the other, that a slope makes. */
static bool read_numbers(struct results_target *target)
{
    const struct results *results = target->results;
    target->ends.low = number_of(target, results->low_input, results->low);
    target->ends.high = number_of(target, results->high_input, results->high);
    target->ends.swish = results->swish;
    target->ends.leaks = results->leaks;
    target->ends.slope = number_of(target, results->slope_input, results->slope);
    target->ends.slopes = results->slopes_input ? operand_of(target, results->slopes_input) : NULL;
    target->ends.scaled = results->scale_input || results->shift_input;
    target->ends.scale = number_of(target, results->scale_input, 1);
    target->ends.shift = number_of(target, results->shift_input, -0.0F);
    bool zero = (results->low_input && target->ends.low == 0) || (results->high_input && target->ends.high == 0);
    return !isnan(target->ends.low) && !isnan(target->ends.high) && !(results->leaks && zero);
}

static void add_addend(struct tile_ends *ends, const float *from, int64_t row)
{
    ends->addends[ends->addend_count].from = from;
    ends->addends[ends->addend_count++].row = row;
}

void SET_NAME(results_begin)(struct results_target *target)
{
    const struct results *results = target->results;
    const struct pointwise_params *program = results->epilogue.program;
    target->ends = (struct tile_ends){.addend_count = 0};
    target->requantises = results->has_form && results->form.requantises && !target->own &&
                          SET_NAME(requantise_begin)(&results->epilogue, &results->form, target->call, target->batch,
                                                     results->turned, &target->requantiser);
    target->direct = results->in_registers && (!target->own || target->own_column == 1 || results->columns == 1) &&
                     read_numbers(target);
    if (!target->direct)
        return;
    if (target->own)
        add_addend(&target->ends, target->own, target->own_row);
    for (int i = 0; i < results->addend_count; i++)
        add_addend(&target->ends, operand_of(target, results->addends[i].input), results->addends[i].row_stride);
    target->ends.to = program ? operand_of(target, program->input_count) : target->to;
    target->ends.to_row = results->place.row_stride;
}

void SET_NAME(results_begin_image)(const struct results *results, const struct kernel_call *call,
                                   const struct conv_params *p, int64_t image, struct results_target *target)
{
    *target = (struct results_target){.results = results,
                                      .call = call,
                                      .batch = image,
                                      .own = call->inputs[2],
                                      .own_column = 1,
                                      .to = (float *)call->outputs[0] + image * p->y.batch};
    SET_NAME(results_begin)(target);
}

void SET_NAME(results_ends)(const struct results_target *target, const struct results_block *tile,
                            struct tile_ends *ends)
{
    *ends = target->ends;
    for (int i = 0; i < ends->addend_count; i++) {
        ends->addends[i].from += tile->row * ends->addends[i].row + tile->column;
        ends->addends[i].row *= tile->step;
    }
    if (ends->slopes)
        ends->slopes += tile->column;
    ends->to += tile->row * ends->to_row + tile->column;
    ends->to_row *= tile->step;
    ends->columns = tile->columns;
}

void SET_NAME(results_stretch)(const struct results_target *target, const struct results_block *tile, float *sums,
                               bool first, bool last, struct tile_ends *ends)
{
    if (target->direct && last)
        SET_NAME(results_ends)(target, tile, ends);
    else
        *ends = (struct tile_ends){.low = -INFINITY,
                                   .high = INFINITY,
                                   .to = sums,
                                   .to_row = tile->step * TILE_COLUMNS,
                                   .columns = tile_width(tile->columns)};
    ends->start = first ? NULL : sums;
    ends->start_row = tile->step * TILE_COLUMNS;
}

void SET_NAME(results_multiply)(const struct results_target *target, const struct results_block *tile, float *sums,
                                const struct tile_rows *left, const struct tile_panel *panel, bool first, bool last)
{
    struct tile_ends ends;
    SET_NAME(results_stretch)(target, tile, sums, first, last, &ends);
    SET_NAME(tile_multiply)(tile->rows, left, panel, &ends);
}

void SET_NAME(results_shuffle)(const struct results_target *target, int64_t row, int64_t rows, const float *from)
{
    const struct results *results = target->results;
    const int64_t size = sizeof *from, groups = results->shuffle, each = results->columns / groups;
    float *to = target->ends.to + row * target->ends.to_row;
    for (int64_t i = 0; i < rows; i++, from += results->columns, to += target->ends.to_row)
        SET_NAME(transpose)(size, from, each * size, to, groups * size, groups, each);
}

/* As wide as whole vectors in the sums, not so in the family's own addend. */
static void add_line(const float *from, int64_t columns, float *sums)
{
    int64_t j = 0;
    for (; j + LANES <= columns; j += LANES)
        vf_store(sums + j, vf_add(vf_load(sums + j), vf_load(from + j)));
    if (j < columns)
        vf_store(sums + j, vf_add(vf_load(sums + j), vf_load_part(from + j, columns - j)));
}

/* Sums in the buffer, a row of them `width` floats after the other. */
struct stored {
    float *first;
    int64_t width;
};

static void add_own(const struct results_target *target, const struct results_block *block, const struct stored *sums)
{
    if (block->columns == 1) {
        const float *from = target->own + block->row * target->own_row + block->column * target->own_column;
        for (int64_t i = 0; i < block->rows; i++)
            sums->first[i] += from[i * target->own_row];
        return;
    }
    for (int64_t i = 0; i < block->rows; i++) {
        const float *from = target->own + (block->row + i) * target->own_row + block->column * target->own_column;
        float *to = sums->first + i * sums->width;
        if (target->own_column == 1 && sums->width % LANES == 0) {
            add_line(from, block->columns, to);
            continue;
        }
        for (int64_t j = 0; j < block->columns; j++)
            to[j] += from[j * target->own_column];
    }
}

/* Rows that lie next to each other, as those of an image whose channels are first. */
static void store_turned(const struct results_target *target, const struct results_block *block,
                         const struct stored *sums)
{
    const struct results_place *place = &target->results->place;
    for (int64_t i = 0, count; i < block->rows; i += count) {
        int64_t row = block->row + i;
        count = least(block->rows - i, place->run - row % place->run);
        float *to = target->to + row / place->run * place->run_stride + row % place->run;
        SET_NAME(transpose)
        (sizeof *to, sums->first + i * sums->width, sums->width * (int64_t)sizeof *to,
         to + block->column * place->column_stride, place->column_stride * (int64_t)sizeof *to, count, block->columns);
    }
}

static void store_plainly(const struct results_target *target, const struct results_block *block,
                          const struct stored *sums)
{
    const struct results_place *place = &target->results->place;
    if (place->row_stride == 1 && block->columns > 1) {
        store_turned(target, block, sums);
        return;
    }
    for (int64_t i = 0; i < block->rows; i++) {
        int64_t row = block->row + i;
        float *to = target->to + row / place->run * place->run_stride + row % place->run * place->row_stride;
        for (int64_t j = 0; j < block->columns; j++)
            to[(block->column + j) * place->column_stride] = sums->first[i * sums->width + j];
    }
}

/* A column alone becomes a line. */
static void close_ranks(struct stored *sums, int64_t rows)
{
    for (int64_t i = 1; i < rows && sums->width > 1; i++)
        sums->first[i] = sums->first[i * sums->width];
    sums->width = 1;
}

#define TURNED_ROWS 64 /* at a time */

/* The same by a form that stores them so: sums are turned over beforehand. */
static void store_turned_by_form(const struct results_target *target, const struct results_block *block,
                                 const struct stored *sums, void *workspace)
{
    const struct results *results = target->results;
    float lines[TILE_COLUMNS * TURNED_ROWS];
    for (int64_t i = 0; i < block->rows; i += TURNED_ROWS) {
        int64_t count = least(block->rows - i, TURNED_ROWS);
        SET_NAME(transpose)
        (sizeof *lines, sums->first + i * sums->width, sums->width * (int64_t)sizeof *lines, lines,
         TURNED_ROWS * (int64_t)sizeof *lines, count, block->columns);
        struct epilogue_tile tile = {.results = lines,
                                     .row_stride = TURNED_ROWS,
                                     .column_stride = 1,
                                     .batch = target->batch,
                                     .row = block->column,
                                     .rows = block->columns,
                                     .column = block->row + i,
                                     .columns = count};
        SET_NAME(epilogue_store)(&results->epilogue, &results->form, target->call, &tile, workspace);
    }
}

static void store_by_program(const struct results_target *target, const struct results_block *block,
                             const struct stored *sums, void *workspace)
{
    const struct results *results = target->results;
    if (results->turned && results->has_form && results->form.column == 1 && block->columns > 1) {
        store_turned_by_form(target, block, sums, workspace);
        return;
    }
    struct epilogue_tile tile = {.results = sums->first,
                                 .row_stride = sums->width,
                                 .column_stride = 1,
                                 .batch = target->batch,
                                 .row = block->row,
                                 .rows = block->rows,
                                 .column = block->column,
                                 .columns = block->columns,
                                 .down = block->columns == 1};
    if (results->turned)
        tile = (struct epilogue_tile){.results = sums->first,
                                      .row_stride = 1,
                                      .column_stride = sums->width,
                                      .batch = target->batch,
                                      .row = block->column,
                                      .rows = block->columns,
                                      .column = block->row,
                                      .columns = block->rows,
                                      .down = block->columns > 1};
    SET_NAME(epilogue_store)
    (&results->epilogue, results->has_form ? &results->form : NULL, target->call, &tile, workspace);
}

void SET_NAME(results_store)(const struct results_target *target, const struct results_block *block, float *first,
                             int64_t width, void *workspace)
{
    struct stored sums = {first, width};
    if (target->requantises) {
        SET_NAME(requantise)
        (&target->requantiser, (const int32_t *)(const void *)first, width, block->row, block->rows, block->column,
         block->columns);
        return;
    }
    if (block->columns == 1)
        close_ranks(&sums, block->rows);
    if (target->own)
        add_own(target, block, &sums);
    if (target->results->epilogue.program)
        store_by_program(target, block, &sums, workspace);
    else
        store_plainly(target, block, &sums);
}
