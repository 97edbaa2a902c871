#include "runtime/compile/place.h"

#include "graph/op.h"
#include "graph/steps/liveness.h"

#include <string.h>

struct placing {
    struct program *program;
    const struct program_options *options;
    struct graph *graph;
    struct life *lives; /* by value id */
    struct error *error;
};

static enum status no_memory(struct placing *p)
{
    return error_set(p->error, STATUS_OUT_OF_MEMORY, "out of memory while planning graph '%s'", p->graph->name);
}

static struct value *root_of(struct value *value)
{
    return value_root(value, NULL);
}

/* --- outputs --------------------------------------------------------------------------------------------- */

static bool is_made_here(const struct placing *p, const struct value *root)
{
    return p->lives[root->id].first != NOT_HERE;
}

/* Where its root is not an earlier output's already. */
static bool can_bind(const struct placing *p, struct value *output)
{
    const struct value *root = root_of(output);
    return output_is_whole(output) && is_made_here(p, root) && p->program->places[root->id].space == SPACE_NONE;
}

static void bind(struct placing *p, int index, const struct value *value, struct value *root)
{
    struct program *program = p->program;
    program->places[root->id] = (struct operand){.space = SPACE_OUTPUT, .index = (uint32_t)index};
    program->outputs[program->output_count++] = (struct output_binding){.index = index, .value = value};
}

/* Steps that copy `output` to `copy`: on the host, or by the stream. */
static enum status emit_copy(struct placing *p, struct node *node, struct value *output, struct value *copy)
{
    struct graph *graph = p->graph;
    struct step_list *steps = &p->program->segment.steps;
    if (DEVICE_BUILT && copy->on_device) {
        struct step *step = make_transfer(graph, &p->program->device->sides, output, copy, node);
        return step && step_list_append(steps, step) ? STATUS_OK : no_memory(p);
    }
    const struct kernel_facts *facts = &p->options->specialise.facts;
    struct op_context c = {
        .graph = graph, .node = node, .error = p->error, .receiver = &steps->receiver, .facts = facts};
    struct copy_params params = {.rank = 1,
                                 .dims = {(int64_t)value_bytes(output)},
                                 .input_strides = {1},
                                 .output_strides = {1},
                                 .element_bytes = 1};
    TRY(op_emit(&c, FAMILY_copy, &params, sizeof params, 1, &output, 1, &copy, 0));
    return select_kernel(steps->steps[steps->count - 1], facts, 0, graph->region, p->error);
}

/* A value, whose memory belongs elsewhere, is copied to output `index`. */
static enum status copy_to_output(struct placing *p, int index, struct value *output)
{
    struct graph *graph = p->graph;
    const struct device_program *device = p->program->device;
    struct value *copy = graph_add_value(graph, output->name, output->dtype, output->rank, output->dims);
    struct node *node = node_for_copy(graph->region, output);
    if (!copy || !node)
        return no_memory(p);
    copy->on_device = DEVICE_BUILT && device && output_is_wanted_there(&device->sides, index);
    if (value_bytes(output) > 0)
        TRY(emit_copy(p, node, output, copy));
    graph->outputs[index] = copy;
    bind(p, index, copy, copy);
    return STATUS_OK;
}

/* An output is done when its root already lies in that very output. */
static bool is_bound(const struct placing *p, int index, struct value *output)
{
    struct operand place = program_place(p->program, output);
    return place.space == SPACE_OUTPUT && place.index == (uint32_t)index && place.offset == 0;
}

static enum status place_outputs(struct placing *p)
{
    struct graph *graph = p->graph;
    for (int i = 0; i < graph->output_count; i++)
        if (can_bind(p, graph->outputs[i]))
            bind(p, i, graph->outputs[i], root_of(graph->outputs[i]));
    for (int i = 0; i < graph->output_count && p->program->complete; i++) {
        struct value *output = graph->outputs[i];
        if (is_bound(p, i, output))
            continue;
        TRY(copy_to_output(p, i, output));
    }
    return STATUS_OK;
}

/* --- places that are given ------------------------------------------------------------------------------- */

