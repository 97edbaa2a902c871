#include "graph/steps/sides.h"

#include "graph/op.h"
#include "kernels/copy.h"

#include <string.h>

static enum status no_memory(const struct segment *segment, struct error *error)
{
    return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while preparing graph '%s'", segment->graph->name);
}

static struct value *root_of(struct value *value)
{
    return value_root(value, NULL);
}

/* --- the side of a step ---------------------------------------------------------------------------------- */

#define FEW_ELEMENTS 64 /* of integers that are taken to be shapes */

struct choosing {
    struct segment *segment;
    const struct kernel_facts *facts;
    bool *on_host; /* by id of a root: a step on the host writes it */
    bool *made;    /* some step writes it */
};

static bool is_few_integers(const struct value *value)
{
    bool counts = dtype_is_integer(value->dtype) || value->dtype == DTYPE_BOOL;
    return counts && value->rank >= 0 && value_elements(value) <= FEW_ELEMENTS;
}

static bool lies_on_host(const struct choosing *c, struct value *value)
{
    const struct value *root = root_of(value);
    return c->made[root->id] ? c->on_host[root->id] : !root->on_device;
}

/* A few integers, made of what the host has. */
static bool is_shape_arithmetic(const struct choosing *c, const struct step *step)
{
    bool from_host = true;
    for (int i = 0; i < step->input_count && from_host; i++)
        if (step->inputs[i] && !root_of(step->inputs[i])->data)
            from_host = is_few_integers(step->inputs[i]) && lies_on_host(c, step->inputs[i]);
    for (int i = 0; i < step->output_count && from_host; i++)
        from_host = !step->outputs[i] || is_few_integers(step->outputs[i]);
    return from_host;
}

static bool must_move(const struct choosing *c, const struct step *step)
{
    for (int i = 0; i < step->output_count; i++) {
        const struct value *output = step->outputs[i];
        if (output && (output->dims_at_run || output->rank < 0 || c->on_host[root_of(step->outputs[i])->id]))
            return true;
    }
    return is_shape_arithmetic(c, step);
}

static void note_writer(const struct choosing *c, const struct step *step)
{
    for (int i = 0; i < step->output_count; i++) {
        if (!step->outputs[i])
            continue;
        int root = root_of(step->outputs[i])->id;
        c->made[root] = true;
        c->on_host[root] = c->on_host[root] || !step_is_on_device(step);
    }
}

/* One that moves may make others move, before it and after it. */
static enum status move_steps(const struct choosing *c, struct error *error)
{
    const struct step_list *steps = &c->segment->steps;
    for (bool moved = true; moved;) {
        moved = false;
        for (int s = 0; s < steps->count; s++) {
            struct step *step = steps->steps[s];
            if (!step_is_on_device(step) || !must_move(c, step))
                continue;
            TRY(select_kernel(step, c->facts, step_constant_inputs(step), c->segment->graph->region, error));
            note_writer(c, step);
            moved = true;
        }
    }
    return STATUS_OK;
}

enum status choose_sides(struct segment *segment, const struct kernel_facts *facts, struct error *error)
{
    struct region scratch;
    size_t values = (size_t)segment->graph->value_count + 1;
    region_init(&scratch, segment->graph->region->allocator);
    struct choosing c = {.segment = segment,
                         .facts = facts,
                         .on_host = region_array(&scratch, values, sizeof *c.on_host),
                         .made = region_array(&scratch, values, sizeof *c.made)};
    enum status status = STATUS_OK;
    if (!c.on_host || !c.made)
        status = no_memory(segment, error);
    for (int s = 0; s < segment->steps.count && status == STATUS_OK; s++)
        note_writer(&c, segment->steps.steps[s]);
    if (status == STATUS_OK)
        status = move_steps(&c, error);
    region_free(&scratch);
    return status;
}

/* --- copies ---------------------------------------------------------------------------------------------- */

struct copying {
    struct segment *segment;
    const struct sides *sides;
    struct region scratch;
    int value_count;       /* before there are twins; what is by id is of so many */
    struct value **twins;  /* by id: on the other side; NULL: none yet */
    bool *copied;          /* by id of a root: the step that makes its twin is there */
    bool *wanted;          /* by id of a root on the device: the host reads it */
    bool *made;            /* by id of a root: steps here write it */
    int *writes;           /* by id of a root: steps still to come that write it */
    struct step_list list; /* the steps with the copies */
};

