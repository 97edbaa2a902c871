#include "tools/graph_text.h"
#include "tools/inspect.h"
#include "tools/plan_svg.h"

static const char *step_name(void *user, int64_t time)
{
    const struct program *program = user;
    return time >= 0 && time < program->step_count ? program->steps[time].step->node->name : "end";
}

#define MOST_NAMES 8

/* More values that come to lie in the buffer: steps compute them in place, or they are parts of it. "" for none; NULL:
 * no memory. */
static const char *others(struct region *region, const struct program *program, const struct drawn_buffer *drawn,
                          const struct value *owner)
{
    const char *list = "";
    int count = 0;
    for (int64_t s = drawn->lower; s < drawn->upper && s < program->step_count && count <= MOST_NAMES; s++) {
        const struct program_step *step = &program->steps[s < 0 ? 0 : s];
        for (int i = 0; i < step->step->output_count && count <= MOST_NAMES; i++) {
            const struct value *value = step->step->outputs[i];
            struct operand place = step->operands[step->step->input_count + i];
            if (!value || value == owner || !*value->name || place.space != SPACE_ARENA ||
                place.offset < drawn->offset || place.offset >= drawn->offset + drawn->bytes)
                continue;
            list = count == MOST_NAMES ? region_format(region, "%s, ...", list)
                                       : region_format(region, "%s%s%s", list, count ? ", " : ", then ", value->name);
            if (!list)
                return NULL;
            count++;
        }
    }
    return list;
}

/* Names and what they are, in the region; false: no memory. */
static bool describe(struct region *region, const struct program *program, size_t index, struct drawn_buffer *drawn)
{
    const struct arena_plan *plan = &program->plan;
    const struct graph *graph = program->segment.graph;
    int owner = plan->owners[index];
    char label[24], shape[400];
    *drawn = (struct drawn_buffer){.lower = plan->buffers[index].lower,
                                   .upper = plan->buffers[index].upper,
                                   .offset = plan->offsets[index],
                                   .bytes = plan->buffers[index].bytes,
                                   .workspace = owner < 0};
    if (owner < 0) {
        drawn->name = region_format(region, "workspace of %s", step_name((void *)(uintptr_t)program, -1 - owner));
        drawn->about = step_kernel(program->steps[-1 - owner].step);
        return drawn->name;
    }
    const struct value *value = graph->values[owner];
    int maker = program->makers[owner];
    const char *from = maker < 0 ? "an earlier part" : step_name((void *)(uintptr_t)program, maker);
    drawn->name = region_string(region, value_label(value, label, sizeof label));
    const char *more = others(region, program, drawn, value);
    drawn->about =
        more ? region_format(region, "%s, made by %s%s", typed_shape(graph, value, shape, sizeof shape), from, more)
             : NULL;
    return drawn->name && drawn->about;
}

static enum status draw(const char *path, const struct inspection *inspection, struct region *region,
                        struct error *error)
{
    const struct program *program = inspection->program;
    struct drawn_buffer *buffers = region_array(region, program->plan.count + 1, sizeof *buffers);
    for (size_t i = 0; buffers && i < program->plan.count; i++)
        if (!describe(region, program, i, &buffers[i]))
            buffers = NULL;
    if (!buffers)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for the drawing");
    struct drawn_plan drawn = {
        .title = inspection->path,
        .count = program->plan.count,
        .buffers = buffers,
        .height = program->arena_bytes,
        .lower_bound = program->lower_bound_bytes,
        .moment = step_name,
        .user = (void *)(uintptr_t)program,
    };
    return plan_svg_write(path, &drawn, error);
}

enum status inspect_memory(const char *path, const struct inspection *inspection, struct error *error)
{
    struct region region;
    region_init(&region, &default_allocator);
    enum status status = draw(path, inspection, &region, error);
    region_free(&region);
    return status;
}
