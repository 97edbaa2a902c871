#include "runtime/compile/compact.h"

#include "formats/hash.h"

#include <string.h>

/* What the parameters of a step are made of. */
struct plain {
    const void *bytes;
    const struct pointwise_params *epilogue; /* NULL: none */
    uint32_t constant_inputs;
    uint64_t hash; /* of all that twins have in common */
};

/* Of the new region. Small, since what the last block leaves unused is held for as long as the program is kept. */
#define BLOCK_BYTES 4096

struct compaction {
    struct program *program;
    const struct kernel_facts *facts;
    struct region *region; /* the new one */
    struct region_map old; /* what goes with the old one */
    struct region scratch;
    struct value **values; /* by id of the old ones; NULL: nothing reads it */
    struct value met;      /* in their place until they are copied */
    struct value *next;    /* the next free copy */
    size_t constant_bytes; /* moved */
    struct program_step *steps;
    struct step *copies; /* of the steps, in their order */
    struct plain *plain; /* their parameters */
    int *table;          /* 1 + the step, by hash: the first of each kind; 0: free */
    size_t table_mask;
    const struct node *last; /* of the step before, and its copy: steps of one node follow one another */
    struct node *last_copy;
    bool failed;
};

/* --- memory ---------------------------------------------------------------------------------------------- */

static bool leaves(const struct compaction *c, const void *pointer)
{
    return region_map_holds(&c->old, pointer);
}

/* `bytes` bytes at `from`, copied where they would go with the old region. */
static const void *kept_bytes(struct compaction *c, const void *from, size_t bytes)
{
    if (!from || !leaves(c, from))
        return from;
    void *copy = region_buffer(c->region, bytes);
    c->failed = c->failed || !copy;
    return copy ? memcpy(copy, from, bytes) : NULL;
}

static const char *kept_text(struct compaction *c, const char *text)
{
    return kept_bytes(c, text, strlen(text) + 1);
}

static void *room(struct compaction *c, struct region *region, size_t count, size_t bytes_each)
{
    void *memory = region_array(region, count, bytes_each);
    c->failed = c->failed || !memory;
    return memory;
}

/* --- values ---------------------------------------------------------------------------------------------- */

/* The session's own value, if this one is a constant that has stayed as it was: all programs share that. */
static struct value *shared_value(const struct compaction *c, const struct value *value)
{
    const struct graph *source = c->program->source;
    struct value *original = value->id < source->value_count ? source->values[value->id] : NULL;
    bool same = original && value->data && original->data == value->data && original->dtype == value->dtype &&
                original->rank == value->rank && !value->alias && !value->strides && !value->strided &&
                strcmp(original->name, value->name) == 0;
    for (int i = 0; same && i < value->rank; i++)
        same = original->dims[i] == value->dims[i];
    return same ? original : NULL;
}

/* Counts a value, and the tensor that a strided one is a part of, the first time it is met. */
static void mark(struct compaction *c, const struct value *value, size_t *count)
{
    while (value && !c->values[value->id]) {
        struct value *shared = shared_value(c, value);
        c->values[value->id] = shared ? shared : &c->met;
        *count += !shared;
        value = value->strided ? value_root((struct value *)(uintptr_t)value, NULL) : NULL;
    }
}

/* What runs read of a value is its type, its shape and its name; where it lies stands in the operands. */
static struct value *kept_value(struct compaction *c, const struct value *value)
{
    size_t offset;
    struct value *copy = c->next++;
    struct value *root = value_root((struct value *)(uintptr_t)value, &offset);
    *copy = *value;
    copy->name = kept_text(c, value->name);
    copy->strides = kept_bytes(c, value->strides, (size_t)value->rank * sizeof *value->strides);
    copy->data = NULL;
    copy->bytes = 0;
    copy->list = NULL;
    copy->alias = value->strided ? root : NULL; /* until link_roots */
    copy->alias_offset = value->strided ? offset : 0;
    copy->on_device = root->on_device;
    return copy;
}

static void link_roots(const struct compaction *c, struct value *first)
{
    for (struct value *value = first; value < c->next; value++)
        if (value->alias)
            value->alias = c->values[value->alias->id];
}