/* One constant table a program; a value that is constant gets an entry the first time a step reads it. */
static enum status place_constant(struct placing *p, struct value *root)
{
    struct program *program = p->program;
    program->places[root->id] = (struct operand){.space = SPACE_CONSTANT, .index = (uint32_t)program->constant_count};
    program->constants[program->constant_count++] = root->data;
    return STATUS_OK;
}

static void place_inputs(struct placing *p)
{
    for (int i = 0; i < p->graph->input_count; i++)
        if (!p->graph->inputs[i]->data)
            p->program->places[p->graph->inputs[i]->id] = (struct operand){.space = SPACE_INPUT, .index = (uint32_t)i};
}

static void place_slots(struct placing *p)
{
    struct program *program = p->program;
    for (int i = 0; i < program->awaited_count; i++)
        if (program->awaited[i]->rank < 0)
            program->places[program->awaited[i]->id] =
                (struct operand){.space = SPACE_SLOT, .index = (uint32_t)program->slot_count++};
}

/* What the parent placed stays there, but for values that have become constants since. */
static void inherit_places(struct placing *p)
{
    const struct program *parent = p->program->parent;
    if (!parent)
        return;
    p->program->slot_count = parent->slot_count;
    for (int i = 0; i < parent->place_count; i++) {
        struct value *value = i < p->graph->value_count ? p->graph->values[i] : NULL;
        if (value && !value->data && parent->places[i].space != SPACE_CONSTANT)
            p->program->places[i] = parent->places[i];
    }
}

/* A value that several steps write, each a part of it, is made by the last. */
static void find_makers(struct placing *p)
{
    struct program *program = p->program;
    const struct step_list *steps = &program->segment.steps;
    for (int i = 0; i < program->place_count; i++)
        program->makers[i] = -1;
    for (int s = 0; s < steps->count; s++)
        for (int i = 0; i < steps->steps[s]->output_count; i++)
            for (const struct value *value = steps->steps[s]->outputs[i]; value; value = value->alias)
                program->makers[value->id] = s;
}

/* --- in place -------------------------------------------------------------------------------------------- */

/* A result that may be written over an input which dies there takes its memory. */
static void overwrite_inputs(struct placing *p)
{
    const struct step_list *steps = &p->program->segment.steps;
    for (int s = 0; s < steps->count; s++) {
        struct value *root = overwritten_root(p->lives, steps->steps[s], s);
        if (!root)
            continue;
        struct value *output = steps->steps[s]->outputs[0];
        output->alias = root;
        p->lives[root->id].last = p->lives[output->id].last;
        p->lives[root->id].carried = p->lives[output->id].carried;
    }
}

/* What a result in the caller's memory may be written over lies there from its start. */
static void place_in_outputs(struct placing *p)
{
    const struct step_list *steps = &p->program->segment.steps;
    for (int s = 0; s < steps->count; s++) {
        struct value *root = root_in_output(p->lives, steps->steps[s], s), *output = steps->steps[s]->outputs[0];
        if (!root || root->on_device != output->on_device || p->program->places[output->id].space != SPACE_OUTPUT)
            continue;
        root->alias = output;
        p->lives[root->id].foreign = true;
    }
}

/* --- the arena ------------------------------------------------------------------------------------------- */

static enum space arena_of(bool on_device)
{
    return DEVICE_BUILT && on_device ? SPACE_DEVICE : SPACE_ARENA;
}

static bool needs_arena(const struct placing *p, const struct value *value)
{
    enum space space = p->program->places[value->id].space;
    if (value->alias || value->data)
        return false;
    if (space == SPACE_ARENA || space == SPACE_DEVICE)
        return p->lives[value->id].last >= 0 || p->lives[value->id].carried;
    return space == SPACE_NONE && is_made_here(p, value);
}

static struct buffer value_buffer(const struct placing *p, const struct value *value, int end)
{
    const struct life *life = &p->lives[value->id];
    struct operand place = p->program->places[value->id];
    bool given = place.space == SPACE_ARENA || place.space == SPACE_DEVICE;
    return (struct buffer){
        .lower = given ? 0 : life->first,
        .upper = life->carried ? end : life->last + 1,
        .bytes = value_bytes(value),
        .alignment = ALIGNMENT,
        .fixed = given ? place.offset : PLANNER_FREE,
    };
}

