#include "graph/passes/strips_rows.h"

#include "graph/ops/tools.h"
#include "graph/ops/window.h"
#include "graph/passes/rewrite.h"

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t divide_down(int64_t a, int64_t b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

/* --- which nodes ----------------------------------------------------------------------------------------- */

static bool has_rows(const struct value *value)
{
    return value && value->rank > ROW_AXIS && !value->dims_at_run && value->dims[ROW_AXIS] > 1 &&
           dtype_bits(value->dtype) % 8 == 0 && value->dtype != DTYPE_STRING;
}

static bool quantises_by_tensor(const struct node *node)
{
    return (is_op(node, "QuantizeLinear") || is_op(node, "DequantizeLinear")) && value_elements(node->inputs[1]) == 1;
}

bool rows_elementwise(const struct node *node)
{
    return (node->op->flags & OP_ELEMENTWISE) != 0 || quantises_by_tensor(node);
}

bool rows_convolves(const struct node *node)
{
    /* ONNX's, and that of ours. */
    return is_op(node, "Conv") || strcmp(node->op->name, "ConvInteger") == 0;
}

static bool joins_rows(const struct op_context *c)
{
    int64_t axis = op_int(c, "axis");
    return is_op(c->node, "Concat") && (axis < 0 ? axis + op_output(c, 0)->rank : axis) == ROW_AXIS;
}

bool rows_reads_part(const struct node *node, int i)
{
    bool alike = rows_elementwise(node) || is_op(node, "Concat");
    return node->inputs[i] && (i == 0 || alike) && node->inputs[i]->rank == node->outputs[0]->rank &&
           node->inputs[i]->dims[ROW_AXIS] > 1;
}

/* Each input has the rows of the output, or one row that all share, or none. A constant with rows would have to be cut
 * up, which makes more constants of it. */
static bool inputs_go_along(const struct node *node)
{
    const struct value *output = node->outputs[0];
    for (int i = 0; i < node->input_count; i++) {
        const struct value *input = node->inputs[i];
        if (!input)
            continue;
        int axis = input->rank - output->rank + ROW_AXIS;
        bool many = axis >= 0 && input->dims[axis] > 1;
        if (input->dims_at_run || input->rank < 0 || (many && (input->data || input->rank != output->rank)))
            return false;
    }
    return true;
}

/* Normalisation of each element by numbers of its channel, or by its neighbours among the channels. */
static bool is_by_channel(struct op_context *c)
{
    const struct node *node = c->node;
    if (is_op(node, "BatchNormalization"))
        return node->inputs[1]->rank == 1 && (node->version < 14 || op_int(c, "training_mode") == 0);
    return is_op(node, "LRN");
}

static bool is_window(const struct node *node)
{
    return rows_convolves(node) || is_op(node, "MaxPool") || is_op(node, "AveragePool") || is_op(node, "LpPool");
}

static enum status read_window(struct op_context *c, struct window *window)
{
    int64_t groups;
    if (is_op(c->node, "ConvTranspose"))
        return op_conv_transpose_window(c, window, &groups);
    return rows_convolves(c->node) ? op_conv_window(c, window, &groups) : op_pool_window(c, window);
}

static bool is_single(const struct node *node)
{
    for (int i = 1; i < node->output_count; i++)
        if (node->outputs[i])
            return false;
    return node->output_count > 0 && has_rows(node->outputs[0]) && !(node->op->flags & OP_RANDOM);
}

bool rows_map_of(struct graph *graph, struct node *node, struct rows_map *map)
{
    struct error ignored = {0};
    struct op_context c = {.graph = graph, .node = node, .error = &ignored};
    *map = (struct rows_map){.kind = ROWS_SAME};
    if (!is_single(node))
        return false;
    if (rows_elementwise(node) || is_op(node, "Concat"))
        return inputs_go_along(node) && !joins_rows(&c);
    if (node->input_count == 0 || !has_rows(node->inputs[0]) || node->inputs[0]->data)
        return false;
    if (is_by_channel(&c))
        return true;
    if (is_op(node, "Resize") || is_op(node, "Upsample")) {
        map->kind = ROWS_REPEAT;
        return op_resize_repeats(&c, map->factors);
    }
    map->kind = is_window(node) ? ROWS_WINDOW : ROWS_SPREAD;
    map->axis = SPATIAL_AXES - (node->outputs[0]->rank - 2);
    return (is_window(node) || is_op(node, "ConvTranspose")) && read_window(&c, &map->window) == STATUS_OK;
}

/* --- which rows ------------------------------------------------------------------------------------------ */

static int64_t extent_before(const struct rows_map *map)
{
    return (map->window.kernel[map->axis] - 1) * map->window.dilation[map->axis];
}

struct rows rows_made(const struct rows_map *map, struct rows wanted)
{
    if (map->kind != ROWS_REPEAT)
        return wanted;
    int64_t factor = map->factors[ROW_AXIS];
    return (struct rows){wanted.first / factor * factor, (wanted.end + factor - 1) / factor * factor};
}

/* What the windows span, past the edges of the input too. */
static struct rows window_span(const struct rows_map *map, struct rows made)
{
    const struct window *w = &map->window;
    int64_t stride = w->stride[map->axis], pad = w->pad[map->axis];
    return (struct rows){made.first * stride - pad, (made.end - 1) * stride - pad + extent_before(map) + 1};
}

/* Padding of the window over the rows from `first` on of the input that it reads. */
static void window_pads(const struct rows_map *map, struct rows made, int64_t *before, int64_t *after)
{
    struct rows span = window_span(map, made);
    *before = most(-span.first, 0);
    /* With ceil_mode the last window sticks out past the padding. */
    *after = least(most(span.end - map->window.input[map->axis], 0), map->window.pad_after[map->axis]);
}

static bool window_rows(const struct rows_map *map, struct rows made, struct rows *needed)
{
    struct rows span = window_span(map, made);
    int64_t before, after;
    window_pads(map, made, &before, &after);
    *needed = (struct rows){most(span.first, 0), least(span.end, map->window.input[map->axis])};
    return needed->first < needed->end && before + needed->end - needed->first + after > extent_before(map);
}

/* Padding that a ConvTranspose takes off at the start. */
static int64_t pad_taken(const struct rows_map *map, int axis)
{
    const struct window *w = &map->window;
    return (w->kernel[axis] - 1) * w->dilation[axis] - w->pad[axis];
}

/* Row o of the output is made of the rows i of the input for which o + pad - i * stride is a tap. One that lies before
 * the first of them is taken along where there is no tap, so that the padding need not be negative. */
static struct rows spread_rows(const struct rows_map *map, struct rows made)
{
    const struct window *w = &map->window;
    int64_t stride = w->spread[map->axis], pad = pad_taken(map, map->axis), count = w->input[map->axis];
    int64_t first = divide_down(made.first + pad - extent_before(map) + stride - 1, stride);
    first = least(first, divide_down(made.first + pad, stride));
    first = most(least(first, count - 1), 0);
    return (struct rows){first, least((made.end - 1 + pad) / stride, count - 1) + 1};
}

bool rows_needed(const struct rows_map *map, struct rows made, struct rows *needed)
{
    *needed = made;
    if (map->kind == ROWS_WINDOW)
        return window_rows(map, made, needed);
    if (map->kind == ROWS_SPREAD)
        *needed = spread_rows(map, made);
    if (map->kind == ROWS_REPEAT)
        *needed = (struct rows){made.first / map->factors[ROW_AXIS], made.end / map->factors[ROW_AXIS]};
    return true;
}

/* --- the operator for some rows -------------------------------------------------------------------------- */

/* Replaced by explicit padding. With that, ceil_mode adds no window that auto_pad had not. */
static bool is_padding(const struct attribute *attribute)
{
    static const char *const names[] = {"pads", "auto_pad", "output_padding", "output_shape"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(attribute->name, names[i]) == 0)
            return true;
    return false;
}

/* pads: before, then after; and the output_padding of a ConvTranspose. */
static void fill_padding(const struct rows_map *map, struct rows made, int rank, int64_t *pads, int64_t *extra)
{
    const struct window *w = &map->window;
    for (int k = 0; k < rank; k++) {
        int axis = SPATIAL_AXES - rank + k;
        bool cut = axis == map->axis;
        extra[k] = 0;
        pads[k] = w->pad[axis];
        pads[rank + k] = w->pad_after[axis];
        if (map->kind == ROWS_WINDOW && cut)
            window_pads(map, made, &pads[k], &pads[rank + k]);
        if (map->kind == ROWS_WINDOW)
            continue;
        struct rows read = cut ? spread_rows(map, made) : (struct rows){0, w->input[axis]};
        int64_t stride = w->spread[axis], taken = pad_taken(map, axis);
        int64_t full = stride * (read.end - read.first - 1) + (w->kernel[axis] - 1) * w->dilation[axis] + 1;
        pads[k] = cut ? made.first + taken - read.first * stride : taken;
        int64_t over = full - pads[k] - (cut ? made.end - made.first : w->output[axis]);
        pads[rank + k] = most(over, 0);
        extra[k] = most(-over, 0);
    }
}

static const struct attribute *window_attributes(struct graph *graph, struct node *node, const struct rows_map *map,
                                                 struct rows made, int *count)
{
    int rank = node->outputs[0]->rank - 2;
    struct attribute *list = region_array(graph->region, (size_t)node->attribute_count + 2, sizeof *list);
    int64_t *pads = region_array(graph->region, 3 * SPATIAL_AXES, sizeof *pads);
    if (!list || !pads)
        return NULL;
    int64_t *extra = pads + 2 * rank;
    fill_padding(map, made, rank, pads, extra);
    *count = 0;
    for (int i = 0; i < node->attribute_count; i++)
        if (!is_padding(&node->attributes[i]))
            list[(*count)++] = node->attributes[i];
    list[(*count)++] = ATTRIBUTE_LIST("pads", 2 * rank, pads);
    if (map->kind == ROWS_SPREAD)
        list[(*count)++] = ATTRIBUTE_LIST("output_padding", rank, extra);
    return list;
}

static const struct attribute *repeat_attributes(struct graph *graph, int *count)
{
    struct attribute *list = region_array(graph->region, 3, sizeof *list);
    if (!list)
        return NULL;
    list[0] = ATTRIBUTE_TEXT("mode", "nearest");
    list[1] = ATTRIBUTE_TEXT("coordinate_transformation_mode", "asymmetric");
    list[2] = ATTRIBUTE_TEXT("nearest_mode", "floor");
    *count = 3;
    return list;
}

const struct attribute *rows_attributes(struct graph *graph, struct node *node, const struct rows_map *map,
                                        struct rows made, int *count)
{
    if (map->kind == ROWS_WINDOW || map->kind == ROWS_SPREAD)
        return window_attributes(graph, node, map, made, count);
    if (map->kind == ROWS_REPEAT)
        return repeat_attributes(graph, count);
    *count = node->attribute_count;
    return node->attributes;
}