static void keep_values(struct compaction *c)
{
    struct program *program = c->program;
    const struct graph *graph = program->segment.graph;
    size_t count = 0;
    for (int s = 0; s < program->step_count; s++) {
        const struct step *step = program->steps[s].step;
        for (int i = 0; i < step->input_count; i++)
            mark(c, step->inputs[i], &count);
        for (int i = 0; i < step->output_count; i++)
            mark(c, step->outputs[i], &count);
    }
    for (int i = 0; i < program->output_count; i++)
        mark(c, program->outputs[i].value, &count);
    for (int i = 0; i < program->shown_count; i++)
        mark(c, program->shown[i].value, &count);
    struct value *first = c->next = room(c, c->region, count, sizeof *first);
    for (int i = 0; i < graph->value_count && !c->failed; i++)
        if (c->values[i] == &c->met)
            c->values[i] = kept_value(c, graph->values[i]);
    if (!c->failed)
        link_roots(c, first);
}

static struct value *value_of(const struct compaction *c, const struct value *value)
{
    return value ? c->values[value->id] : NULL;
}

/* --- constants ------------------------------------------------------------------------------------------- */

static const void *kept_constant(struct compaction *c, const void *data, size_t bytes)
{
    c->constant_bytes += data && leaves(c, data) ? bytes : 0;
    return kept_bytes(c, data, bytes);
}

static const void **keep_constants(struct compaction *c)
{
    const struct program *program = c->program;
    const struct graph *graph = program->segment.graph;
    const void **constants = room(c, c->region, (size_t)program->constant_count, sizeof *constants);
    for (int i = 0; i < graph->value_count && i < program->place_count && !c->failed; i++) {
        const struct operand *place = &program->places[i];
        if (place->space == SPACE_CONSTANT && !graph->values[i]->alias)
            constants[place->index] = kept_constant(c, program->constants[place->index], value_bytes(graph->values[i]));
    }
    return constants;
}

/* --- steps ----------------------------------------------------------------------------------------------- */

/* With its name, and those of the nodes it stands for, as messages and observers need them. */
static const struct node *kept_node(struct compaction *c, const struct node *node)
{
    if (!leaves(c, node) || node == c->last)
        return leaves(c, node) ? c->last_copy : node;
    struct node *copy = room(c, c->region, 1, sizeof *copy);
    if (!copy)
        return NULL;
    *copy = (struct node){
        .op = node->op, .version = node->version, .name = kept_text(c, node->name), .source_count = node->source_count};
    const char **sources = room(c, c->region, (size_t)node->source_count, sizeof *sources);
    for (int i = 0; sources && i < node->source_count; i++)
        sources[i] = kept_text(c, node->sources[i]);
    copy->sources = sources;
    c->last = node;
    c->last_copy = copy;
    return copy;
}

static const struct control *kept_control(struct compaction *c, const struct control *control)
{
    struct control *copy = room(c, c->region, 1, sizeof *copy);
    if (!copy)
        return NULL;
    size_t inputs = (size_t)control->scan_inputs, outputs = (size_t)control->scan_outputs;
    *copy = *control;
    copy->input_axes = kept_bytes(c, control->input_axes, inputs * sizeof *control->input_axes);
    copy->output_axes = kept_bytes(c, control->output_axes, outputs * sizeof *control->output_axes);
    copy->input_reverse = kept_bytes(c, control->input_reverse, inputs * sizeof *control->input_reverse);
    copy->output_reverse = kept_bytes(c, control->output_reverse, outputs * sizeof *control->output_reverse);
    return copy;
}

/* The parameters as plain bytes, without the address of their epilogue, which is apart. */
static void read_params(struct compaction *c, const struct step *step, struct plain *plain)
{
    struct step copy = *step;
    struct epilogue epilogue;
    copy.params = room(c, &c->scratch, step->params_bytes, 1);
    if (!copy.params)
        return;
    plain->bytes = memcpy(copy.params, step->params, step->params_bytes);
    const struct pointwise_params **program = step_epilogue(&copy, &epilogue);
    plain->epilogue = program ? *program : NULL;
    if (program)
        *program = NULL;
}

static bool same_epilogue(const struct pointwise_params *a, const struct pointwise_params *b)
{
    return !a || !b ? a == b : pointwise_bytes(a) == pointwise_bytes(b) && memcmp(a, b, pointwise_bytes(a)) == 0;
}

/* The facts that a plan was made from: what was packed is no input any more. */
static uint32_t constant_inputs(const struct step *step)
{
    uint32_t constant = step_constant_inputs(step);
    for (int i = 0; i < step->plan->pack_count; i++)
        constant |= UINT32_C(1) << step->plan->packs[i].input;
    return constant;
}