/* What lies on one side. *workspace_bytes becomes the largest. */
static enum status collect(struct placing *p, bool on_device, struct arena_plan *arena, size_t *workspace_bytes)
{
    const struct step_list *steps = &p->program->segment.steps;
    int end = steps->count + 1;
    for (int i = 0; i < p->graph->value_count; i++) {
        if (!needs_arena(p, p->graph->values[i]) || p->graph->values[i]->on_device != on_device)
            continue;
        arena->owners[arena->count] = i;
        arena->buffers[arena->count++] = value_buffer(p, p->graph->values[i], end);
    }
    for (int s = 0; s < steps->count; s++) {
        size_t bytes;
        if (step_is_on_device(steps->steps[s]) != on_device)
            continue;
        if (!step_workspaces(steps->steps[s], p->options->specialise.facts.threads, &bytes))
            return error_set(p->error, STATUS_OUT_OF_MEMORY, "node '%s' (%s) needs a workspace beyond all memory",
                             steps->steps[s]->node->name, steps->steps[s]->node->op->name);
        if (bytes == 0)
            continue;
        arena->owners[arena->count] = -1 - s;
        arena->buffers[arena->count++] =
            (struct buffer){.lower = s, .upper = s + 1, .bytes = bytes, .alignment = ALIGNMENT, .fixed = PLANNER_FREE};
        *workspace_bytes = bytes > *workspace_bytes ? bytes : *workspace_bytes;
    }
    return STATUS_OK;
}

/* Search nodes the planner may spend on one program: a few milliseconds. */
#define PLAN_SEARCH_NODES 20000

/* Offsets for all that lies on one side. */
static enum status plan_side(struct placing *p, bool on_device, struct arena_plan *result, struct plan *plan,
                             size_t *workspace_bytes)
{
    struct program *program = p->program;
    struct region *region = &program->region;
    size_t most = (size_t)p->graph->value_count + (size_t)program->segment.steps.count;
    struct arena_plan arena = {
        .buffers = region_array(region, most, sizeof *arena.buffers),
        .owners = region_array(region, most, sizeof *arena.owners),
        .offsets = region_array(region, most, sizeof *arena.offsets),
    };
    if (!arena.buffers || !arena.owners || !arena.offsets)
        return no_memory(p);
    TRY(collect(p, on_device, &arena, workspace_bytes));
    TRY(plan_memory(region->allocator, arena.count, arena.buffers, PLAN_SEARCH_NODES, arena.offsets, plan, p->error));
    *result = arena;
    for (size_t i = 0; i < arena.count; i++) {
        if (arena.owners[i] >= 0)
            program->places[arena.owners[i]] =
                (struct operand){.space = arena_of(on_device), .offset = arena.offsets[i]};
        else
            program->steps[-1 - arena.owners[i]].workspace_offset = arena.offsets[i];
    }
    return STATUS_OK;
}

/* One arena a side, in the order of the steps that both have. */
static enum status plan_arenas(struct placing *p)
{
    struct program *program = p->program;
    struct plan plan;
    TRY(plan_side(p, false, &program->plan, &plan, &program->workspace_bytes));
    program->arena_bytes = plan.height;
    program->lower_bound_bytes = plan.lower_bound;
    program->arena_is_least = plan.optimal;
    if (!DEVICE_BUILT || !program->device)
        return STATUS_OK;
    struct arena_plan arena;
    TRY(plan_side(p, true, &arena, &plan, &program->device->workspace_bytes));
    program->device->arena_bytes = plan.height;
    program->device->lower_bound_bytes = plan.lower_bound;
    return STATUS_OK;
}

/* --- operands -------------------------------------------------------------------------------------------- */

static enum status place_operand(struct placing *p, struct value *value, struct operand *operand)
{
    if (!value)
        return STATUS_OK;
    struct value *root = root_of(value);
    if (p->program->places[root->id].space == SPACE_NONE && root->data)
        TRY(place_constant(p, root));
    *operand = program_place(p->program, value);
    if (operand->space == SPACE_NONE) /* an empty tensor, which no step makes: any address will do */
        *operand = (struct operand){.space = arena_of(root->on_device)};
    return STATUS_OK;
}