static bool append(struct copying *c, struct step *step)
{
    struct step_list *list = &c->list;
    if (list->count == list->capacity) {
        int capacity = list->capacity ? 2 * list->capacity : 2 * c->segment->steps.count + 16;
        struct step **larger = region_array(list->region, (size_t)capacity, sizeof *larger);
        if (!larger)
            return false;
        if (list->count)
            memcpy(larger, list->steps, (size_t)list->count * sizeof *larger);
        list->steps = larger;
        list->capacity = capacity;
    }
    list->steps[list->count++] = step;
    return true;
}

/* The twin of a value: of a view, a view of its root's twin. NULL: no memory. */
static struct value *twin_of(struct copying *c, struct value *value)
{
    if (c->twins[value->id])
        return c->twins[value->id];
    struct graph *graph = c->segment->graph;
    size_t offset;
    struct value *root = value_root(value, &offset);
    struct value *base = root == value ? NULL : twin_of(c, root);
    struct value *twin =
        base || root == value ? graph_add_value(graph, "", value->dtype, value->rank, value->dims) : NULL;
    if (!twin)
        return NULL;
    twin->strides = value->strides;
    twin->strided = value->strided;
    twin->alias = base;
    twin->alias_offset = base ? offset : 0;
    twin->on_device = base ? false : !root->on_device;
    c->twins[value->id] = twin;
    return twin;
}

struct step *make_transfer(struct graph *graph, const struct sides *sides, struct value *from, struct value *to,
                           const struct node *node)
{
    struct region *region = graph->region;
    struct step *step = region_allocate(region, sizeof *step);
    struct copy_params *params = region_allocate(region, sizeof *params);
    struct kernel_plan *plan = region_allocate(region, sizeof *plan);
    struct value **operands = region_array(region, 2, sizeof *operands);
    if (!step || !params || !plan || !operands)
        return NULL;
    *params = (struct copy_params){.rank = 1,
                                   .dims = {(int64_t)value_bytes(from)},
                                   .input_strides = {1},
                                   .output_strides = {1},
                                   .element_bytes = 1};
    operands[0] = from;
    operands[1] = to;
    const struct kernel *from_device = root_of(to)->on_device ? sides->within : sides->to_host;
    *step = (struct step){.family = FAMILY_copy,
                          .params = params,
                          .params_bytes = sizeof *params,
                          .inputs = operands,
                          .input_count = 1,
                          .outputs = operands + 1,
                          .output_count = 1,
                          .node = node,
                          .kernel = root_of(from)->on_device ? from_device : sides->to_device,
                          .plan = plan};
    const struct kernel_facts facts = {.threads = 1};
    return kernel_make_plan(step->kernel, params, &facts, region, plan) ? step : NULL;
}

/* Makes the twin of a root where there is none yet, for a step of `node`. */
static bool copy_root(struct copying *c, struct value *root, const struct node *node)
{
    struct value *twin = twin_of(c, root);
    if (!twin || c->copied[root->id] || value_bytes(root) == 0) /* an empty tensor is made by nobody */
        return twin != NULL;
    struct step *step = make_transfer(c->segment->graph, c->sides, root, twin, node);
    c->copied[root->id] = true;
    return step && append(c, step);
}

static bool needs_twin(const struct copying *c, const struct step *step, struct value *value)
{
    const struct value *root = value ? root_of(value) : NULL;
    return root && root->id < c->value_count && !root->data && root->on_device != step_is_on_device(step);
}

static void want(struct copying *c, struct value *value)
{
    struct value *root = value ? root_of(value) : NULL;
    if (root && root->on_device && !root->data)
        c->wanted[root->id] = true;
}

/* Which values lie on the device, and which of them the host reads. */
static void look_around(struct copying *c)
{
    const struct segment *segment = c->segment;
    const struct step_list *steps = &segment->steps;
    for (int s = 0; s < steps->count; s++)
        for (int i = 0; i < steps->steps[s]->output_count; i++) {
            struct value *root = steps->steps[s]->outputs[i] ? root_of(steps->steps[s]->outputs[i]) : NULL;
            if (!root)
                continue;
            root->on_device = step_is_on_device(steps->steps[s]);
            c->made[root->id] = true;
            c->writes[root->id]++;
        }
    for (int s = 0; s < steps->count; s++)
        for (int i = 0; i < steps->steps[s]->input_count; i++)
            if (!step_is_on_device(steps->steps[s]))
                want(c, steps->steps[s]->inputs[i]);
    for (int i = 0; i < segment->graph->output_count; i++)
        if (!output_is_wanted_there(c->sides, i))
            want(c, segment->graph->outputs[i]);
    want(c, segment->needed);
}