static uint64_t hash_of(const struct step *step, const struct plain *plain)
{
    uint64_t kind = (uint64_t)(uintptr_t)step->kernel ^ plain->constant_inputs;
    uint64_t hash = xxh64(plain->bytes, step->params_bytes, kind);
    return plain->epilogue ? xxh64(plain->epilogue, pointwise_bytes(plain->epilogue), hash) : hash;
}

static bool are_twins(const struct compaction *c, int a, int b)
{
    const struct step *one = c->program->steps[a].step, *other = c->program->steps[b].step;
    const struct plain *plain = &c->plain[a], *others = &c->plain[b];
    return plain->hash == others->hash && one->family == other->family && one->kernel == other->kernel &&
           one->params_bytes == other->params_bytes && plain->constant_inputs == others->constant_inputs &&
           memcmp(plain->bytes, others->bytes, one->params_bytes) == 0 &&
           same_epilogue(plain->epilogue, others->epilogue);
}

/* An earlier step whose parameters and plan serve step `index` too; NULL: none, and it goes into the table. */
static const struct step *find_twin(struct compaction *c, int index)
{
    struct plain *plain = &c->plain[index];
    plain->hash = hash_of(c->program->steps[index].step, plain);
    for (size_t at = plain->hash & c->table_mask;; at = (at + 1) & c->table_mask) {
        if (!c->table[at]) {
            c->table[at] = 1 + index;
            return NULL;
        }
        if (are_twins(c, c->table[at] - 1, index))
            return &c->copies[c->table[at] - 1];
    }
}

/* Its plan is made anew, since what a kernel keeps in it may point into the parameters. */
static void keep_params(struct compaction *c, int index, struct step *copy)
{
    struct plain *plain = &c->plain[index];
    struct epilogue epilogue;
    read_params(c, copy, plain);
    if (c->failed)
        return;
    plain->constant_inputs = constant_inputs(copy);
    const struct step *twin = find_twin(c, index);
    if (twin) {
        copy->params = twin->params;
        copy->plan = twin->plan;
        return;
    }
    copy->params = room(c, c->region, copy->params_bytes, 1);
    if (!copy->params)
        return;
    memcpy(copy->params, plain->bytes, copy->params_bytes);
    const struct pointwise_params **program = step_epilogue(copy, &epilogue);
    if (program)
        *program = kept_bytes(c, plain->epilogue, plain->epilogue ? pointwise_bytes(plain->epilogue) : 0);
    struct kernel_facts facts = *c->facts;
    facts.constant_inputs = plain->constant_inputs;
    struct kernel_plan *plan = room(c, c->region, 1, sizeof *plan);
    c->failed = c->failed || !kernel_make_plan(copy->kernel, copy->params, &facts, c->region, plan);
    copy->plan = plan;
}

static void keep_packs(struct compaction *c, struct step *copy)
{
    const void **packed =
        copy->packed && !c->failed ? room(c, c->region, (size_t)copy->plan->pack_count, sizeof *packed) : NULL;
    for (int i = 0; packed && i < copy->plan->pack_count; i++)
        packed[i] = kept_constant(c, copy->packed[i], copy->plan->packs[i].bytes);
    copy->packed = packed;
}

static void keep_step(struct compaction *c, int index, struct value **values, struct operand *operands)
{
    const struct program_step *from = &c->program->steps[index];
    struct step *copy = &c->copies[index];
    *copy = *from->step;
    copy->inputs = values;
    copy->outputs = values + copy->input_count;
    for (int i = 0; i < copy->input_count; i++)
        copy->inputs[i] = value_of(c, from->step->inputs[i]);
    for (int i = 0; i < copy->output_count; i++)
        copy->outputs[i] = value_of(c, from->step->outputs[i]);
    memcpy(operands, from->operands, (size_t)(copy->input_count + copy->output_count) * sizeof *operands);
    copy->node = kept_node(c, copy->node);
    if (copy->control) {
        copy->control = kept_control(c, copy->control);
    } else {
        struct step old = *from->step; /* whose inputs still say which of them are constant */
        keep_params(c, index, &old);
        copy->params = old.params;
        copy->plan = old.plan;
        keep_packs(c, copy);
    }
    c->steps[index] =
        (struct program_step){.step = copy, .operands = operands, .workspace_offset = from->workspace_offset};
}