static enum status place_operands(struct placing *p)
{
    struct program *program = p->program;
    const struct step_list *steps = &program->segment.steps;
    for (int s = 0; s < steps->count; s++) {
        const struct step *step = steps->steps[s];
        size_t count = (size_t)step->input_count + (size_t)step->output_count;
        struct operand *operands = region_array(&program->region, count, sizeof *operands);
        if (!operands)
            return no_memory(p);
        for (int i = 0; i < step->input_count; i++)
            TRY(place_operand(p, step->inputs[i], &operands[i]));
        for (int i = 0; i < step->output_count; i++) {
            TRY(place_operand(p, step->outputs[i], &operands[step->input_count + i]));
        }
        program->steps[s].step = step;
        program->steps[s].operands = operands;
    }
    /* The runner reads this one even where no step does. */
    struct operand needed;
    return place_operand(p, program->segment.needed_copy, &needed);
}

/* --- what an observer sees ------------------------------------------------------------------------------- */

/* The step that makes a value; a value that is a view of another one is made with it. -1: it was there before. */
static int maker_of(const struct program *program, const struct value *value)
{
    while (program->makers[value->id] < 0 && value->alias)
        value = value->alias;
    return program->makers[value->id];
}

/* A view that a step of the parent had: shown then, and its memory may hold something else by now. */
static bool is_old_view(const struct program *program, const struct value *value)
{
    const struct graph *before = program->parent ? program->parent->segment.graph : NULL;
    return before && value->id < before->value_count && before->values[value->id]->alias;
}

static bool is_shown(const struct program *program, struct value *value, int maker)
{
    if (!*value->name || value->data || program_place(program, value).space == SPACE_NONE)
        return false;
    if (maker < 0 && (!value->alias || is_old_view(program, value)))
        return false; /* an input, or shown by the program before this one */
    return value->strides || !root_of(value)->strides;
}

static enum status find_shown(struct placing *p)
{
    struct program *program = p->program;
    program->shown = region_array(&program->region, (size_t)p->graph->value_count, sizeof *program->shown);
    if (!program->shown)
        return no_memory(p);
    for (int i = 0; i < p->graph->value_count; i++) {
        struct value *value = p->graph->values[i];
        int maker = maker_of(program, value);
        if (is_shown(program, value, maker))
            program->shown[program->shown_count++] =
                (struct shown){.value = value, .step = maker, .place = program_place(program, value)};
    }
    return STATUS_OK;
}

static enum status allocate_tables(struct placing *p)
{
    struct program *program = p->program;
    struct region *region = &program->region;
    /* Copies to outputs add at most one value and one step each. */
    size_t values = (size_t)p->graph->value_count + (size_t)p->graph->output_count;
    size_t steps = (size_t)program->segment.steps.count + (size_t)p->graph->output_count;
    program->places = region_array(region, values, sizeof *program->places);
    program->place_count = (int)values;
    program->steps = region_array(region, steps, sizeof *program->steps);
    program->constants = region_array(region, values, sizeof *program->constants);
    program->outputs = region_array(region, (size_t)p->graph->output_count, sizeof *program->outputs);
    program->makers = region_array(region, values, sizeof *program->makers);
    p->lives = region_array(region, values, sizeof *p->lives);
    bool done =
        program->places && program->steps && program->constants && program->outputs && program->makers && p->lives;
    return done ? STATUS_OK : no_memory(p);
}

enum status place_values(struct program *program, const struct program_options *options, struct error *error)
{
    struct placing p = {.program = program, .options = options, .graph = program->segment.graph, .error = error};
    TRY(allocate_tables(&p));
    inherit_places(&p);
    place_inputs(&p);
    place_slots(&p);
    segment_lives(&program->segment, p.lives);
    TRY(place_outputs(&p));
    segment_lives(&program->segment, p.lives); /* again, with the copies to outputs */
    find_makers(&p);                           /* as long as a view is a view, and no result lies over an input */
    place_in_outputs(&p);
    overwrite_inputs(&p);
    program->step_count = program->segment.steps.count;
    TRY(plan_arenas(&p));
    TRY(place_operands(&p));
    return find_shown(&p);
}
