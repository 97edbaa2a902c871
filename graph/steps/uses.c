#include "graph/steps/uses.h"

static void count_step(struct uses *uses, const struct step *step, int index)
{
    for (int i = 0; i < step->input_count; i++)
        if (step->inputs[i])
            uses->reads[step->inputs[i]->id]++;
    for (int i = 0; i < step->output_count; i++) {
        if (!step->outputs[i])
            continue;
        const struct value *root = value_root(step->outputs[i], NULL);
        uses->writes[root->id]++;
        uses->maker[root->id] = index;
    }
}

static bool allocate_tables(struct uses *uses, struct region *region, int value_count)
{
    size_t values = (size_t)value_count;
    *uses = (struct uses){.value_count = value_count,
                          .outside = region_array(region, values, sizeof *uses->outside),
                          .reads = region_array(region, values, sizeof *uses->reads),
                          .writes = region_array(region, values, sizeof *uses->writes),
                          .maker = region_array(region, values, sizeof *uses->maker)};
    for (int i = 0; uses->maker && i < value_count; i++)
        uses->maker[i] = -1;
    return uses->outside && uses->reads && uses->writes && uses->maker;
}

bool uses_count(const struct segment *segment, struct region *region, struct uses *uses)
{
    const struct graph *graph = segment->graph;
    if (!allocate_tables(uses, region, graph->value_count))
        return false;
    for (int s = 0; s < segment->steps.count; s++)
        if (segment->steps.steps[s])
            count_step(uses, segment->steps.steps[s], s);
    for (int i = 0; i < graph->value_count; i++)
        if (graph->values[i]->alias)
            uses->reads[graph->values[i]->alias->id]++;
    for (int i = 0; i < graph->output_count; i++)
        uses->outside[graph->outputs[i]->id]++;
    for (int i = 0; i < segment->rest_count; i++)
        for (int k = 0; k < segment->rest[i]->input_count; k++)
            if (segment->rest[i]->inputs[k])
                uses->outside[segment->rest[i]->inputs[k]->id]++;
    if (segment->needed)
        uses->outside[segment->needed->id]++;
    for (int i = 0; i < graph->value_count; i++)
        uses->reads[i] += uses->outside[i];
    return true;
}

/* Where it is not the last of the root's list already. */
static void append_entry(struct root_steps *found, struct value *operand, int step)
{
    struct root_list *list = &found->lists[value_root(operand, NULL)->id];
    if (list->last >= 0 && found->entries[list->last].step == step)
        return;
    int entry = found->entry_count++;
    found->entries[entry] = (struct root_entry){.step = step, .next = -1};
    *(list->last >= 0 ? &found->entries[list->last].next : &list->first) = entry;
    list->last = entry;
}

bool root_steps_find(const struct segment *segment, struct region *region, struct root_steps *found)
{
    const struct step_list *steps = &segment->steps;
    size_t values = (size_t)segment->graph->value_count, operands = 0;
    for (int s = 0; s < steps->count; s++)
        if (steps->steps[s])
            operands += (size_t)steps->steps[s]->input_count + (size_t)steps->steps[s]->output_count;
    *found = (struct root_steps){.lists = region_array(region, values, sizeof *found->lists),
                                 .entries = region_array(region, operands, sizeof *found->entries)};
    if (!found->lists || !found->entries)
        return false;
    for (size_t i = 0; i < values; i++)
        found->lists[i] = (struct root_list){.first = -1, .last = -1};
    for (int s = 0; s < steps->count; s++) {
        const struct step *step = steps->steps[s];
        for (int i = 0; step && i < step->input_count + step->output_count; i++) {
            struct value *operand = i < step->input_count ? step->inputs[i] : step->outputs[i - step->input_count];
            if (operand)
                append_entry(found, operand, s);
        }
    }
    return true;
}

void step_list_compact(struct step_list *list)
{
    int kept = 0;
    for (int s = 0; s < list->count; s++)
        if (list->steps[s])
            list->steps[kept++] = list->steps[s];
    list->count = kept;
}
