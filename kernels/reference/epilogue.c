#include "kernels/epilogue.h"

#include "kernels/convert.h"
#include "kernels/reference/interpreter.h"
#include "kernels/walk.h"

#include <string.h>

#define LONGEST_ROW 256 /* elements at a time: instructions of fewer take as long for what surrounds them */

/* --- by tile --------------------------------------------------------------------------------------------- */

/* A part of an axis of the space, and the axes of the program that make it up. */
struct span {
    int axis, rank;
    int64_t first, count;
    int64_t stride; /* in the results */
};

static struct span span_of(const int *first_axis, enum epilogue_axis axis, int64_t first, int64_t count, int64_t stride)
{
    return (struct span){first_axis[axis], first_axis[axis + 1] - first_axis[axis], first, count, stride};
}

/* Moves every operand but the results on by so many elements of the axis. */
static void move_offsets(const struct pointwise_params *p, const struct span *span, int64_t index, int64_t *offsets)
{
    for (int axis = span->axis + span->rank - 1; axis >= span->axis; axis--) {
        bool last = axis == span->axis;
        int64_t along = last ? index : index % p->dims[axis];
        index = last ? 0 : index / p->dims[axis];
        for (int i = 1; i < pointwise_operand_count(p); i++)
            offsets[i] += along * p->operands[i].strides[axis];
    }
}

/* One line of a tile, in parts along which every operand takes even steps; start: where operands have index 0 of it. */
static void run_line(const struct pointwise_params *p, const struct kernel_call *call, const struct span *line,
                     const int64_t *start, instruct_function *instruct)
{
    int innermost = line->axis + line->rank - 1;
    int64_t even = line->rank > 0 ? p->dims[innermost] : 1;
    int64_t offsets[POINTWISE_MAX_OPERANDS], steps[POINTWISE_MAX_OPERANDS] = {line->stride};
    for (int i = 1; i < pointwise_operand_count(p); i++)
        steps[i] = line->rank > 0 ? p->operands[i].strides[innermost] : 0;
    for (int64_t done = 0, n; done < line->count && !call->fault->set; done += n) {
        int64_t index = line->first + done;
        n = least(LONGEST_ROW, least(line->count - done, even - index % even));
        memcpy(offsets, start, sizeof offsets);
        offsets[0] += done * line->stride;
        move_offsets(p, line, index, offsets);
        interpreter_run(p, call, offsets, steps, (int)n, instruct);
    }
}

size_t epilogue_workspace(const struct epilogue *epilogue)
{
    const int64_t *dims = epilogue->dims;
    int64_t longest = dims[EPILOGUE_ROWS] > dims[EPILOGUE_COLUMNS] ? dims[EPILOGUE_ROWS] : dims[EPILOGUE_COLUMNS];
    return epilogue->program ? interpreter_bytes(epilogue->program, least(LONGEST_ROW, longest)) : 0;
}

void interpreter_epilogue(const struct epilogue *epilogue, const struct kernel_call *call,
                          const struct epilogue_tile *tile, void *workspace, instruct_function *instruct)
{
    const struct pointwise_params *p = epilogue->program;
    int first[EPILOGUE_AXES + 1];
    epilogue_axes(epilogue, first);
    struct span batch = span_of(first, EPILOGUE_BATCH, tile->batch, 1, 0),
                rows = span_of(first, EPILOGUE_ROWS, tile->row, tile->rows, tile->row_stride),
                columns = span_of(first, EPILOGUE_COLUMNS, tile->column, tile->columns, tile->column_stride);
    const struct span *outer = tile->down ? &columns : &rows, *inner = tile->down ? &rows : &columns;
    int64_t start[POINTWISE_MAX_OPERANDS] = {0}, at[POINTWISE_MAX_OPERANDS];
    const void *inputs[POINTWISE_MAX_OPERANDS] = {tile->results};
    for (int i = 1; i < p->input_count; i++)
        inputs[i] = call->inputs[epilogue->own_inputs + i - 1];
    struct kernel_call piece = *call;
    piece.inputs = inputs;
    piece.workspace = workspace;
    move_offsets(p, &batch, batch.first, start);
    for (int64_t line = 0; line < outer->count; line++) {
        memcpy(at, start, sizeof at);
        at[0] = line * outer->stride;
        move_offsets(p, outer, outer->first + line, at);
        run_line(p, &piece, inner, at, instruct);
    }
}

void epilogue_run(const struct epilogue *epilogue, const struct kernel_call *call, const struct epilogue_tile *tile,
                  void *workspace)
{
    interpreter_epilogue(epilogue, call, tile, workspace, interpreter_instruct);
}

/* --- by form --------------------------------------------------------------------------------------------- */

/* The element of an operand, whatever its type, as an f32. */
static float operand_at(const void *memory, int64_t offset, enum dtype dtype)
{
    union {
        float single;
        int64_t integer;
    } element;
    interpreter_load(&element, memory, offset, 0, 1, dtype);
    return pointwise_class_of(dtype) == CLASS_F32 ? element.single : (float)element.integer;
}

/* Where an operand, or the output, has the element of a place in the tile. */
static int64_t place_of(const struct epilogue *epilogue, const struct epilogue_form *form, int operand, int64_t batch,
                        int64_t row, int64_t column, int64_t row_stride, int64_t column_stride)
{
    int64_t down = row % form->row_run, across = column % form->column_run;
    return epilogue_offset(epilogue, operand, batch, row - down, column - across) + down * row_stride +
           across * column_stride;
}

/* values: x, and the one on the side. */
static void apply_operation(const struct epilogue *epilogue, const struct epilogue_form *form,
                            const struct epilogue_operation *operation, const struct kernel_call *call, float *values,
                            int64_t batch, int64_t row, int64_t column)
{
    const double immediate[2] = {(double)operation->p, (double)operation->q};
    enum pointwise_opcode opcode = (enum pointwise_opcode)operation->opcode;
    float *x = &values[operation->on_side], operand = values[!operation->on_side];
    if (operation->input > 0) {
        int64_t at = place_of(epilogue, form, operation->input, batch, row, column, operation->row, operation->column);
        operand =
            operand_at(call->inputs[epilogue->own_inputs + operation->input - 1], at, (enum dtype)operation->dtype);
    }
    if (opcode == POINTWISE_MOVE)
        *x = operand;
    else
        *x = operation->reversed ? interpreter_f32(opcode, operand, *x, immediate)
                                 : interpreter_f32(opcode, *x, operand, immediate);
}

void epilogue_apply_form(const struct epilogue *epilogue, const struct epilogue_form *form,
                         const struct kernel_call *call, const struct epilogue_tile *tile)
{
    int output = epilogue->program->input_count;
    for (int64_t i = 0; i < tile->rows; i++)
        for (int64_t j = 0; j < tile->columns; j++) {
            int64_t row = tile->row + i, column = tile->column + j;
            float values[2] = {operand_at(tile->results, i * tile->row_stride + j * tile->column_stride, form->from)};
            for (int k = 0; k < form->operation_count; k++)
                apply_operation(epilogue, form, &form->operations[k], call, values, tile->batch, row, column);
            int64_t whole = f64_to_i64((double)values[0]);
            bool is_whole = pointwise_class_of(form->to) != CLASS_F32;
            interpreter_store(is_whole ? (const void *)&whole : (const void *)values, call->outputs[0],
                              place_of(epilogue, form, output, tile->batch, row, column, form->row, form->column), 0, 1,
                              &epilogue->program->operands[output]);
        }
}