/* What an earlier program left on the device is copied at once. */
static bool copy_old_values(struct copying *c)
{
    for (int i = 0; i < c->value_count; i++) {
        struct value *value = c->segment->graph->values[i];
        if (!c->wanted[i] || c->writes[i] > 0)
            continue;
        const struct node *node = node_for_copy(c->segment->graph->region, value);
        if (!node || !copy_root(c, value, node))
            return false;
    }
    return true;
}

static bool copy_for(struct copying *c, struct step *step)
{
    for (int i = 0; i < step->input_count; i++) {
        if (!needs_twin(c, step, step->inputs[i]))
            continue;
        if (!copy_root(c, root_of(step->inputs[i]), step->node))
            return false;
        step->inputs[i] = twin_of(c, step->inputs[i]);
        if (!step->inputs[i])
            return false;
    }
    return true;
}

static bool copy_results(struct copying *c, const struct step *step)
{
    for (int i = 0; i < step->output_count; i++) {
        struct value *root = step->outputs[i] ? root_of(step->outputs[i]) : NULL;
        if (!root)
            continue;
        c->copied[root->id] = false; /* a part of it was, perhaps */
        if (--c->writes[root->id] == 0 && c->wanted[root->id] && !copy_root(c, root, step->node))
            return false;
    }
    return true;
}

/* What the host's steps here make of an output that is wanted on the device goes there, where its size is known. */
static bool copy_output(struct copying *c, struct value *output)
{
    struct value *root = root_of(output);
    const struct node *node = node_for_copy(c->segment->graph->region, output);
    return node && copy_root(c, root, node);
}

static bool is_there_already(const struct copying *c, struct value *output, bool wanted_there)
{
    const struct value *root = root_of(output);
    bool stays = wanted_there && (!c->made[root->id] || root->dims_at_run || root->rank < 0 || output->dims_at_run);
    return root->data || root->on_device == wanted_there || stays;
}

/* The caller, and what makes the rest, read the twins. */
static bool hand_over(struct copying *c)
{
    struct segment *segment = c->segment;
    struct graph *graph = segment->graph;
    for (int i = 0; i < graph->output_count; i++) {
        struct value *output = graph->outputs[i];
        bool there = output_is_wanted_there(c->sides, i);
        if (is_there_already(c, output, there))
            continue;
        struct value *twin = there && !copy_output(c, output) ? NULL : twin_of(c, output);
        if (!twin)
            return false;
        if (!*twin->name) { /* who watches a run sees the output once */
            twin->name = output->name;
            output->name = "";
        }
        graph->outputs[i] = twin;
    }
    segment->needed_copy = segment->needed;
    if (segment->needed && root_of(segment->needed)->on_device)
        segment->needed_copy = twin_of(c, segment->needed);
    return !segment->needed || segment->needed_copy;
}

static bool insert_copies(struct copying *c)
{
    struct step_list *steps = &c->segment->steps;
    look_around(c);
    if (!copy_old_values(c))
        return false;
    for (int s = 0; s < steps->count; s++)
        if (!copy_for(c, steps->steps[s]) || !append(c, steps->steps[s]) || !copy_results(c, steps->steps[s]))
            return false;
    return hand_over(c);
}

enum status place_copies(struct segment *segment, const struct sides *sides, struct error *error)
{
    size_t values = (size_t)segment->graph->value_count + 1;
    struct copying c = {.segment = segment,
                        .sides = sides,
                        .value_count = segment->graph->value_count,
                        .list = step_list_in(segment->graph->region)};
    region_init(&c.scratch, segment->graph->region->allocator);
    c.twins = region_array(&c.scratch, values, sizeof *c.twins);
    c.copied = region_array(&c.scratch, values, sizeof *c.copied);
    c.wanted = region_array(&c.scratch, values, sizeof *c.wanted);
    c.made = region_array(&c.scratch, values, sizeof *c.made);
    c.writes = region_array(&c.scratch, values, sizeof *c.writes);
    bool done = c.twins && c.copied && c.wanted && c.made && c.writes && insert_copies(&c);
    region_free(&c.scratch);
    if (!done)
        return no_memory(segment, error);
    segment->steps = c.list;
    return STATUS_OK;
}