static void keep_steps(struct compaction *c)
{
    const struct program *program = c->program;
    size_t count = (size_t)program->step_count, operands = 0;
    for (int s = 0; s < program->step_count; s++)
        operands += (size_t)program->steps[s].step->input_count + (size_t)program->steps[s].step->output_count;
    c->steps = room(c, c->region, count, sizeof *c->steps);
    c->copies = room(c, c->region, count, sizeof *c->copies);
    c->plain = room(c, &c->scratch, count, sizeof *c->plain);
    for (c->table_mask = 1; c->table_mask < 2 * count;)
        c->table_mask = 2 * c->table_mask + 1;
    c->table = room(c, &c->scratch, c->table_mask + 1, sizeof *c->table);
    struct value **values = room(c, c->region, operands, sizeof *values);
    struct operand *places = room(c, c->region, operands, sizeof *places);
    for (int s = 0; s < program->step_count && !c->failed; s++) {
        size_t own = (size_t)program->steps[s].step->input_count + (size_t)program->steps[s].step->output_count;
        keep_step(c, s, values, places);
        values += own;
        places += own;
    }
}

/* --- the rest -------------------------------------------------------------------------------------------- */

static struct output_binding *keep_outputs(struct compaction *c)
{
    const struct program *program = c->program;
    struct output_binding *outputs = room(c, c->region, (size_t)program->output_count, sizeof *outputs);
    for (int i = 0; outputs && i < program->output_count; i++)
        outputs[i] = (struct output_binding){program->outputs[i].index, value_of(c, program->outputs[i].value)};
    return outputs;
}

static struct shown *keep_shown(struct compaction *c)
{
    const struct program *program = c->program;
    struct shown *shown = room(c, c->region, (size_t)program->shown_count, sizeof *shown);
    for (int i = 0; shown && i < program->shown_count; i++) {
        shown[i] = program->shown[i];
        shown[i].value = value_of(c, program->shown[i].value);
    }
    return shown;
}

static struct device_program *keep_device(struct compaction *c)
{
    const struct device_program *from = c->program->device;
    size_t count = (size_t)c->program->step_count;
    struct device_program *device = room(c, c->region, 1, sizeof *device);
    struct device_step *steps = room(c, c->region, count, sizeof *steps);
    if (c->failed)
        return NULL;
    *device = *from;
    device->steps = memcpy(steps, from->steps, count * sizeof *steps);
    c->failed = !weight_holder_move(&device->holder, c->region);
    return device;
}

static enum status compact(struct compaction *c, struct error *error)
{
    struct program *program = c->program;
    c->values = room(c, &c->scratch, (size_t)program->segment.graph->value_count, sizeof *c->values);
    c->failed = c->failed || !region_map_make(&program->region, &c->scratch, &c->old);
    if (!c->failed)
        keep_values(c);
    const void **constants = c->failed ? NULL : keep_constants(c);
    if (!c->failed)
        keep_steps(c);
    struct output_binding *outputs = c->failed ? NULL : keep_outputs(c);
    struct shown *shown = c->failed ? NULL : keep_shown(c);
    struct device_program *device = DEVICE_BUILT && program->device && !c->failed ? keep_device(c) : NULL;
    if (c->failed || !weight_holder_move(&program->derived.holder, c->region))
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while preparing graph '%s'",
                         program->segment.graph->name);
    program->device = device;
    program->steps = c->steps;
    program->constants = constants;
    program->outputs = outputs;
    program->shown = shown;
    return STATUS_OK;
}

enum status program_compact(struct program *program, const struct kernel_facts *facts, struct error *error)
{
    struct region region;
    struct compaction c = {.program = program, .facts = facts, .region = &region};
    region_init(&region, program->region.allocator);
    region_init(&c.scratch, program->region.allocator);
    region.block_bytes = BLOCK_BYTES;
    enum status status = compact(&c, error);
    region_free(&c.scratch);
    if (status != STATUS_OK) {
        region_free(&region);
        return status;
    }
    region_free(&program->region);
    program->region = region;
    program->constant_bytes += c.constant_bytes - program->segment.constant_bytes;
    program->segment = (struct segment){.constant_bytes = c.constant_bytes};
    program->plan = (struct arena_plan){0};
    program->places = NULL;
    program->place_count = 0;
    program->makers = NULL;
    return STATUS_OK;
}
